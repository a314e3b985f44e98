"""float16, which CUDA's autocast has, in the kernels for GPUs, here in Triton's interpreter."""

from __future__ import annotations

import warnings
from copy import deepcopy

import pytest
import torch
from torch import nn

from izhi import LIF, Izhikevich, preset
from izhi.connections import ConductanceSynapse, ExponentialSynapse, Linear
from izhi.errors import SlowKernelWarning
from izhi.kernels import routes
from izhi.network import Layer, Network

pytest.importorskip("triton")
pytestmark = pytest.mark.slow
WHERE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize(
    "make",
    [
        lambda: LIF(kernel="cuda"), lambda: LIF(reset="value", learn=("beta",), kernel="cuda"),
        lambda: Izhikevich(preset("normalized"), learn=("gain",), kernel="cuda"),
        lambda: Izhikevich(preset("RS"), gain=200, kernel="cuda"),
    ],
    ids=["lif", "lif to a value", "normalised", "RS"],
)  # fmt: skip
def test_spikes_are_those_of_the_same_numbers_in_float32(make):
    torch.manual_seed(0)
    current = (torch.rand(30, 3, 20, device=WHERE) * 0.5).half()
    pull = torch.randn(30, 3, 20, device=WHERE)
    found = []
    for dtype in (torch.float16, torch.float32):
        neuron, x = make().to(WHERE), current.to(dtype, copy=True).requires_grad_()
        spikes, state = neuron(x)
        assert (spikes.dtype, state.v.dtype) == (dtype, torch.float32)
        (spikes.float() * pull).sum().backward()
        found.append((spikes.float(), state.v, x.grad, [p.grad for p in neuron.parameters()]))
    (spikes, v, grad, learned), (spikes_32, v_32, grad_32, learned_32) = found
    assert spikes.any()
    assert torch.equal(spikes, spikes_32)
    assert torch.equal(v, v_32)
    assert grad.dtype == torch.float16
    torch.testing.assert_close(grad.float(), grad_32, rtol=2e-3, atol=2e-3 * float(grad_32.abs().max()))
    for one, other in zip(learned, learned_32, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "connection",
    [
        Linear(12, 20), Linear(12, 20, recurrent=True), Linear(12, 20, synapse=ExponentialSynapse()),
        Linear(12, 20, synapse=ConductanceSynapse()),
    ],
    ids=["linear", "recurrent", "exponential", "conductance"],
)  # fmt: skip
def test_a_network_learns_under_autocast_without_the_reference(connection):
    torch.manual_seed(0)
    layers = [Layer(deepcopy(connection), LIF(kernel="cuda")), Layer(Linear(20, 16), Izhikevich(kernel="cuda"))]
    network = Network(layers, readout=Linear(16, 3)).to(WHERE)
    x, labels = (torch.rand(15, 6, 12, device=WHERE) < 0.5).float(), torch.arange(6, device=WHERE) % 3
    with warnings.catch_warnings(), routes.recorded() as used, torch.autocast(WHERE, torch.float16):
        warnings.simplefilter("error", SlowKernelWarning)
        loss = nn.functional.cross_entropy(network(x).output.float().sum(0), labels)
    loss.backward()
    assert all("Triton" in route.kernel for route in used if route.operation.startswith("neurons"))
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None)
    assert sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None) > 0


def test_a_cpu_says_which_formats_its_kernels_take(monkeypatch):
    monkeypatch.setattr("izhi.kernels.dispatch._warned", set())
    with pytest.warns(SlowKernelWarning, match="since it is in float16, not float32 or bfloat16"):
        LIF()(torch.rand(4, 2, 3).half())
