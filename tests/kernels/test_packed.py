"""Spikes of one bit: what they hold, and that products with them are those of dense spikes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from izhi import encoding
from izhi.errors import ShapeError
from izhi.kernels import PackedSpikes, packed, product
from izhi.kernels.cpu import events
from izhi.network import Layer, Network
from izhi.network.connections import ConductanceSynapse, Linear
from izhi.neurons import Izhikevich

sizes = st.integers(1, 70)


def spikes_of(shape: tuple[int, ...], density: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < density).float()


@given(
    st.integers(1, 6), st.integers(1, 9), sizes, st.sampled_from([0.0, 0.1, 0.9, 1.0]), st.integers(0, 9)
)  # fmt: skip
def test_packing_loses_nothing(steps: int, batch: int, n: int, density: float, seed: int) -> None:
    spikes = spikes_of((steps, batch, n), density, seed)
    small = PackedSpikes.pack(spikes)
    assert small.shape == spikes.shape
    assert small.words.dtype == torch.int32
    assert torch.equal(small.dense(), spikes)
    assert torch.equal(torch.cat([x.dense() for x in small.split(4)]), spikes)


@settings(deadline=None)
@given(
    st.integers(1, 5), sizes, sizes, st.integers(64, 150),
    st.sampled_from([0.0, 0.02, 0.2, 0.6]), st.integers(0, 9),
)  # fmt: skip
def test_products_and_gradients_are_those_of_dense_spikes(
    steps: int, batch: int, inputs: int, outputs: int, density: float, seed: int
) -> None:
    spikes = spikes_of((steps, batch, inputs), density, seed)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
    g = torch.randn(steps, batch, outputs, generator=generator, dtype=torch.float64)
    small = weight.float().requires_grad_()
    out = product(PackedSpikes.pack(spikes), small)
    out.backward(g.float())
    assert small.grad is not None
    torch.testing.assert_close(out.double(), spikes.double() @ weight.T, rtol=1e-5, atol=1e-5)
    expected = g.flatten(0, 1).T @ spikes.double().flatten(0, 1)
    torch.testing.assert_close(small.grad.double(), expected, rtol=1e-5, atol=1e-5)


def test_events_alone_are_exact_for_whole_numbers() -> None:
    # More rows than fit one piece of work, more words than are visited at once, and a column in the
    # second piece.
    spikes = spikes_of((1, 40_000, 40), 0.1)
    words = PackedSpikes.pack(spikes).words[0]
    weight = torch.arange(530 * 40.0).view(530, 40) % 7
    assert torch.equal(events.product(words, weight), spikes[0] @ weight.T)
    g = torch.arange(40_000 * 530.0).view(40_000, 530) % 3
    assert torch.equal(events.weight_gradient(words, 40, g), g.T @ spikes[0])


def test_sparse_spikes_skip_the_dense_product(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> Tensor:
        raise AssertionError("a dense product")

    monkeypatch.setattr(packed.nn.functional, "linear", forbidden)
    weight = torch.randn(64, 100)
    product(PackedSpikes.pack(spikes_of((3, 5, 100), 0.1)), weight)
    with pytest.raises(AssertionError, match="dense"):
        product(PackedSpikes.pack(spikes_of((3, 5, 100), 0.9)), weight)


@pytest.mark.parametrize("width", [1, 31, 32, 33, 784])
def test_rate_packs_the_spikes_that_it_draws(width: int) -> None:
    values = torch.rand(7, width, generator=torch.Generator().manual_seed(1))
    dense = encoding.rate(values, 9, seed=5)
    assert torch.equal(encoding.rate_packed(values, 9, seed=5).dense(), dense)
    coder = encoding.ValueEncoder("latency", 9, (width,), packs=False)
    latency = coder(values, 5)
    packed_latency = replace(coder, packs=True)(values, 5)
    assert isinstance(latency, Tensor)
    assert isinstance(packed_latency, PackedSpikes)
    assert torch.equal(packed_latency.dense(), latency)


@pytest.mark.parametrize("synapse", [None, ConductanceSynapse])
@pytest.mark.parametrize("keep_every", [None, 4])
def test_a_network_learns_the_same_from_packed_spikes(
    synapse: type[ConductanceSynapse] | None, keep_every: int | None
) -> None:
    spikes = spikes_of((10, 8, 50), 0.15)

    def gradients(x: Tensor | PackedSpikes) -> list[Tensor]:
        torch.manual_seed(0)
        layers = [
            Layer(Linear(50, 64, synapse=synapse and synapse()), Izhikevich()),
            Layer(Linear(64, 3), Izhikevich()),
        ]
        network = Network(layers, keep_every=keep_every)
        network(x).output.sum().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    for a, b in zip(gradients(PackedSpikes.pack(spikes)), gradients(spikes), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_number_of_threads_changes_nothing() -> None:
    spikes = PackedSpikes.pack(spikes_of((9, 31, 200), 0.1))
    threads, out = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            weight = torch.randn(150, 200, generator=torch.Generator().manual_seed(0))
            currents = product(spikes, weight.requires_grad_())
            currents.square().sum().backward()
            assert weight.grad is not None
            out.append((currents.detach(), weight.grad))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for x in out for a, b in zip(out[0], x, strict=True))


def test_packed_spikes_of_the_wrong_width_are_named() -> None:
    with pytest.raises(ShapeError, match="spikes are 40 wide, expected 50"):
        Linear(50, 64)(PackedSpikes.pack(spikes_of((3, 2, 40), 0.1)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (torch.zeros(2, 1, 2, dtype=torch.int32), r"of shape \(2, 1, 2\), expected int32 \(T, B, 1\)"),
        (torch.zeros(2, 1, 1, dtype=torch.int64), "words are torch.int64"),
        (torch.full((2, 1, 1), -1, dtype=torch.int32), "words have bits beyond the 20 neurons"),
        (torch.full((2, 1, 1), 1 << 20, dtype=torch.int32), "words have bits beyond the 20 neurons"),
    ],
)
def test_words_whose_bits_would_reach_beyond_the_weights(words, message):
    with pytest.raises(ShapeError, match=message):
        PackedSpikes(words, 20)
