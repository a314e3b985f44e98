"""Which kernels run products and neurons: the choice for every kind of call, and what is recorded of it."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from izhi.deprecation import RenamedWarning
from izhi.kernels import PackedSpikes, dispatch, product, routes, takes_bits
from izhi.kernels.routes import CallDescription, Machine, NeuronCall, ProductCall, SpikeStatistics, choose_route
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
    with routes.recorded() as found:
        product(spikes, weight)
        product(spikes, weight)
    assert [route.operation for route in found] == [f"product 200 → {outputs}"]
    assert found[0].kernel.startswith(way)
    assert re.search(why, found[0].reason)


@pytest.mark.usefixtures("uncompiled")
def test_a_network_says_which_way_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_warned", set())  # of tests before this one
    layers = [
        Layer(Conv2d(1, 4, 3, padding=1), LIF()), nn.Flatten(), Layer(Linear(100, 64, recurrent=True), Izhikevich()),
        Layer(Linear(64, 7), Izhikevich(surrogate=torch.sigmoid)), Layer(Linear(7, 3), LIF(kernel="reference")),
    ]  # fmt: skip
    network = Network(layers)
    with routes.recorded() as found, routes.recorded() as other, pytest.warns(match="step by step in torch"):
        network(spikes_of(5, 2, 1, 5, 5)).output.sum().backward()
    assert found == other
    told = {x.operation: (x.kernel, x.reason) for x in found}
    assert told["convolution 1 → 4 channels"][1] == "so few channels leave vectors empty"
    assert told["neurons 4 × 5 × 5"][0] == "one kernel through all steps (Numba)"
    assert told["neurons 64"][0] == "one kernel, recurrence and all (Numba)"
    assert told["neurons 7"] == ("torch, step by step", "its surrogate has no closed form that kernels know")
    assert told["neurons 3"] == ("torch, step by step", "kernel='reference' asks for that")
    count = len(found)
    network(spikes_of(5, 2, 1, 5, 5))
    assert len(found) == count


def test_recurrence_in_bfloat16_is_in_float32_where_it_has_no_kernel() -> None:
    layer = Layer(Linear(20, 20, recurrent=True), Izhikevich())
    with routes.recorded() as found, torch.autocast("cpu", torch.bfloat16):
        out, _ = layer(spikes_of(4, 3, 20))
    assert out.dtype == torch.bfloat16
    assert [route.reason for route in found] == ["it is in bfloat16", "recurrence in float32 has one"]


BF16, F32 = torch.bfloat16, torch.float32
SERVER, PLAIN, GPU = Machine("matrix unit", True), Machine(), Machine(None, True)
VECTORS = Machine("vectors of bfloat16")
FEW = SpikeStatistics(density=0.1, visited=0.05, active=0.3)
SOME = SpikeStatistics(density=0.3, visited=0.2, active=0.6)
MOST = SpikeStatistics(density=0.6, visited=0.5, active=0.9)
_tiles = "matrix unit, spikes as bits along time"
_sums = "sums over spikes, as bits along time"


@pytest.mark.parametrize(
    ("call", "machine", "kernel", "reason"),
    [
        # Dense tensors.
        (ProductCall(200, 64), PLAIN, "count", "depends"),
        (ProductCall(200, 64, statistics=FEW), PLAIN, "sums", "10.0% of inputs are spikes"),
        (ProductCall(200, 64, statistics=MOST), PLAIN, "dense", "60.0% of inputs are spikes"),
        (ProductCall(200, 64, statistics=SpikeStatistics(is_binary=False)), PLAIN, "dense", "not 0 and 1 alone"),
        (ProductCall(200, 10, statistics=FEW), PLAIN, "sums", "of inputs are spikes"),
        (ProductCall(200, 17, statistics=FEW), PLAIN, "dense", "so few outputs leave vectors empty"),
        (ProductCall(200, 63, statistics=FEW), PLAIN, "dense", "so few outputs leave vectors empty"),
        (ProductCall(200, 64, size=65535), PLAIN, "dense", "it is small"),
        (ProductCall(200, 64, steps=3), PLAIN, "dense", "it is small"),
        (ProductCall(200, 64, rank=4), PLAIN, "dense", "no single row of features"),
        (ProductCall(200, 64, BF16), SERVER, "dense", "it is in bfloat16"),
        (ProductCall(200, 64, dense_dtype=BF16), SERVER, "dense", "it is in bfloat16"),
        (ProductCall(200, 64, torch.float64), PLAIN, "dense", "it is in float64"),
        (ProductCall(200, 64, device="cuda"), GPU, "dense", "it is on cuda"),
        (ProductCall(200, 64, device="mps"), PLAIN, "dense", "it is on mps"),
        (ProductCall(200, 64, is_traced=True), PLAIN, "dense", "torch compiles"),
        # Images.
        (ProductCall(1, 8, source="image"), PLAIN, "count", "depends"),
        (ProductCall(1, 8, source="image", statistics=FEW), PLAIN, "sums", "10.0% of inputs are not 0"),
        (ProductCall(1, 8, source="image", statistics=SOME), PLAIN, "gradient", "30.0% of inputs are not 0"),
        (ProductCall(1, 8, source="image", statistics=MOST), PLAIN, "dense", "60.0% of inputs are not 0"),
        (ProductCall(1, 8, BF16, dense_dtype=BF16, source="image", statistics=FEW), VECTORS, "gradient", "10.0%"),
        (ProductCall(1, 8, BF16, dense_dtype=BF16, source="image", statistics=SOME), VECTORS, "dense", "30.0%"),
        (ProductCall(1, 8, BF16, dense_dtype=BF16, source="image", statistics=FEW), PLAIN, "sums", "10.0%"),
        (ProductCall(1, 8, dense_dtype=BF16, source="image", statistics=FEW), SERVER, "dense", "10.0%"),
        (ProductCall(1, 7, source="image"), PLAIN, "dense", "so few channels leave vectors empty"),
        (ProductCall(8, 32, source="image", groups=8), PLAIN, "dense", "so few channels leave vectors empty"),
        (ProductCall(1, 8, source="image", is_dilated=True), PLAIN, "dense", "its kernel is dilated"),
        (ProductCall(1, 8, source="image", size=65535), PLAIN, "dense", "it is small"),
        (ProductCall(1, 8, source="image", is_traced=True), PLAIN, "dense", "torch compiles"),
        (ProductCall(1, 8, source="image", device="cuda"), GPU, "dense", "it is on cuda"),
        (ProductCall(1, 8, torch.float64, dense_dtype=torch.float64, source="image"), PLAIN, "dense", "in float64"),
        # Bits of an encoder.
        (ProductCall(200, 64, source="encoded"), PLAIN, "count", "depends"),
        (ProductCall(200, 64, source="encoded", size=1, steps=1, statistics=FEW), PLAIN, "sums", "10.0%"),
        (ProductCall(200, 64, source="encoded", statistics=MOST), PLAIN, "dense", "60.0%"),
        (ProductCall(200, 32, source="encoded", statistics=FEW), PLAIN, "dense", "so few outputs leave vectors empty"),
        (ProductCall(200, 64, source="encoded", device="cuda"), GPU, "dense", "sums over spikes are made on a CPU"),
        (ProductCall(200, 64, BF16, source="encoded"), SERVER, "count", "depends"),
        (ProductCall(200, 64, BF16, source="encoded", statistics=FEW), SERVER, "tiles", "30% of inputs fire"),
        (ProductCall(200, 64, BF16, source="encoded", statistics=MOST), SERVER, "dense", "60.0%"),
        (ProductCall(200, 10, BF16, source="encoded", statistics=MOST), SERVER, "tiles", "90% of inputs fire"),
        (ProductCall(200, 64, BF16, source="encoded", statistics=FEW), PLAIN, "dense", "10.0%"),
        (ProductCall(200, 64, BF16, BF16, source="encoded", statistics=FEW), SERVER, "dense", "10.0%"),
        (ProductCall(200, 64, BF16, source="encoded", device="cuda"), GPU, "tiles", "spikes are bits"),
        # Bits of a layer.
        (ProductCall(200, 64, source="hidden", statistics=FEW), PLAIN, "sums", "10.0%"),
        (ProductCall(200, 64, source="hidden", size=9), PLAIN, "dense", "it is small"),
        (ProductCall(200, 64, BF16, source="hidden", statistics=FEW), SERVER, "tiles", "30% of inputs fire"),
        (ProductCall(200, 64, BF16, source="hidden", statistics=MOST), SERVER, "dense", "it is in bfloat16"),
        (ProductCall(200, 64, BF16, source="hidden", device="cuda"), GPU, "dense", "it is on cuda"),
        (ProductCall(200, 10, BF16, source="hidden", device="cuda"), GPU, "tiles", "spikes are bits"),
    ],
)  # fmt: skip
def test_routes_of_products(call: ProductCall, machine: Machine, kernel: str, reason: str) -> None:
    route = choose_route(CallDescription(call), machine)
    assert route.neurons is None
    assert route.product is not None
    assert route.product.kernel == kernel
    assert reason in route.product.reason
    sums = "sums over what is not 0" if call.source == "image" else _sums
    assert route.product.label == {"sums": sums, "tiles": _tiles}.get(kernel, route.product.label)


_encoded = ProductCall(200, 64, source="encoded", statistics=FEW)
_encoded_bf16 = _encoded._replace(dtype=BF16)


@pytest.mark.parametrize(
    ("product_call", "call", "machine", "expected", "reason"),
    [
        (None, NeuronCall((64,)), PLAIN, ("cpu", "neurons", F32), "neuron, surrogate and float32 have one"),
        (None, NeuronCall((64,), (BF16, F32)), PLAIN, ("cpu", "neurons", BF16), "bfloat16 have one"),
        (None, NeuronCall((4, 5, 5), (BF16, F32, F32), coupled=True), PLAIN, ("cpu", "neurons", F32), "float32"),
        (None, NeuronCall((64,), device="cuda"), GPU, ("cuda", "neurons", F32), "float32 have one"),
        (None, NeuronCall((64,), device="cuda"), PLAIN, ("reference", "neurons", F32), "Triton is not installed"),
        (None, NeuronCall((64,), device="mps"), GPU, ("reference", "neurons", F32), "it is on mps"),
        (None, NeuronCall((64,), kernel="cuda"), GPU, ("reference", "neurons", F32), "only interprets"),
        (None, NeuronCall((64,), kernel="cuda"), Machine(None, True, True), ("cuda", "neurons", F32), "have one"),
        (None, NeuronCall((64,), kernel="cpu", device="cuda"), GPU, ("reference", "neurons", F32), "it is on cuda"),
        (None, NeuronCall((64,), kernel="reference"), PLAIN, ("reference", "neurons", F32), "asks for that"),
        (None, NeuronCall((64,), has_formula=False), PLAIN, ("reference", "neurons", F32), "no closed form"),
        (None, NeuronCall((64,), (torch.float64,)), PLAIN, ("reference", "neurons", F32), "it is in float64"),
        (None, NeuronCall((64,), has_state_quant=True), PLAIN, ("reference", "neurons", F32), "quantises its state"),
        (None, NeuronCall((64,), is_traced=True), PLAIN, ("reference", "neurons", F32), "torch compiles"),
        # Recurrence.
        (None, NeuronCall((64,), feedback="matrix"), PLAIN, ("cpu", "samples", F32), "recurrence in float32 has"),
        (None, NeuronCall((64,), (BF16,), feedback="matrix"), SERVER, ("cpu", "samples", BF16), "bfloat16 has one"),
        (None, NeuronCall((65,), (BF16,), feedback="matrix"), SERVER, ("cpu", "samples", F32), "float32 has one"),
        (None, NeuronCall((64,), (BF16,), feedback="matrix"), PLAIN, ("cpu", "samples", F32), "float32 has one"),
        (None, NeuronCall((64,), (BF16,), "cuda", feedback="matrix"), GPU, ("cuda", "samples", BF16), "bfloat16 has"),
        (None, NeuronCall((4, 5, 5), feedback="convolution"), PLAIN, ("reference", "neurons", F32), "a convolution"),
        (None, NeuronCall((9000,), feedback="matrix"), PLAIN, ("reference", "neurons", F32), "8,192 neurons are"),
        (None, NeuronCall((9000,), device="cuda", feedback="matrix"), GPU, ("cuda", "samples", F32), "has one"),
        # Few inputs.
        (ProductCall(2, 64), NeuronCall((64,), feedback="matrix"), PLAIN, ("cpu", "samples", F32), "has one"),
        (ProductCall(2, 64), NeuronCall((64,), can_fuse=True), PLAIN, ("cpu", "samples", F32), "it has 2 inputs"),
        (ProductCall(1, 64), NeuronCall((64,), quantized=True), PLAIN, ("cpu", "samples", F32), "it has one input"),
        (ProductCall(16, 64, dense_dtype=BF16), NeuronCall((64,), (BF16,)), PLAIN, ("cpu", "samples", BF16), "16"),
        (ProductCall(17, 64), NeuronCall((64,)), PLAIN, ("cpu", "neurons", F32), "float32 have one"),
        (ProductCall(2, 16), NeuronCall((16,)), PLAIN, ("cpu", "neurons", F32), "float32 have one"),
        (ProductCall(2, 9000), NeuronCall((9000,)), PLAIN, ("cpu", "neurons", F32), "float32 have one"),
        (ProductCall(2, 64, steps=3), NeuronCall((64,)), PLAIN, ("cpu", "neurons", F32), "float32 have one"),
        (ProductCall(2, 64, inputs_learn=True), NeuronCall((64,)), PLAIN, ("cpu", "neurons", F32), "float32 have"),
        (ProductCall(2, 64), NeuronCall((64,), (F32, F32), coupled=True), PLAIN, ("cpu", "neurons", F32), "have one"),
        (ProductCall(2, 64), NeuronCall((64,), has_formula=False), PLAIN, ("reference", "neurons", F32), "no closed"),
        (ProductCall(2, 64, device="cuda"), NeuronCall((64,), device="cuda"), GPU, ("cuda", "neurons", F32), "have"),
        # Product and neurons by one kernel.
        (_encoded, NeuronCall((64,), can_fuse=True), PLAIN, ("cpu", "layer", F32), "spikes are bits"),
        (_encoded, NeuronCall((64,), can_fuse=True, quantized=True), PLAIN, ("cpu", "layer", F32), "spikes are bits"),
        (_encoded, NeuronCall((64,)), PLAIN, ("cpu", "neurons", F32), "float32 have one"),
        (_encoded, NeuronCall((64,), (F32, F32), coupled=True, can_fuse=True), PLAIN, ("cpu", "neurons", F32), "one"),
        (_encoded._replace(outputs=16), NeuronCall((16,), can_fuse=True), PLAIN, ("cpu", "neurons", F32), "have one"),
        (_encoded._replace(statistics=MOST), NeuronCall((64,), can_fuse=True), PLAIN, ("cpu", "neurons", F32), "one"),
        (_encoded_bf16, NeuronCall((64,), (BF16,), can_fuse=True), SERVER, ("cpu", "layer", BF16), "spikes are bits"),
        (_encoded_bf16, NeuronCall((64,), (BF16,), quantized=True, can_fuse=True), SERVER,
         ("cpu", "neurons", BF16), "have one"),
        (_encoded_bf16, NeuronCall((64,), (BF16,), can_fuse=True), PLAIN, ("cpu", "neurons", BF16), "have one"),
        (_encoded_bf16._replace(device="cuda"), NeuronCall((64,), (BF16,), "cuda", can_fuse=True), GPU,
         ("cuda", "layer", BF16), "spikes are bits"),
    ],
)  # fmt: skip
def test_routes_of_neurons(
    product_call: ProductCall | None, call: NeuronCall, machine: Machine, expected: tuple[object, ...], reason: str
) -> None:
    choice = choose_route(CallDescription(product_call, call), machine).neurons
    assert choice is not None
    assert choice[:3] == expected
    assert reason in choice.reason
    assert choice.is_fallback == (choice.device == "reference" and call.kernel != "reference" and not call.is_traced)


def test_where_bits_are_faster() -> None:
    assert [takes_bits(F32, x, SERVER) for x in ("cpu", "cuda", "mps")] == [True, False, False]
    assert [takes_bits(BF16, "cpu", x) for x in (SERVER, PLAIN, GPU)] == [True, False, False]
    assert [takes_bits(BF16, "cuda", x) for x in (SERVER, PLAIN, GPU)] == [True, False, True]
    assert not takes_bits(torch.float64, "cpu", SERVER)


def test_old_names_warn() -> None:
    with pytest.warns(RenamedWarning, match=r"izhi\.kernels\.routes"):
        from izhi.kernels import paths
    assert paths is routes
    route = routes.RecordedRoute("product 3 → 4", "dense product", "it is small")
    for old, new in (("what", "operation"), ("way", "kernel"), ("why", "reason")):
        with pytest.warns(RenamedWarning, match=new):
            assert getattr(route, old) == getattr(route, new)
