"""Spikes of one bit: what they hold, and that products with them are those of dense spikes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from izhi import encoding
from izhi.errors import ShapeError
from izhi.kernels import PackedSpikes, product, products, rate, routes
from izhi.kernels.cpu import bits, events
from izhi.kernels.cpu.parallel import array, compile_kernel, launch, number
from izhi.network import Layer, Network
from izhi.network.connections import ConductanceSynapse, Linear
from izhi.neurons import Izhikevich

sizes = st.integers(1, 70)


def spikes_of(shape: tuple[int, ...], density: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < density).float()


@settings(deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 9), sizes, st.sampled_from([0.0, 0.1, 0.9, 1.0]), st.integers(0, 9)
)  # fmt: skip
def test_packing_loses_nothing(steps: int, batch: int, n: int, density: float, seed: int) -> None:
    spikes = spikes_of((steps, batch, n), density, seed)
    small = PackedSpikes.pack(spikes)
    assert small.shape == spikes.shape
    assert small.words.dtype == torch.int32
    assert torch.equal(small.dense(), spikes)
    for size in (4, 32, 33):
        assert torch.equal(torch.cat([x.dense() for x in small.split(size)]), spikes)


@settings(deadline=None)
@given(
    st.integers(1, 40), sizes, sizes, st.one_of(st.integers(1, 16), st.integers(64, 150)),
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
    torch.testing.assert_close(small.grad.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_events_alone_are_exact_for_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    # More steps than a word holds, and a column behind the last whole block.
    spikes = spikes_of((70, 300, 45), 0.1)
    fired = PackedSpikes.pack(spikes).events()
    for outputs in (10, 530):
        weight = torch.arange(outputs * 45.0).view(outputs, 45) % 7
        g = torch.arange(70 * 300.0 * outputs).view(70, 300, outputs) % 3
        for limit in (0.0, 1.0):  # by tables of sums, and by lists
            monkeypatch.setattr(
                events, "_WORTH_TABLES", dict.fromkeys((events.SMALL_OUTPUT, events.OUTPUT_BLOCK), limit)
            )
            assert torch.equal(events.product(fired, weight), spikes @ weight.T)
            assert torch.equal(events.weight_gradient(fired, g), g.flatten(0, 1).T @ spikes.flatten(0, 1))


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 5), sizes, st.integers(1, 70), st.integers(0, 9))
def test_inputs_that_rarely_and_that_usually_fire_are_exact_for_whole_numbers(
    steps: int, batch: int, inputs: int, outputs: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    rates = torch.rand(batch, inputs, generator=random)
    rates = torch.where(torch.rand(batch, inputs, generator=random) < 0.3, rates.round(), rates)  # never, always
    spikes = torch.bernoulli(rates.expand(steps, batch, inputs), generator=random)
    weight = torch.randint(-9, 10, (outputs, inputs), generator=random).float()
    assert torch.equal(events.product(PackedSpikes.pack(spikes).events(), weight), spikes @ weight.T)


@cache
def lister() -> Callable[..., None]:
    @compile_kernel
    def lists(data):  # type: ignore[no-untyped-def]
        active, length = number(data, 0), number(data, 1)
        groups = (active + 31) // 32
        found, of_steps = array(data, 3, active, np.int32), np.zeros(64 * groups, np.uint32)
        fired = array(data, 4, active * events.PLACES, np.int32)
        starts = array(data, 5, events.STARTS, np.int64)
        events.list_steps(number(data, 2), found, active, length, of_steps, fired, starts, 0)

    return lists


@settings(deadline=None)
@given(st.integers(1, 32), sizes, st.integers(0, 9))
def test_whoever_usually_fires_is_listed_where_it_does_not(length: int, active: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    rates = (torch.rand(1, active, generator=random) * 1.4 - 0.2).clamp(0, 1)
    spikes = torch.bernoulli(rates.expand(length, 1, active), generator=random)
    words = torch.zeros(-(-active // 32) * 32, dtype=torch.int32)
    words[:active] = PackedSpikes.pack(spikes).words[0, 0]
    names = torch.arange(active, dtype=torch.int32) * 3
    fired = torch.full((active * events.PLACES,), -1, dtype=torch.int32)
    starts = torch.zeros(events.STARTS, dtype=torch.int64)
    launch(lister(), active, length, words, names, fired, starts, pieces=1)
    parts = [fired[a:b].tolist() for a, b in itertools.pairwise(starts[: 2 + 2 * length].tolist())]
    usual, rest = set(parts[0]), parts[1:]
    for t in range(length):
        expected = set(names[spikes[t, 0] > 0].tolist())
        fires, does_not = set(rest[2 * t]), set(rest[2 * t + 1])
        assert does_not <= usual
        assert not fires & usual
        assert usual - does_not | fires == expected
    # Once in front, and in every step that is not as usual.
    counts = spikes[:, 0].sum(0)
    assert sum(map(len, parts)) == int(torch.minimum(counts, length - counts + 1).sum())


def test_the_inputs_that_fire_are_listed() -> None:
    spikes = spikes_of((40, 5, 90), 0.02)
    found = PackedSpikes.pack(spikes).events()
    assert found.totals == (int(spikes.sum()), int(spikes.sum()), int(spikes.any(0).sum()))
    for b in range(5):
        expected = spikes[:, b].any(0).nonzero()[:, 0]
        assert torch.equal(found.places[b, : found.counts[b]].long(), expected)


def test_sparse_spikes_skip_the_dense_product(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> Tensor:
        raise AssertionError("a dense product")

    monkeypatch.setattr(products.nn.functional, "linear", forbidden)
    weight = torch.randn(64, 100)
    product(PackedSpikes.pack(spikes_of((3, 5, 100), 0.1)), weight)
    product(PackedSpikes.pack(spikes_of((3, 5, 100), 0.95)), weight)  # visits the steps without spikes
    with pytest.raises(AssertionError, match="dense"):
        product(PackedSpikes.pack(spikes_of((30, 5, 100), 0.5)), weight)


@pytest.mark.parametrize("width", [1, 31, 32, 33, 784])
def test_rate_packs_the_spikes_that_it_draws(width: int) -> None:
    values = torch.rand(7, width, generator=torch.Generator().manual_seed(1)) * 2 - 0.5
    values = values.clamp(0, 1)  # some that never fire, and some that always do
    for steps in (9, 32, 70):
        dense = rate(values, steps, 5, torch.float32)
        assert torch.equal(encoding.rate_packed(values, steps, seed=5).dense(), dense)
        assert torch.equal(encoding.rate(values, steps, seed=5), dense)
    assert type(encoding.ValueEncoder("rate", 9, (width,), packs=False)(values, 5)) is Tensor
    coder = encoding.ValueEncoder("latency", 9, (width,), packs=False)
    latency = coder(values, 5)
    packed_latency = replace(coder, packs=True)(values, 5)
    assert isinstance(latency, Tensor)
    assert isinstance(packed_latency, PackedSpikes)
    assert torch.equal(packed_latency.dense(), latency)


@pytest.mark.usefixtures("uncompiled")
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
        layers[0].connection.weight.data.abs_()
        network = Network(layers, keep_every=keep_every)
        network(x).output.sum().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    for a, b in zip(gradients(PackedSpikes.pack(spikes)), gradients(spikes), strict=True):
        assert b.any()
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
    assert all(x.any() for x in out[0])
    assert all(torch.equal(a, b) for x in out for a, b in zip(out[0], x, strict=True))


def test_packed_spikes_of_the_wrong_width_are_named() -> None:
    with pytest.raises(ShapeError, match="spikes are 40 wide, expected 50"):
        Linear(50, 64)(PackedSpikes.pack(spikes_of((3, 2, 40), 0.1)))


@pytest.mark.parametrize("width", [40, 60])
def test_products_of_the_wrong_width_are_refused(width: int) -> None:
    spikes = spikes_of((8, 256, width), 0.1)
    for x in (PackedSpikes.pack(spikes), spikes):
        with pytest.raises(ShapeError, match=f"spikes are {width} wide, expected 50"):
            product(x, torch.zeros(64, 50))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (torch.zeros(2, 2, 1, dtype=torch.int32), r"of shape \(2, 2, 1\), expected int32 \(B, 1, N\)"),
        (torch.zeros(2, 1, 1, dtype=torch.int64), "words are torch.int64"),
        (torch.full((2, 1, 1), -1, dtype=torch.int32), "words have bits beyond the 20 steps"),
        (torch.full((2, 1, 1), 1 << 20, dtype=torch.int32), "words have bits beyond the 20 steps"),
    ],
)
def test_words_whose_bits_would_reach_beyond_the_weights(words, message):
    with pytest.raises(ShapeError, match=message):
        PackedSpikes(words, 20)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(4, 40), st.integers(1, 5), st.integers(1, 100), st.integers(64, 200),
    st.sampled_from([0.0, 0.02, 0.2, 0.6]), st.integers(0, 9),
)  # fmt: skip
def test_spikes_of_a_layer_before_are_visited_alone(
    steps: int, batch: int, inputs: int, outputs: int, density: float, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "WORTH_PACKING", 0)
        spikes = spikes_of((steps, batch, inputs), density, seed).requires_grad_()
        weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed)).requires_grad_()
        found, expected = product(spikes, weight), torch.nn.functional.linear(spikes, weight)
        g = torch.randn(found.shape, generator=torch.Generator().manual_seed(seed))
        assert (found.grad_fn is not None and "Product" in found.grad_fn.name()) == (
            float(spikes.detach().mean()) < 0.4
        )
        for one, other in zip(
            (found, *torch.autograd.grad(found, (spikes, weight), g)),
            (expected, *torch.autograd.grad(expected, (spikes, weight), g)), strict=True,
        ):  # fmt: skip
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, torch.nan, torch.inf])
def test_what_is_no_spike_is_multiplied(value: float) -> None:
    x = spikes_of((5, 200, 90), 0.1)
    x[4, 199, 89] = value
    weight = torch.randn(64, 90)
    assert bits.packed(x) is None
    torch.testing.assert_close(product(x, weight), torch.nn.functional.linear(x, weight), equal_nan=True)


def test_packing_by_the_kernel_is_that_of_numpy() -> None:
    for steps in (1, 31, 32, 33, 100):
        x = spikes_of((steps, 3, 7), 0.3)
        found = bits.packed(x)
        assert found is not None
        flags = np.pad(x.bool().numpy(), ((0, -steps % 32), (0, 0), (0, 0)))
        expected = np.packbits(flags, axis=0, bitorder="little").reshape(-1, 4, 3, 7).transpose(2, 0, 3, 1)
        assert (found[0].numpy() == np.ascontiguousarray(expected).view(np.int32)[..., 0]).all()
        assert found[1] == pytest.approx(float(x.mean()))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_recurrent_layers_visit_their_own_spikes_alone(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    current = spikes_of((12, 6, 70), rate) * 2

    def found(limit: int) -> list[Tensor]:
        monkeypatch.setattr(routes, "WORTH_PACKING", limit)
        torch.manual_seed(0)
        layer = Layer(Linear(70, 70, recurrent=True), Izhikevich())
        with torch.no_grad():
            layer.connection.weight.copy_(torch.eye(70))
        spikes, _ = layer(current)
        (spikes * torch.linspace(-1, 1, 70)).sum().backward()
        assert spikes.any()
        return [spikes.detach(), *(p.grad for p in layer.parameters() if p.grad is not None)]

    for one, other in zip(found(0), found(1 << 60), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
