"""Chains of commands that once ended in a traceback, a nonsense number, or a refusal after training."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from commands import run, succeed
from izhi import LIF, quantization
from izhi.errors import ArtifactError
from izhi.network import Network
from izhi.trust import trust
from tiers import slow_but

IRIS = ("--dataset", "iris", "--neuron", "lif", "--hidden", "6,5", "--epochs", 1, "--steps", 10, "--quiet")


def quantized_chain(folder, *settings):
    """Train, quantise, export and compare every spike."""
    run, rounded = folder / "run", folder / "rounded"
    succeed("train", *IRIS, *settings, "--out", run)
    succeed("quantize", run, "--weights", 2, "--states", 20, "--epochs", 1, "--quiet", "--out", rounded)
    succeed("export", rounded)
    succeed("evaluate", rounded / "network.izhi", "--against", rounded)
    return rounded


KEPT = ["--keep-every", 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [KEPT, ["--precision", "64-true"], ["--neuron", "normalized", "--jacobian-limit", "inf"]],
)
def test_quantised(settings, tmp_path):
    rounded = quantized_chain(tmp_path, *settings)
    for precision in ("64-true", "bf16-mixed", "32-true"):
        succeed("evaluate", rounded, "--precision", precision)


def test_stored_states_leave_gradients_of_a_quantised_network_as_they_are():
    torch.manual_seed(0)
    network, spikes = Network([nn.Linear(8, 6), LIF(), nn.Linear(6, 3), LIF()]), (torch.rand(10, 4, 8) < 0.5).float()
    gradients = []
    for keep_every in (None, 3):
        network.keep_every = keep_every
        rounded = quantization.quantized(network, 4, quantization.usual_formats(network, 16))
        rounded(4 * spikes).output.sum().backward()
        gradients.append([p.grad for p in rounded.parameters() if p.grad is not None])
        rounded.zero_grad()
    assert gradients[0]
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("learn", ["a1,a2,a3,a4,b1,b2,b3,c,d,threshold", "gain"])
def test_coefficients_that_training_carries_far(learn, tmp_path):
    """They are held where the artifact has numbers for them."""
    run = tmp_path / "run"
    words = ["--neuron", "normalized", "--learn", learn, "--per-neuron", "--dynamics-rate", 5, "--epochs", 3]
    succeed("train", *IRIS, *words, "--weight-bits", 4, "--state-bits", 8, "--out", run)
    succeed("export", run)
    succeed("evaluate", run / "network.izhi", "--against", run)


@pytest.mark.parametrize("kernel", slow_but(["auto"], ["auto", "reference"]))
@pytest.mark.parametrize(("steps", "readout"), [(1, "spikes"), (2, "spikes"), (1, "current")])
def test_too_few_steps_for_the_input_to_reach_the_output(steps, readout, kernel, tmp_path):
    words = ["train", *IRIS, "--hidden", 6, "--neuron", "normalized", "--kernel", kernel, "--readout", readout]
    answer = run(*words, "--steps", steps, "--out", tmp_path / "run")
    layers = 2 if readout == "spikes" else 1
    assert f"but {layers} layers fire a step after their input" in answer.refusal
    assert f"choose at least {layers + 1}" in answer.refusal
    assert not (tmp_path / "run").exists()
    succeed(*words, "--steps", layers + 1, "--out", tmp_path / "run")


@pytest.mark.slow
def test_a_simulated_core_runs_twenty_samples_and_says_so(tmp_path):
    run = tmp_path / "run"
    succeed("train", *IRIS, "--weight-bits", 4, "--state-bits", 12, "--out", run)
    succeed("export", run)
    words = ["run", run / "network.izhi", "--device", "simulator", "--compare"]
    answer = succeed(*words)
    assert "20 of 30 test samples, since simulation is slow (--samples)" in answer.error
    assert "20 of 20 samples" in answer.error
    assert "of 20 samples" in answer.out
    assert "of 3 samples" in succeed(*words, "--samples", 3).out
    assert "of 30 samples" in succeed("run", run / "network.izhi").out


@pytest.fixture(scope="module")
def beyond(tmp_path_factory):
    """A run whose u0 no state of few bits holds, since no sample drives u so far."""
    run = tmp_path_factory.mktemp("beyond") / "run"
    succeed("train", *IRIS, "--out", run)
    return run


@pytest.mark.slow
def test_what_no_artifact_holds_is_refused_before_training(beyond, tmp_path, monkeypatch):
    def refuse(path, *, test=True):
        raise ArtifactError(f"{path} has layers.0.u0 beyond its format of 12 bits; export it again")

    monkeypatch.setattr("izhi.hardware.artifact.load", refuse)
    for more in ((), ("--check",)):
        answer = run("quantize", beyond, "--weights", 3, "--states", 12, *more, "--out", tmp_path / "q")
        assert answer.refusal == (
            "izhi: no artifact holds the network with weights of 3 bits and states of 12: it has layers.0.u0 beyond its"
            " format of 12 bits; choose more bits"
        )
    assert not (tmp_path / "q").exists()


def test_whether_a_run_can_go_to_integers(beyond, tmp_path):
    found = tmp_path / "found.json"
    answer = succeed("quantize", beyond, "--check", "--weights", "4,2", "--states", "12,8", "--json", found)
    assert answer.out.count("can be quantised, exported and run on a core") == 4
    assert json.loads(found.read_text())[1] == {"weight_bits": 4, "state_bits": 8}


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        ('neuron = "lif"', None),
        ('neuron = "biological"', None),
        ('neuron = "normalized"\norder = "snntorch"', None),
        ('neuron = "lif"\nencoding = "constant"\nlevels = 255\nhidden = [5]', None),
        ('neuron = "lif"\nreset = "none"', None),
        ('neuron = "lif"\nconnection = "conductance"', "izhi: connection is Linear with ConductanceSynapse"),
    ],
)
def test_whether_settings_can_go_to_integers(settings, refusal, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(f'dataset = "iris"\n{settings}')
    answer = run("quantize", file, "--check")
    assert (answer.refusal or "").startswith(refusal or "")
    assert (answer.refusal is None) == (refusal is None)
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("method", ["ptq", "qat"])
def test_what_hardware_does_not_read_is_refused_before_it_is_quantised(method, tmp_path):
    trust("combinations.datasets:series")
    words = ["train", "--dataset", "combinations.datasets:series", "--encoding", "current", "--lengths", "pad"]
    succeed(*words, "--neuron", "lif", "--hidden", 6, "--steps", 9, "--epochs", 1, "--quiet", "--out", tmp_path / "run")
    refusal = "izhi: lengths is 'pad', whose output after the end of a sample hardware would count; train with resample"
    assert run("quantize", tmp_path / "run", "--check").refusal == refusal
    assert run("quantize", tmp_path / "run", "--method", method, "--out", tmp_path / "q").refusal == refusal
    assert not (tmp_path / "q").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "steps", "order"), [("rows", 8, 1), ("pixels", 64, "order.npz")])
def test_images_over_time_go_to_integers_in_levels(encoding, steps, order, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("order.npz", permutation=np.random.default_rng(0).permutation(64))
    out, rounded = tmp_path / "run", tmp_path / "q"
    words = ["train", "--dataset", "digits", "--neuron", "resonator", "--hidden", 6, "--encoding", encoding]
    words += ["--readout", "spikes"]
    succeed(*words, "--steps", steps, "--permutation", order, "--epochs", 1, "--train-samples", 200, "--out", out)
    succeed("quantize", out, "--levels", 16, "--epochs", 1, "--out", rounded)
    succeed("export", rounded)
    artifact = rounded / "network.izhi"
    found = tmp_path / "found.json"
    succeed("evaluate", artifact, "--against", rounded, "--json", found)
    agreement = json.loads(found.read_text())
    assert all(agreement["spikes"])
    assert (agreement["different"], agreement["scores"]) == ([0, 0], 0)
    succeed("run", artifact, "--samples", 5, "--compare")


@pytest.mark.slow
def test_the_dense_twin_of_a_series_sees_every_step(tmp_path):
    trust("combinations.datasets:series")
    words = [
        "train",
        *IRIS,
        "--dataset",
        "combinations.datasets:series",
        "--encoding",
        "current",
        "--readout",
        "spikes",
    ]
    words += ["--population", "0", "--steps"]
    products = []
    for steps in (5, 10):
        found = tmp_path / "found.json"
        succeed(*words, steps, "--out", tmp_path / str(steps))
        succeed("evaluate", tmp_path / str(steps), "--energy", "--json", found)
        products.append(json.loads(found.read_text())["energy"]["dense_twin_MACs"])
    assert products == [5 * (2 * 6 + 6 * 5 + 5 * 3), 10 * (2 * 6 + 6 * 5 + 5 * 3)]
