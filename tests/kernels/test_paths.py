"""Whoever asks is told which way products and neurons go, and why."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from izhi.kernels import PackedSpikes, dispatch, paths, product
from izhi.network import Layer, Network
from izhi.network.connections import Conv2d, Linear
from izhi.neurons import LIF, Izhikevich


def spikes_of(*shape: int, density: float = 0.1) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < density).float()


@pytest.mark.parametrize(
    ("spikes", "outputs", "way", "why"),
    [
        (spikes_of(8, 64, 200), 64, "sums over spikes", r"10\.\d% of inputs are spikes"),
        (spikes_of(8, 64, 200, density=0.8), 64, "dense product", r"8\d\.\d% of inputs are spikes"),
        (spikes_of(8, 64, 200) / 2, 64, "dense product", "inputs are not 0 and 1 alone"),
        (spikes_of(8, 64, 200), 32, "dense product", "so few outputs leave vectors empty"),
        (spikes_of(8, 4, 200), 64, "dense product", "it is small"),
        (spikes_of(8, 64, 200).bfloat16(), 64, "dense product", "it is in bfloat16"),
        (PackedSpikes.pack(spikes_of(8, 4, 200)), 64, "sums over spikes", r"of inputs are spikes"),
        (PackedSpikes.pack(spikes_of(8, 4, 200)), 32, "dense product", "so few outputs leave vectors empty"),
    ],
)
def test_products_say_which_way_they_go(spikes, outputs, way, why):
    weight = torch.zeros(outputs, 200, dtype=spikes.dtype)
    with paths.recorded() as found:
        product(spikes, weight)
        product(spikes, weight)
    assert [path.what for path in found] == [f"product 200 → {outputs}"]
    assert found[0].way.startswith(way)
    assert re.search(why, found[0].why)


def test_a_network_says_which_way_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_said", set())  # of tests before this one
    layers = [
        Layer(Conv2d(1, 4, 3, padding=1), LIF()), nn.Flatten(), Layer(Linear(100, 64, recurrent=True), Izhikevich()),
        Layer(Linear(64, 7), Izhikevich(surrogate=torch.sigmoid)), Layer(Linear(7, 3), LIF(kernel="reference")),
    ]  # fmt: skip
    network = Network(layers)
    with paths.recorded() as found, paths.recorded() as other, pytest.warns(match="step by step in torch"):
        network(spikes_of(5, 2, 1, 5, 5)).output.sum().backward()
    assert found == other
    told = {path.what: (path.way, path.why) for path in found}
    assert told["convolution 1 → 4 channels"][1] == "sums over spikes need a row"
    assert told["neurons 4 × 5 × 5"][0] == "one kernel through all steps (Numba)"
    assert told["neurons 64"][0] == "one kernel, recurrence and all (Numba)"
    assert told["neurons 7"] == ("torch, step by step", "its surrogate has no closed form that kernels know")
    assert told["neurons 3"] == ("torch, step by step", "kernel='reference' asks for that")
    assert "gradient of weights 64 → 64" in told
    count = len(found)
    network(spikes_of(5, 2, 1, 5, 5))
    assert len(found) == count


def test_recurrence_in_bfloat16_is_in_float32_where_it_has_no_kernel() -> None:
    layer = Layer(Linear(20, 20, recurrent=True), Izhikevich())
    with paths.recorded() as found, torch.autocast("cpu", torch.bfloat16):
        out, _ = layer(spikes_of(4, 3, 20))
    assert out.dtype == torch.bfloat16
    assert [path.why for path in found] == ["it is in bfloat16", "recurrence in float32 has one"]
