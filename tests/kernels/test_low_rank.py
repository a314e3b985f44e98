"""Gradients of spikes that are handed down as two factors are those of dense products, for whoever receives them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from izhi.kernels import fused, product, routes
from izhi.kernels.low_rank import LowRankGradient
from izhi.network import Layer, Network
from izhi.network.connections import AxonalDelay, Linear
from izhi.neurons import LIF, Izhikevich


def test_it_is_its_product() -> None:
    g, weight = torch.randn(3, 4, 5), torch.randn(5, 6)
    found, expected = LowRankGradient(g, weight), g @ weight
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert torch.equal(found + 1, expected + 1)
    assert torch.equal(found.flatten(1) * 2, expected.flatten(1) * 2)
    viewed = found.view(3, 4, 2, 3)
    assert isinstance(viewed, LowRankGradient)
    assert torch.equal(viewed.sum(-1), expected.view(3, 4, 2, 3).sum(-1))
    assert torch.equal(found.view(12, 6).sum(1), expected.view(12, 6).sum(1))
    assert torch.equal(torch.from_numpy(found.numpy()), expected)
    assert found.data_ptr() == found.data_ptr()
    found[1] = 0
    assert torch.equal(found + 0, torch.cat([expected[:1], torch.zeros(1, 4, 6), expected[2:]]))


def test_it_is_computed_behind_weights_that_learn() -> None:
    g, weight = torch.randn(3, 4, 5), torch.randn(5, 6, requires_grad=True)
    found = LowRankGradient(g, weight) + 0  # after a backward pass, where what is done to weights is recorded
    assert torch.equal(found, g @ weight)
    assert not found.requires_grad


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(
    st.integers(4, 11), st.integers(1, 9), st.integers(1, 90), st.integers(1, 16), st.booleans(),
    st.sampled_from([None, "lif"]), st.sampled_from([None, "delay", "mean", "largest"]), st.integers(0, 9),
)  # fmt: skip
def test_a_network_learns_the_same_by_factors(
    steps: int, batch: int, hidden: int, outputs: int, recurrent: bool, neuron: str | None, between: str | None,
    seed: int,
) -> None:  # fmt: skip
    spikes = (torch.rand(steps, batch, 40, generator=torch.Generator().manual_seed(seed)) < 0.3).float()

    def gradients(few: int) -> list[Tensor]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(routes, "WORTH_PACKING", 0)
            patch.setitem(routes.DENSE, torch.float32, 2.0)
            if not few:
                patch.setattr(fused, "factors_of", lambda *_: None)
            torch.manual_seed(seed)
            kind = LIF if neuron else Izhikevich
            first = Layer(Linear(40, 2 * hidden, recurrent=recurrent), kind())
            pool = {"mean": nn.AvgPool1d(2), "largest": nn.MaxPool1d(2)}.get(between or "")
            pools = [] if pool is None else [nn.Unflatten(1, (1, -1)), pool, nn.Flatten()]
            width = 2 * hidden // (1 + len(pools) // 3)
            delay = AxonalDelay(width, 3) if between == "delay" else None
            network = Network([first, *pools, Layer(Linear(width, outputs), LIF(), delay)])
            (network(spikes).output * torch.linspace(-1, 1, outputs)).sum().backward()
            return [p.grad for p in network.parameters() if p.grad is not None]

    for one, other in zip(gradients(16), gradients(0), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_whoever_asks_for_the_gradient_of_spikes_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "WORTH_PACKING", 0)
    current = (torch.rand(6, 3, 30, generator=torch.Generator().manual_seed(0)) * 2).requires_grad_()
    weight = torch.randn(4, 30, generator=torch.Generator().manual_seed(1))
    spikes, _ = LIF()(current)
    seen: list[Tensor] = []
    spikes.register_hook(lambda g: seen.append(g * 1))
    g = torch.randn(6, 3, 4)
    (product(spikes, weight) * g + spikes.sum()).sum().backward(retain_graph=True)
    expected = g @ weight + 6 * 3 * 4
    torch.testing.assert_close(seen[0], expected)
    (found,) = torch.autograd.grad((product(spikes, weight) * g).sum(), spikes)
    torch.testing.assert_close(found + 0, g @ weight)
