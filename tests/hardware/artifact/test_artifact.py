"""The artifact: what is saved is loaded, strangers' files do no harm, and it needs numpy alone."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from archives import change, entries, npy, write
from izhi.errors import ArtifactError, ShapeError
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.artifact.integers import WITH_MEMORY, most_tests
from networks import random_network, random_spikes


def artifact_of(seed=0, **options):
    network = random_network(seed, **options)
    x = random_spikes(seed, 6, 3, 12, most=2 if seed % 2 else 1)
    scores = fixed.run(network, x).scores
    names = tuple(f"class {k}" for k in range(scores.shape[-1]))
    return IntegerArtifact(network, 6, names, {"encoding": "rate"}, {"seed": seed}, x, scores)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10**6), st.sampled_from(list(fixed.NEURONS)), st.booleans(), st.booleans(),
    st.integers(2, 8), st.sampled_from([8, 16]), st.sampled_from([None, fixed.FixedPoint(20, 3)]),
    st.sampled_from([0, 9]),
)  # fmt: skip
def test_what_is_saved_is_loaded(tmp_path_factory, seed, kind, recurrent, readout, bits, width, synapse, delay):
    a = artifact_of(
        seed, kind=kind, recurrent=recurrent, readout=readout, bits=bits, width=width, synapse=synapse, delay=delay
    )
    path = tmp_path_factory.mktemp("a") / "x.izhi"
    artifact.save(a, path)
    b = artifact.load(path)
    assert (b.steps, b.classes, b.encoding, b.provenance) == (
        6,
        a.classes,
        {"encoding": "rate"},
        {"seed": seed},
    )
    assert np.array_equal(a.test_inputs, b.test_inputs)
    x = random_spikes(seed + 1, 20, 4, 12)
    one, two = (fixed.run(n.network, x, trace=True) for n in (a, b))
    assert np.array_equal(one.scores, two.scores)
    for name in ("accumulator", "current", "v", "u", "spikes"):
        for p, q in zip(getattr(one.trace, name), getattr(two.trace, name), strict=True):
            assert np.array_equal(p, q)
    again = path.with_suffix(".again")
    artifact.save(b, again)
    assert again.read_bytes() == path.read_bytes()


@given(st.integers(2, 8), st.integers(1, 20), st.integers(1, 5), st.integers(0, 99))
def test_packed_integers_come_back_and_take_their_bits(bits, columns, rows, seed):
    half = 1 << (bits - 1)
    values = np.random.default_rng(seed).integers(-half, half, (rows, columns))
    packed = artifact.pack(values, bits)
    assert packed.shape == (rows, -(-columns * bits // 8))
    assert np.array_equal(artifact.unpack(packed, bits, columns), values)


def test_the_first_bits_of_a_byte_are_the_first_weight():
    assert artifact.pack(np.array([[1, -1, 7]]), 4).tolist() == [[0xF1, 0x07]]


def test_it_loads_without_torch(tmp_path):
    artifact.save(artifact_of(), tmp_path / "x.izhi")
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "numba", "snntorch", "pydantic"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from izhi.hardware import artifact, fixed
a = artifact.load(sys.argv[1])
print(fixed.run(a.network, a.test_inputs).scores.sum())
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.izhi")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "x.izhi") as whole:
        assert json.loads(whole["manifest"].tobytes())["version"] == artifact.VERSION


def test_neurons_that_begin_at_a_value_are_of_version_3_and_held_by_their_format(tmp_path):
    path = tmp_path / "x.izhi"
    artifact.save(artifact_of(kind="lif-value"), path)
    with np.load(path) as whole:
        assert json.loads(whole["manifest"].tobytes())["version"] == WITH_MEMORY
    change(path, lambda manifest, contents: contents.update({"layers.0.reset.npy": npy(np.full(9, -2049, np.int16))}))
    with pytest.raises(ArtifactError, match=r"layers.0.reset beyond its format of 12 bits"):
        artifact.load(path)


def test_neurons_with_a_soft_reset_are_of_version_3_and_have_no_threshold_below_0(tmp_path):
    path = tmp_path / "x.izhi"
    artifact.save(artifact_of(kind="lif-soft"), path)
    with np.load(path) as whole:
        assert json.loads(whole["manifest"].tobytes())["version"] == WITH_MEMORY
    change(path, lambda manifest, contents: contents.update({"layers.0.threshold.npy": npy(np.full(9, -1, np.int16))}))
    with pytest.raises(ArtifactError, match=r"layer 1 has threshold from -1 to -1, expected 0 to 2,147,483,647"):
        artifact.load(path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def pickled(manifest, contents):
    contents["layers.0.weight.npy"] = npy(np.array([Evil()], object), allow_pickle=True)


def huge(manifest, contents):
    raw = contents["layers.0.weight.npy"]
    contents["layers.0.weight.npy"] = raw.replace(b"(9, 6)", b"(9999999, 6)").replace(b" " * 6 + b"\n", b"\n")


def wider(manifest, contents):
    manifest["layers"][0]["inputs"] = 13


def floats(manifest, contents):
    contents["layers.0.c.npy"] = npy(np.zeros(9, np.float32))


def unconnected(manifest, contents):
    manifest["layers"][1]["inputs"] = 8


def beyond(manifest, contents):
    contents["layers.0.c.npy"] = npy(np.full(9, 5000, np.int16))


def lacking(manifest, contents):
    del contents["layers.1.multiplier.npy"]


def newer(manifest, contents):
    manifest["version"] = 6


def nameless(manifest, contents):
    manifest["classes"] = ["a"]


def bits(manifest, contents):
    manifest["layers"][0]["weight_bits"] = 64


def untrue(manifest, contents):
    contents["test.scores.npy"] = npy(np.zeros((3, 5), np.int64) + 77)


def deep(manifest, contents):
    manifest["provenance"] = {"a": True}
    manifest["layers"] = "[" * 10


def overflowing(manifest, contents):
    manifest["layers"][0]["formats"]["v"] = [32, 8]
    contents["layers.0.a1.npy"] = npy(np.full(9, 2**31 - 1))


def beyond_32_bits(manifest, contents):
    contents["layers.0.d.npy"] = npy(np.full(9, 2**31))


def long(manifest, contents):
    manifest["steps"] = 1_000_000
    manifest["tests"]["count"] = 1
    contents["test.inputs.npy"] = npy(np.zeros((1_000_000, 1), np.uint8))


def wide(manifest, contents):
    # Little in the file, and gigabytes in memory: a step has 65,536 neurons of one input each.
    manifest["layers"] = manifest["layers"][:1]
    manifest["layers"][0].update(inputs=1, outputs=65536)
    for name in [name for name in contents if name.startswith("layers.1")]:
        del contents[name]
    for name in contents:
        if name.startswith("layers.0"):
            contents[name] = npy(np.zeros(1, np.int16))
    contents["layers.0.weight.npy"] = npy(np.zeros((65536, 1), np.uint8))
    manifest["classes"] = [""] * 65536
    manifest["steps"], manifest["tests"]["count"] = 6000, 1
    contents["test.inputs.npy"] = npy(np.zeros((6000, 1), np.uint8))


def unnamed_neuron(manifest, contents):
    manifest["layers"][0]["neuron"] = ["izhikevich"]


def maybe(manifest, contents):
    manifest["layers"][0]["recurrent"] = 1


def not_a_number(manifest, contents):
    manifest["provenance"]["loss"] = float("nan")


def of_truth(manifest, contents):
    raw = contents["test.scores.npy"]
    contents["test.scores.npy"] = raw.replace(b"(3, 5)", b"(True, 5)").replace(b" " * 3 + b"\n", b"\n")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (overflowing, "layer 1: a1·q .* may take 86 bits, expected at most 63; use fewer bits"),
        (beyond_32_bits, "layer 1 has d from 2,147,483,648 to"),
        (long, "has 1 test vectors, expected at most 0 for 1,000,000 steps"),
        (wide, "has 1 test vectors, expected at most 0 for 6,000 steps"),
        (unnamed_neuron, "has a layers.0 whose neuron is none of"),
        (maybe, "has layers.0.recurrent 1, expected true or false"),
        (not_a_number, "a manifest that is no JSON .the number NaN."),
        (of_truth, "test.scores"),
        (pickled, "layers.0.weight"),
        (huge, "layers.0.weight"),
        (wider, r"'layers.0.weight' of shape \(9, 6\), expected \(9, 7\)"),
        (floats, "'layers.0.c' of float32"),
        (unconnected, "layers.1.inputs 8, expected 9, the outputs before"),
        (beyond, "layers.0.c beyond its format of 12 bits"),
        (lacking, "lacks 'layers.1.multiplier'"),
        (newer, "has version 6, expected 1 or 2 or 3 or 4 or 5; export it again"),
        (nameless, "has the classes"),
        (bits, "layers.0.weight_bits 64, expected a whole number from 2 to 8"),
        (untrue, "test vector 0 gives the scores"),
        (deep, "has no list of layers"),
    ],
)
def test_inconsistent_artifacts(tmp_path, monkeypatch, edit, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.izhi"
    artifact.save(artifact_of(), path)
    change(path, edit)
    with pytest.raises(ArtifactError, match=message) as error:
        artifact.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_damaged_and_foreign_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.izhi"
    with pytest.raises(ArtifactError, match="cannot read .*No such file"):
        artifact.load(path)
    artifact.save(artifact_of(), path)
    good = path.read_bytes()
    for wrong in (b"", good[:100], good[:-40], pickle.dumps(Evil())):
        path.write_bytes(wrong)
        with pytest.raises(ArtifactError, match="truncated or damaged"):
            artifact.load(path)
    path.write_bytes(good)
    contents = entries(path)
    write(path, contents, zipfile.ZIP_DEFLATED)  # as a bomb would be
    with pytest.raises(ArtifactError, match="compressed or encrypted"):
        artifact.load(path)
    write(path, {"manifest.npy": npy(np.frombuffer(b'{"format": "other"}', np.uint8))})
    with pytest.raises(ArtifactError, match="is no izhi artifact"):
        artifact.load(path)
    write(path, {"manifest.npy": npy(np.frombuffer(b"[" * 100_000, np.uint8))})
    with pytest.raises(ArtifactError, match="no JSON"):
        artifact.load(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_flipped_bytes_are_noticed_or_harmless(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("f")
    path = folder / "x.izhi"
    a = artifact_of()
    artifact.save(a, path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(raw))
    try:
        b = artifact.load(path)
    except ArtifactError:
        return
    # Some bytes of an archive, such as dates, mean nothing: then the network is the same.
    x = random_spikes(5, 9, 4, 12)
    assert np.array_equal(fixed.run(a.network, x).scores, fixed.run(b.network, x).scores)


@pytest.mark.parametrize("readout", [False, True])
def test_an_artifact_needs_no_test_vectors(tmp_path, readout):
    network = random_network(1, readout=readout)
    artifact.save(IntegerArtifact(network, 6, ("a",) * network.outputs), tmp_path / "x.izhi")
    found = artifact.load(tmp_path / "x.izhi")
    assert found.test_inputs.shape == (6, 0, 12)
    assert found.test_scores.shape == (0, network.outputs)


def test_what_does_not_fit_is_not_saved(tmp_path):
    a, path = artifact_of(), tmp_path / "x.izhi"
    for wrong, message in (
        (replace(a, classes=("a",)), r"the classes are \('a',\), expected 5 names"),
        (replace(a, classes=None), "the classes are None, expected 5 names"),
        (replace(a, classes=tuple(range(5))), r"the classes are \(0, 1, 2, 3, 4\), expected 5 names"),
        (replace(a, steps=7), r"test inputs are uint8 of shape \(6, 3, 12\), expected uint8 of shape \(7, 3, 12\)"),
        (replace(a, steps=6.0), "steps is 6.0, expected a whole number from 1 to 1,000,000"),
        (replace(a, test_inputs=a.test_inputs.astype(float)), "test inputs are float64 of shape"),
        (replace(a, test_scores=a.test_scores[:2]), r"test scores are int64 of shape \(2, 5\)"),
        (replace(a, test_inputs=a.test_inputs.repeat(400, 1), test_scores=a.test_scores.repeat(400, 0)),
         "has 1,200 test vectors, expected at most 1,000"),
        (replace(a, provenance={"loss": float("nan")}), "settings or provenance are no JSON"),
        (replace(a, provenance={"path": path}), "settings or provenance are no JSON .*; use plain values"),
        ({"network": 1}, "cannot save {'network': 1}, expected an artifact"),
        (None, "cannot save None, expected an artifact"),
    ):  # fmt: skip
        with pytest.raises(ArtifactError, match=message) as error:
            artifact.save(wrong, path)
        assert "\n" not in str(error.value)
    for no_path in (None, 5, ["x.izhi"], "x\0"):
        for act in (lambda x: artifact.save(a, x), artifact.load, artifact.load_integers):
            with pytest.raises(ArtifactError, match="the path of an artifact is .*, expected a string or a Path"):
                act(no_path)
    assert not list(tmp_path.iterdir())


def test_samples_that_are_no_spikes_are_not_cut_to_fit():
    a = artifact_of()
    assert a.inputs_of(np.array([[[0.0, 1, 255]]])).tolist() == [[[0, 1, 255]]]
    for wrong, message in (
        ([[[256]]], "hold 256 to 256, expected 0 to 255"),
        ([[[-1.0]]], "hold -1.0 to -1.0, expected 0 to 255"),
        ([[[np.nan]]], "hold nan to nan, expected 0 to 255"),
        ([[[0.5]]], "hold parts of spikes, expected whole numbers"),
        (None, "encoded samples are object, expected numbers"),
    ):
        with pytest.raises(ShapeError, match=message):
            a.inputs_of(wrong)


def test_how_many_test_vectors_are_admitted():
    network = random_network(3, (256, 128, 10))
    count = most_tests(network, 25)
    assert count == 1000
    assert most_tests(network, 5000) == (2**32 // 5000 - 2 * 2**17) // (128 * (256 + 64) + 10 * (128 + 64))
    assert most_tests(network, 20_000) == 0


def test_a_network_of_4_bits_is_small(tmp_path):
    network = random_network(3, (784, 512, 10))
    x = random_spikes(3, 25, 4, 784)
    scores = fixed.run(network, x).scores
    artifact.save(IntegerArtifact(network, 25, tuple("0123456789"), {}, {}, x, scores), tmp_path / "x.izhi")
    assert (tmp_path / "x.izhi").stat().st_size < 260_000
