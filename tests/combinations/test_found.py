"""Chains of commands that once ended in a traceback, a nonsense number, or a refusal after training."""

import pytest
import torch
from torch import nn

from combinations.commands import run, succeed
from izhi import LIF, quantization
from izhi.network import Network

IRIS = ("--dataset", "iris", "--neuron", "lif", "--hidden", "6,5", "--epochs", 1, "--steps", 10, "--quiet")


def quantized_chain(folder, *settings):
    """Train, quantise, export and compare every spike."""
    run, rounded = folder / "run", folder / "rounded"
    succeed("train", *IRIS, *settings, "--out", run)
    succeed("quantize", run, "--weights", 2, "--states", 20, "--epochs", 1, "--quiet", "--out", rounded)
    succeed("export", rounded)
    succeed("evaluate", rounded / "network.izhi", "--against", rounded)
    return rounded


@pytest.mark.parametrize(
    "settings", [("--keep-every", 3), ("--precision", "64-true"), ("--neuron", "normalized", "--jacobian-limit", "inf")]
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


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize(("steps", "readout"), [(1, "spikes"), (2, "spikes"), (1, "current")])
def test_too_few_steps_for_the_input_to_reach_the_output(steps, readout, kernel, tmp_path):
    words = ["train", *IRIS, "--hidden", 6, "--neuron", "normalized", "--kernel", kernel, "--readout", readout]
    answer = run(*words, "--steps", steps, "--out", tmp_path / "run")
    layers = 2 if readout == "spikes" else 1
    assert f"but {layers} layers fire a step after their input" in answer.refusal
    assert f"choose at least {layers + 1}" in answer.refusal
    assert not (tmp_path / "run").exists()
    succeed(*words, "--steps", layers + 1, "--out", tmp_path / "run")


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
