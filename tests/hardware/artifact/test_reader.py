"""What docs/artifact.md says is enough: a model that was written from it alone gives every score."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from reader import Reader

from izhi import cli
from izhi.equation import literature
from izhi.experiments import export
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.network import Network
from izhi.quantization import formats, in_integers, quantized
from networks import convolutional_network, random_network, random_spikes


def saved(network, spikes, path):
    scores = fixed.run(network, spikes).scores
    names = tuple(f"class {k}" for k in range(scores.shape[-1]))
    artifact.save(IntegerArtifact(network, len(spikes), names, {}, {}, spikes, scores), path)
    return scores


def check(path, inputs, scores):
    reader = Reader(path)
    found_inputs, found_scores = reader.test_vectors()
    assert np.array_equal(found_inputs.astype(np.int64), inputs)
    assert np.array_equal(found_scores, scores)
    for k in range(inputs.shape[1]):
        assert np.array_equal(reader.scores(inputs[:, k]).astype(np.int64), scores[k])


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 10**6), st.sampled_from(list(fixed.NEURONS)), st.booleans(), st.booleans(), st.integers(2, 8),
    st.sampled_from([8, 16]), st.sampled_from([None, fixed.FixedPoint(16, 3)]), st.sampled_from([0, 7]),
    st.sampled_from([1, 3]),
)  # fmt: skip
def test_random_networks(
    tmp_path_factory, seed, kind, recurrent, readout, bits, width, synapse, delay, most
):  # fmt: skip
    network = random_network(
        seed, kind=kind, recurrent=recurrent, readout=readout, bits=bits, width=width, synapse=synapse, delay=delay
    )
    spikes, path = random_spikes(seed, 12, 3, 12, most=most), tmp_path_factory.mktemp("a") / "x.izhi"
    check(path, spikes, saved(network, spikes, path))


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 10**6), st.sampled_from([None, fixed.FixedPoint(16, 3), fixed.FixedPoint(9, 0)]),
    st.sampled_from(["sum", "max", "last", "steps"]), st.booleans(),
)  # fmt: skip
def test_readouts(tmp_path_factory, seed, membrane, reads, readout):
    network = random_network(seed, readout=readout, membrane=membrane if readout else None, reads=reads)
    spikes, path = random_spikes(seed, 12, 3, 12), tmp_path_factory.mktemp("a") / "x.izhi"
    check(path, spikes, saved(network, spikes, path))
    again = artifact.load(path)
    is_plain = reads == "sum" and (not readout or membrane is None)
    assert Reader(path).manifest["version"] == (1 if is_plain else 5)
    assert again.network.reads == reads
    assert np.array_equal(fixed.run(again.network, spikes).scores, fixed.run(network, spikes).scores)
    artifact.save(again, path.with_suffix(".again"))
    assert path.with_suffix(".again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        {}, {"then": "max", "kind": "lif", "readout": False},
        {"features": (2, 12, 8), "stride": (2, 1), "padding": (1, 2), "kernel": (3, 3), "kind": "lif-zero"},
        {"kind": "lif-soft"},
        {"delay": 3, "synapse": fixed.FixedPoint(14, 1)},
    ],
)  # fmt: skip
def test_convolutions(options, tmp_path):
    network = convolutional_network(4, **options)
    spikes = random_spikes(1, 8, 2, network.inputs)
    check(tmp_path / "x.izhi", spikes, saved(network, spikes, tmp_path / "x.izhi"))


@pytest.mark.slow
def test_every_score_of_two_hundred_images(tmp_path):
    run, rounded = tmp_path / "run", tmp_path / "rounded"
    words = "--dataset digits --hidden 24 --neuron normalized --epochs 6 --steps 10 --readout current --quiet"
    assert cli.main(["train", *words.split(), "--learning-rate", "5e-3", "--out", str(run)]) == 0
    words = "--method ptq --weights 4 --states 16 --quiet"
    assert cli.main(["quantize", str(run), *words.split(), "--out", str(rounded)]) == 0
    found, path = export.artifact(rounded, tests=200), tmp_path / "network.izhi"
    artifact.save(found, path)
    assert found.test_inputs.shape[1] == 200
    assert len(set(found.test_scores.argmax(1))) > 5
    check(path, found.test_inputs.astype(np.int64), found.test_scores)


@pytest.mark.parametrize(
    "model",
    [literature.symplectic_adaptive_lif, literature.balanced_resonate_and_fire, literature.fitzhugh_nagumo],
    ids=lambda model: model.function.__name__,
)
def test_neurons_whose_step_is_in_the_file(tmp_path, model):
    torch.manual_seed(0)
    network = Network([torch.nn.Linear(12, 9), model(), torch.nn.Linear(9, 5), model()]).eval()
    spikes = (torch.rand(12, 3, 12) < 0.5).float()
    for layer in network.spiking:
        layer.connection.weight.data *= 20
    integers = in_integers(quantized(network, 6, formats(network, spikes, 16)))
    whole, path = spikes.numpy().astype(np.uint8), tmp_path / "x.izhi"
    check(path, whole, saved(integers, whole, path))
