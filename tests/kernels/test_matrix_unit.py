"""Products and layers by the matrix unit: what dense products and kernels of neurons alone give, for any shape."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from izhi import LIF, Izhikevich, preset
from izhi.kernels import Drive, PackedSpikes, packed, paths, product
from izhi.kernels.cpu import bits, event_tiles, events, matrix_unit, recurrence
from izhi.kernels.deferred import settled
from izhi.kernels.packed import BinarySpikes
from izhi.kernels.weighted import Weighted, WeightGradient
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.network.connections import CONNECTIONS, AxonalDelay, ExponentialSynapse, Linear, SynapticDelay
from izhi.neurons import ORDERS
from izhi.training.activity import Activity

needs_unit = pytest.mark.skipif(
    not matrix_unit.is_there(), reason="this CPU multiplies no bfloat16 (AMX, AVX-512 BF16)"
)
quick = settings(deadline=None, max_examples=12)
steps, batches, widths = st.integers(1, 70), st.integers(1, 9), st.integers(1, 100)
#: Largest difference of what is rounded to bfloat16, relative to the largest number.
ROUNDING = 2.0**-8


def spikes_of(shape: tuple[int, int, int], density: float, active: float, seed: int) -> Tensor:
    """Spikes of which only a share of the inputs of each sample fires at all."""
    random = torch.Generator().manual_seed(seed)
    fires = torch.rand(shape[1:], generator=random) < active
    return ((torch.rand(shape, generator=random) < density) & fires).bfloat16()


@pytest.fixture(autouse=True)
def many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@needs_unit
@quick
@given(
    steps, batches, widths, st.integers(1, 150), st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 99),
)  # fmt: skip
def test_products_and_gradients_are_those_of_dense_spikes(
    time: int, batch: int, inputs: int, outputs: int, density: float, active: float, seed: int
) -> None:
    spikes = spikes_of((time, batch, inputs), density, active, seed)
    found = PackedSpikes.pack(spikes).events()
    weight, g = torch.randn(outputs, inputs), torch.randn(time, batch, outputs).bfloat16()
    out, gradient = event_tiles.product(found, weight), event_tiles.weight_gradient(found, g)
    expected = spikes.double() @ weight.bfloat16().double().t()
    assert out.dtype == torch.bfloat16
    assert out.shape == expected.shape
    torch.testing.assert_close(out.double(), expected, rtol=ROUNDING, atol=1e-5)
    exact = g.double().flatten(0, 1).t() @ spikes.double().flatten(0, 1)
    torch.testing.assert_close(gradient.double(), exact, rtol=1e-5, atol=1e-4)


def drives(layer: Layer, spikes: PackedSpikes, whole: bool) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor]]:
    """Spikes, last states, and gradients of everything that a layer learns, by one kernel or by two."""
    layer.zero_grad()
    drive, _ = layer.drive(spikes)
    assert isinstance(drive.current, Weighted)
    if not whole:
        drive = drive._replace(current=settled(drive.current))
    state = layer.neuron.initial_state(torch.zeros(*drive.current.shape[1:]))
    first = [x.clone().requires_grad_() for x in state if isinstance(x, Tensor)]
    out, last = layer.neuron(drive, type(state)(*first))
    assert isinstance(out, BinarySpikes) == whole
    pull = torch.linspace(-1, 1, out.numel()).view(out.shape)
    states = [x for x in last if isinstance(x, Tensor)]
    ((out.float() * pull).sum() + sum(0.01 * x.sum() for x in states)).backward()
    every = [*layer.parameters(), *first]
    return out.float(), tuple(states), [torch.zeros_like(p) if p.grad is None else p.grad for p in every]


#: Dynamics, what is learned, a synapse, a bias: kernels are compiled for each, which takes seconds.
PLANS = [("fpga-ip", "none", False, True), ("izhikevich-2004", "all", True, True), ("subtract", "all", True, False)]
REST = [
    *((order, learn, False, True) for order in ORDERS for learn in ("none", "gain", "all")),
    *((order, "all", True, True) for order in ORDERS),
    *((reset, "none", False, False) for reset in ("subtract", "soft", "zero", "value", "none")),
]  # fmt: skip


@needs_unit
@pytest.mark.parametrize("plan", [*PLANS, *(pytest.param(x, marks=pytest.mark.long) for x in REST)])
@quick
@given(steps, batches, widths, st.integers(17, 140), st.integers(0, 99))
def test_a_layer_by_one_kernel_is_that_by_two(
    plan: tuple[str, str, bool, bool], time: int, batch: int, inputs: int, outputs: int, seed: int
) -> None:
    kind, learn, synapse, biased = plan
    torch.manual_seed(seed)
    spikes = PackedSpikes.pack(spikes_of((time, batch, inputs), 0.4, 0.3, seed))
    if spikes.events().active >= packed._ACTIVE:
        return
    if kind in ORDERS:
        names = {"none": (), "gain": ("gain",), "all": ("a1", "a", "c", "d", "threshold", "gain")}[learn]
        parameters = preset("normalized").replace(order=kind)
        neuron: nn.Module = Izhikevich(parameters, learn=names, size=outputs if learn == "all" else None)
    else:
        neuron = LIF(reset=kind, learn=() if learn == "none" else ("beta", "threshold"))
    connection = Linear(
        inputs, outputs, biased, synapse=ExponentialSynapse(5.0, learn_tau=learn == "all") if synapse else None
    )
    layer = Layer(connection, neuron)
    with torch.no_grad():
        connection.weight.mul_(3)
    one, two = drives(layer, spikes, True), drives(layer, spikes, False)
    assert torch.equal(one[0], two[0])
    for x, y in zip(one[1], two[1], strict=True):
        assert torch.equal(x, y)
    for x, y in zip(one[2], two[2], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=float(1e-4 * y.abs().max()) + 1e-6)


@needs_unit
def test_numbers_do_not_depend_on_threads() -> None:
    spikes = PackedSpikes.pack(spikes_of((40, 33, 200), 0.3, 0.2, 0))
    layer = Layer(Linear(200, 100), Izhikevich())
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(drives(layer, spikes, True))
    for other in found[1:]:
        for x, y in zip((found[0][0], *found[0][1], *found[0][2]), (other[0], *other[1], *other[2]), strict=True):
            assert torch.equal(x, y)


@needs_unit
@pytest.mark.parametrize(
    ("connection", "widths"), [("linear", (70, 40)), ("linear", (128, 64)), *((name, (96,)) for name in CONNECTIONS)]
)
def test_a_network_learns_as_without_the_unit(
    connection: str, widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 both ways: the first layer's gradients differ by roundings alone."""
    spikes = PackedSpikes.pack(spikes_of((30, 20, 200), 0.4, 0.2, 1))
    labels = torch.arange(20) % 10

    def gradients() -> tuple[float, list[Tensor]]:
        torch.manual_seed(0)
        synapse, recurrent = CONNECTIONS[connection]
        rows, before = [], 200
        for width in (*widths, 10):
            linear = Linear(before, width, synapse=None if synapse is None else synapse(5.0), recurrent=recurrent)
            rows.append(Layer(linear, LIF()))
            before = width
        network = Network(rows)
        with torch.autocast("cpu", torch.bfloat16):
            out = network(spikes)
        loss = nn.functional.cross_entropy(out.output.float().sum(0), labels)
        loss.backward()
        return loss.item(), [p.grad for p in network.parameters() if p.grad is not None]

    with_unit = gradients()
    monkeypatch.setattr(matrix_unit, "is_there", lambda: False)
    without = gradients()
    if "recurrent" in connection:  # which is then in float32
        assert with_unit[0] == pytest.approx(without[0], rel=0.05)
        return
    assert with_unit[0] == pytest.approx(without[0], rel=1e-3)
    for one, other in zip(with_unit[1], without[1], strict=True):
        assert (one - other).norm() <= 0.02 * other.norm()


@needs_unit
@pytest.mark.parametrize(
    "between", ["axonal delays", "delays", "pool", "dropout", "parts", "normalisation", "residual"]
)
def test_what_stands_behind_bits_takes_them(between: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spikes = PackedSpikes.pack(spikes_of((40, 20, 200), 0.4, 0.2, 1))

    def gradients() -> tuple[Tensor, list[Tensor]]:
        torch.manual_seed(0)
        first, width = Layer(Linear(200, 64), LIF()), 64
        rows: list[nn.Module] = [first]
        delay, norm = None, None
        if between == "axonal delays":
            delay = AxonalDelay(64, 3)
        elif between == "delays":
            delay = SynapticDelay(64, 10, 3)
        elif between == "pool":
            rows, width = [first, nn.Unflatten(1, (1, 64)), nn.MaxPool1d(2), nn.Flatten()], 32
        elif between == "normalisation":
            norm = BatchNorm(10)
        elif between == "residual":
            rows = [first, Residual([Layer(Linear(64, 64), LIF())])]
        keep_every = 16 if between == "parts" else None
        network = Network(
            [*rows, Layer(Linear(width, 10), LIF(), delay, norm)], keep_every=keep_every,
            dropout=0.3 if between == "dropout" else 0.0,
        )  # fmt: skip
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            out = network(spikes).output.float()
        (out.sum(0) * torch.linspace(-1, 1, 10)).sum().backward()
        return out, [p.grad for p in network.parameters() if p.grad is not None]

    one = gradients()
    monkeypatch.setattr(matrix_unit, "is_there", lambda: False)
    two = gradients()
    assert (one[0] != two[0]).float().mean() < 0.01
    for x, y in zip(one[1], two[1], strict=True):
        assert (x - y).norm() <= 0.05 * y.norm() + 1e-6


@needs_unit
@quick
@given(st.integers(1, 40), st.integers(1, 70), st.sampled_from([32, 64, 96]), st.booleans(), st.integers(0, 99))
def test_recurrence_by_the_unit_is_that_of_single_steps(
    time: int, batch: int, neurons: int, learn: bool, seed: int
) -> None:
    """Each step's product is rounded to bfloat16 once it is added to the current."""
    torch.manual_seed(seed)
    neuron = Izhikevich(learn=("a", "gain") if learn else ())
    current = torch.randn(time, batch, neurons).bfloat16()
    feedback = nn.Parameter(torch.randn(neurons, neurons) / neurons**0.5)

    def run() -> tuple[Tensor, list[Tensor]]:
        own = current.clone().requires_grad_()
        neuron.zero_grad()
        feedback.grad = None
        out, _ = neuron(Drive(own, feedback=feedback))
        (out.float() * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
        return out, [own.grad, feedback.grad, *(p.grad for p in neuron.parameters() if p.grad is not None)]

    one = run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrence, "feedback", lambda dtype, neurons: None)
        patch.setattr("izhi.kernels.cpu.feedback", lambda dtype, neurons: None)
        two = run()
    if torch.equal(one[0], two[0]):  # sums in another order may move a current over a threshold
        for x, y in zip(one[1], two[1], strict=True):
            assert (x - y).norm() <= 0.02 * y.norm() + 1e-6
    else:
        assert (one[0] != two[0]).float().mean() < 0.02


@needs_unit
def test_bits_of_a_layer_are_a_tensor_for_whoever_asks() -> None:
    spikes = PackedSpikes.pack(spikes_of((20, 6, 50), 0.5, 0.3, 2))
    out, _ = Layer(Linear(50, 24), LIF())(spikes)
    assert isinstance(out, BinarySpikes)
    dense = out.dense()
    assert (out.shape, out.dtype) == (dense.shape, dense.dtype) == ((20, 6, 24), torch.bfloat16)
    assert torch.equal(out[3], dense[3])
    assert torch.equal(out * 2 + 1, dense * 2 + 1)
    assert torch.equal(torch.cat([out, out]), torch.cat([dense, dense]))
    assert out.tolist() == dense.tolist()
    assert repr(out.detach()) == repr(dense.detach())
    wide = out.float()
    assert isinstance(wide, BinarySpikes)
    assert wide.dtype == torch.float32
    assert (wide.detach().numpy() == dense.detach().float().numpy()).all()
    counts = Activity()
    counts.add([wide])
    assert torch.equal(counts.layers[0].spikes, dense.float().sum((0, 1)))
    with pytest.raises(RuntimeError, match="has no memory"):
        out.data_ptr()
    with torch.inference_mode():
        assert isinstance(out.float(), BinarySpikes)


@needs_unit
def test_currents_that_others_use_too_get_both_gradients() -> None:
    """Whoever looks at a layer's currents, such as a penalty, adds to a gradient that was never made."""
    spikes = PackedSpikes.pack(spikes_of((20, 6, 50), 0.5, 0.3, 2))
    layer = Layer(Linear(50, 24), LIF())

    def gradient(neurons: bool, penalty: bool) -> Tensor:
        layer.zero_grad()
        drive, _ = layer.drive(spikes)
        assert isinstance(drive.current, Weighted)
        loss = torch.zeros(())
        if neurons:
            loss = loss + layer.neuron(drive)[0].float().mean()
        if penalty:
            loss = loss + 0.1 * drive.current.float().square().mean()
        loss.backward()
        found: Tensor = layer.connection.weight.grad
        return found.clone()

    expected = gradient(True, False) + gradient(False, True)
    torch.testing.assert_close(gradient(True, True), expected, rtol=0.02, atol=float(0.01 * expected.abs().max()))


@needs_unit
def test_the_gradient_of_weights_is_handed_down_alone() -> None:
    seen = []
    spikes = PackedSpikes.pack(spikes_of((20, 6, 50), 0.5, 0.3, 2))
    drive, _ = (layer := Layer(Linear(50, 24), LIF())).drive(spikes)
    drive.current.register_hook(lambda g: seen.append(type(g)))
    layer.neuron(drive)[0].float().sum().backward()
    assert seen == [WeightGradient]


@needs_unit
def test_ways_are_said() -> None:
    spikes = PackedSpikes.pack(spikes_of((20, 6, 50), 0.5, 0.3, 2))
    network = Network([Layer(Linear(50, 24), LIF()), Layer(Linear(24, 10), LIF())])
    with paths.recorded() as found:
        network(spikes)
    assert [x.way for x in found] == [
        f"{matrix_unit.name()}, spikes as bits along time",
        "one kernel, product and all (Numba)",
        f"{matrix_unit.name()}, spikes as bits along time",
        "one kernel through all steps (Numba)",
    ]


def test_without_the_unit_products_in_bfloat16_are_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_unit, "is_there", lambda: False)
    spikes = PackedSpikes.pack(spikes_of((20, 6, 50), 0.5, 0.3, 2))
    with torch.autocast("cpu", torch.bfloat16):
        out = product(spikes, torch.randn(24, 50))
    assert type(out) is Tensor
    assert not packed.takes_bits(torch.bfloat16, "cpu")
    assert packed.takes_bits(torch.float32, "cpu")


@quick
@given(steps, batches, widths, st.integers(0, 9))
def test_bits_are_counted(time: int, batch: int, inputs: int, seed: int) -> None:
    spikes = spikes_of((time, batch, inputs), 0.4, 0.8, seed)
    assert torch.equal(bits.counted(PackedSpikes.pack(spikes).words), spikes.float().sum((0, 1)))


@quick
@given(steps, batches, widths, st.integers(0, 9))
def test_words_of_inputs_that_fire_lie_side_by_side(time: int, batch: int, inputs: int, seed: int) -> None:
    words = PackedSpikes.pack(spikes_of((time, batch, inputs), 0.4, 0.5, seed)).words
    found = events.listed(words, time)
    for b in range(batch):
        count = int(found.counts[b])
        places = found.places[b, :count].long()
        assert torch.equal(words[b].any(0).nonzero().flatten(), places)
        assert torch.equal(found.gathered[b, :, :count], words[b][:, places])
        assert not found.gathered[b, :, count : -(-count // 32) * 32].any()
    assert found.active == pytest.approx(float((words != 0).any(1).float().mean()))
