"""A layer by one kernel, product and neurons: what two kernels one after the other give, in both formats."""

from __future__ import annotations

import copy
import ctypes
import io
import math
import pickle
from collections.abc import Callable, Iterator
from itertools import product as product_of

import numpy as np
import pytest
import torch
import torch.utils.checkpoint
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from torch import Tensor, nn

from izhi import LIF, Izhikevich, preset
from izhi.hardware.fixed import FixedPoint
from izhi.kernels import PackedSpikes, WeightedSpikes, product, routes
from izhi.kernels.cpu import arena, matrix_unit
from izhi.kernels.lazy import materialize
from izhi.kernels.packed import BinarySpikes
from izhi.network import Layer, Network
from izhi.network.connections import ExponentialSynapse, Linear
from izhi.quantization.neurons import QuantizedNeuron, StateFormats
from izhi.spec import ORDERS
from izhi.training.evaluation import Activity
from spikes import spikes_of_some
from tiers import slow_but

FORMATS = [torch.float32, torch.bfloat16]
#: Of neurons alone, with whom kernels of layers are compared.
pytestmark = pytest.mark.usefixtures("uncompiled")
quick = settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
steps, batches, widths = st.integers(1, 70), st.integers(1, 9), st.integers(1, 100)


@pytest.fixture(autouse=True)
def many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def tiles_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every CPU, as in ``test_matrix_unit.py``."""
    monkeypatch.setattr(matrix_unit, "has_bf16_dot", lambda: True)


def is_taken(spikes: PackedSpikes) -> bool:
    """Whether so few fire that no dense product is faster."""
    share = spikes.events().active if spikes.dtype == torch.bfloat16 else spikes.events().density
    return share < (routes.ACTIVE if spikes.dtype == torch.bfloat16 else 0.4)


def gradients_of(network: Network, output: Tensor, again: bool) -> list[Tensor]:
    network.zero_grad()
    output.float().sum().backward(retain_graph=again)
    return [x.grad.clone() for x in network.parameters() if x.grad is not None]


@pytest.mark.parametrize("dtype", slow_but(FORMATS[:1], FORMATS))
def test_gradients_take_the_place_of_currents_and_a_second_pass_has_the_same(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = Network([nn.Linear(20, 70), LIF(), nn.Linear(70, 130), LIF(), nn.Linear(130, 3)])
    spikes = PackedSpikes.pack(spikes_of_some((40, 5, 20), 0.1, 0.3, 0, dtype, usual=0.3))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        output = network(spikes).output
    empty, sizes = arena.empty, []

    def record(*shape: int, **options: torch.dtype) -> Tensor:
        sizes.append(math.prod(shape))
        return empty(*shape, **options)

    with monkeypatch.context() as patched:
        patched.setattr(arena, "empty", record)
        first = gradients_of(network, output, again=True)
    assert sizes
    assert 5 * 40 * 3 * 64 not in sizes, "as many as currents of the second layer"
    for again in (True, False):
        second = gradients_of(network, output, again)
        assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


def drives(layer: Layer, spikes: PackedSpikes, whole: bool) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor]]:
    """Spikes, last states, and gradients of everything that a layer learns, by one kernel or by two."""
    layer.zero_grad()
    drive = layer.connection.weigh(spikes)
    assert isinstance(drive, WeightedSpikes)
    if not whole:
        drive = drive.multiplied(drive.counted())
    state = layer.neuron.initial_state(torch.zeros(*drive.shape[1:]))
    first = [x.clone().requires_grad_() for x in state if isinstance(x, Tensor)]
    out, last = layer.neuron(drive, type(state)(*first))
    assert isinstance(out, BinarySpikes) == whole
    pull = torch.linspace(-1, 1, out.numel()).view(out.shape)
    states = [x for x in last if isinstance(x, Tensor)]
    ((out.float() * pull).sum() + sum(0.01 * x.sum() for x in states)).backward()
    every = [*layer.parameters(), *first]
    return out.float(), tuple(states), [torch.zeros_like(p) if p.grad is None else p.grad for p in every]


#: Dynamics, what is learned, a synapse, a bias: kernels are compiled for each, which takes seconds.
PLANS = [
    ("fpga-ip", "none", False, True), ("izhikevich-2004", "all", True, True), ("subtract", "all", True, False),
    ("smooth", "all", False, True),
]  # fmt: skip
REST = [
    *((order, learn, False, True) for order in ORDERS for learn in ("none", "gain", "all")),
    *((order, "all", True, True) for order in ORDERS),
    *((reset, "none", False, False) for reset in ("subtract", "soft", "zero", "value", "none")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "dtype"),
    [
        *((PLANS[k], FORMATS[k % 2]) for k in range(4)), (PLANS[0], torch.bfloat16),
        *(pytest.param(*x, marks=pytest.mark.long) for x in product_of((*PLANS[1:], *REST), FORMATS)),
    ],
)  # fmt: skip
@quick
@given(steps, batches, widths, st.integers(64, 140), st.sampled_from([0.05, 0.4]), st.integers(0, 99))
def test_a_layer_by_one_kernel_is_that_by_two(
    plan: tuple[str, str, bool, bool], dtype: torch.dtype, time: int, batch: int, inputs: int, outputs: int,
    density: float, seed: int,
) -> None:  # fmt: skip
    kind, learn, synapse, biased = plan
    torch.manual_seed(seed)
    spikes = PackedSpikes.pack(spikes_of_some((time, batch, inputs), density, 0.3, seed, dtype, usual=0.3))
    assume(is_taken(spikes))
    if kind in ORDERS:
        names = {"none": (), "gain": ("gain",), "all": ("a1", "a", "c", "d", "threshold", "gain")}[learn]
        parameters = preset("normalized").replace(order=kind)
        neuron: nn.Module = Izhikevich(parameters, learn=names, parameter_shape=outputs if learn == "all" else None)
    elif kind == "smooth":
        parameters = preset("adlif").replace(order="simultaneous", reset=kind)
        neuron = Izhikevich(parameters, learn="a2,q_decay,q_damping,threshold", parameter_shape=outputs)
    else:
        neuron = LIF(reset=kind, learn=() if learn == "none" else ("beta", "threshold"))
    connection = Linear(
        inputs, outputs, biased, synapse=ExponentialSynapse(5.0, learn_tau=learn == "all") if synapse else None
    )
    layer = Layer(connection, neuron)
    with torch.no_grad():
        connection.weight.mul_(3)
    are_equal(layer, spikes)


@pytest.mark.parametrize("kind", ["izhikevich", "lif"])
@quick
@given(steps, batches, widths, st.integers(64, 140), st.booleans(), st.integers(0, 99))
def test_quantised_states_are_those_of_two_kernels(
    kind: str, time: int, batch: int, inputs: int, outputs: int, learn: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    spikes = PackedSpikes.pack(spikes_of_some((time, batch, inputs), 0.4, 0.3, seed, torch.float32, usual=0.3))
    assume(is_taken(spikes))
    formats = StateFormats(FixedPoint(16, 11), FixedPoint(16, 11))
    neuron: nn.Module = (
        QuantizedNeuron(Izhikevich(preset("normalized"), learn=("a1", "gain") if learn else ()), formats)
        if kind == "izhikevich"
        else QuantizedNeuron(LIF(learn=("beta",) if learn else ()), formats)
    )
    are_equal(Layer(Linear(inputs, outputs), neuron), spikes)


def are_equal(layer: Layer, spikes: PackedSpikes) -> None:
    """Whether one kernel gives what two do: spikes and states bit for bit, gradients but for the order of sums."""
    one, two = drives(layer, spikes, True), drives(layer, spikes, False)
    assert torch.equal(one[0], two[0])
    assert any(x.any() for x in one[2])
    for x, y in zip(one[1], two[1], strict=True):
        assert torch.equal(x, y)
    for x, y in zip(one[2], two[2], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=float(1e-4 * y.abs().max()) + 1e-6)


@pytest.mark.parametrize(
    ("behind", "dtype"), slow_but([("hidden", torch.float32)], product_of(["readout", "hidden"], FORMATS))
)
@quick
@given(steps, batches, widths, st.integers(17, 140), st.integers(17, 140), st.integers(0, 99))
def test_a_hidden_layer_by_one_kernel_is_that_by_two(
    dtype: torch.dtype, behind: str, time: int, batch: int, inputs: int, hidden: int, width: int, seed: int
) -> None:
    """Whose spikes learn too: the gradient of its currents is handed down, and goes on to the layer before."""
    torch.manual_seed(seed)
    spikes = PackedSpikes.pack(spikes_of_some((time, batch, inputs), 0.4, 0.3, seed, dtype, usual=0.3))
    rows = [Layer(Linear(a, b), LIF()) for a, b in ((inputs, hidden), (hidden, width), (width, 10))]
    with torch.no_grad():
        rows[1].connection.weight.mul_(3)
    pull = torch.linspace(-1, 1, time * batch * width).view(time, batch, width).to(dtype)
    mixed = torch.autocast("cpu", torch.bfloat16, dtype == torch.bfloat16)

    def run(whole: bool) -> tuple[Tensor, list[Tensor]]:
        seen: list[Tensor] = []
        with pytest.MonkeyPatch.context() as patch, mixed:
            patch.setattr(routes, "WORTH_PACKING", 0)
            patch.setattr(routes, "STEPS_WORTH_PACKING", 0)
            before, _ = rows[0](spikes)
            before.register_hook(lambda g: seen.append(g * 1))
            drive = rows[1].connection.weigh(before)
            assert isinstance(drive, WeightedSpikes)
            assume(drive.counted().choice.kernel != "dense")
            drive = drive if whole else drive.multiplied(drive.counted())
            out, _ = rows[1].neuron(drive)
            assert isinstance(out, BinarySpikes) == whole
            loss = (rows[2](out)[0] if behind == "readout" else out * pull).float().square().sum()
        for layer in rows:
            layer.zero_grad()
        loss.backward()
        learned = [p.grad for layer in rows for p in layer.parameters() if p.grad is not None]
        return out.float(), [*learned, *(x.float() for x in seen)]

    one, two = run(True), run(False)
    assert torch.equal(one[0], two[0])
    assert len(one[1]) == len(two[1])
    exact = dtype == torch.float32
    for x, y in zip(one[1], two[1], strict=True):
        allowed = float(y.abs().max()) * (1e-4 if exact else 0.02) + 1e-6
        torch.testing.assert_close(x, y, rtol=1e-3 if exact else 0.05, atol=allowed)


@pytest.mark.parametrize("dtype", FORMATS)
def test_numbers_do_not_depend_on_threads(dtype: torch.dtype) -> None:
    spikes = PackedSpikes.pack(spikes_of_some((40, 33, 200), 0.3, 0.2, 0, dtype, usual=0.3))
    layer = Layer(Linear(200, 100), Izhikevich())
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(drives(layer, spikes, True))
    assert found[0][0].any()
    assert found[0][2][0].any()
    for other in found[1:]:
        for x, y in zip((found[0][0], *found[0][1], *found[0][2]), (other[0], *other[1], *other[2]), strict=True):
            assert torch.equal(x, y)


@pytest.mark.parametrize("dtype", FORMATS)
def test_bits_of_a_layer_are_a_tensor_for_whoever_asks(dtype: torch.dtype) -> None:
    spikes = PackedSpikes.pack(spikes_of_some((20, 6, 50), 0.5, 0.3, 2, dtype))
    out, _ = Layer(Linear(50, 70), LIF())(spikes)
    assert isinstance(out, BinarySpikes)
    dense = out.dense()
    assert (out.shape, out.dtype) == (dense.shape, dense.dtype) == ((20, 6, 70), dtype)
    assert torch.equal(out[3], dense[3])
    assert torch.equal(out * 2 + 1, dense * 2 + 1)
    assert torch.equal(torch.cat([out, out]), torch.cat([dense, dense]))
    assert out.tolist() == dense.tolist()
    assert repr(out.detach()) == repr(dense.detach())
    other = torch.float32 if dtype == torch.bfloat16 else torch.float64
    wide = out.to(other)
    assert isinstance(wide, BinarySpikes)
    assert wide.dtype == other
    assert (wide.detach().numpy() == dense.detach().to(other).numpy()).all()
    counts = Activity()
    counts.add([wide])
    assert torch.equal(counts.layers[0].spikes, dense.float().sum((0, 1)))
    with torch.inference_mode():
        assert isinstance(out.to(other), BinarySpikes)


def changed_by_product(x: Tensor) -> None:
    x.mul_(torch.linspace(0, 2, x.shape[2]))


def changed_step(x: Tensor) -> None:
    x[3].fill_(1)


def changed_sample(x: Tensor) -> None:
    x[:, 2].zero_()


def changed_place(x: Tensor) -> None:
    x[1, 2, 3] = 5


def changed_by_a_view(x: Tensor) -> None:
    x.view(20, 6, 7, 10)[2].mul_(3)


def changed_detached(x: Tensor) -> None:
    x.detach().view(20, 6, 70)[5, 1] = 4


def changed_before_a_view_is_used(x: Tensor) -> None:
    before, step = x.view(20, 6, 7, 10), x[3]
    x.mul_(2)
    assert torch.equal(before.reshape(x.shape).detach(), x.detach())
    assert torch.equal(step.detach(), x.detach()[3])
    assert 2 in step


def changed_as_output(x: Tensor) -> None:
    torch.add(torch.ones(x.shape), 1, out=x)


@pytest.mark.parametrize(
    "change",
    [
        changed_by_product,
        changed_step,
        changed_sample,
        changed_place,
        changed_as_output,
        changed_by_a_view,
        changed_detached,
        changed_before_a_view_is_used,
    ],
)
@pytest.mark.parametrize("learn", [True, False])
def test_spikes_that_are_changed_in_place_are_changed(change: Callable[[Tensor], None], learn: bool) -> None:
    """As a tensor's, also for the layer behind, and for gradients."""
    if learn and change is changed_as_output:
        pytest.skip("torch has no gradient for out=")
    torch.manual_seed(0)
    spikes = PackedSpikes.pack(spikes_of_some((20, 6, 50), 0.5, 0.3, 2, torch.float32))
    first, second = Layer(Linear(50, 70), LIF()), Linear(70, 10)
    weight = first.connection.weight

    def run(dense: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        weight.grad = None
        with torch.set_grad_enabled(learn):
            out, _ = first(spikes)
            assert isinstance(out, BinarySpikes)
            out = materialize(out).clone() if dense else out
            change(out)
            behind = second(out).current
        if learn:
            behind.square().sum().backward()
        return out.detach().clone(), behind.detach(), weight.grad

    one, other = run(False), run(True)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert (one[2] is None) == (other[2] is None) == (not learn)
    if one[2] is not None and other[2] is not None:
        torch.testing.assert_close(one[2], other[2])


def test_copies_of_bits_are_tensors() -> None:
    spikes = PackedSpikes.pack(spikes_of_some((20, 6, 50), 0.5, 0.3, 2, torch.float32))
    layer = Layer(Linear(50, 70), LIF())
    with torch.no_grad():
        out, _ = layer(spikes)
        assert torch.equal(copy.deepcopy(out), out.dense())
        assert torch.equal(torch.from_dlpack(out), out.dense())
        assert torch.equal(out.share_memory_(), out.dense())
    with pytest.raises(RuntimeError, match="explicitly by the user"):
        copy.deepcopy(layer(spikes)[0])


@pytest.mark.parametrize("dtype", FORMATS)
def test_currents_that_others_use_too_get_both_gradients(dtype: torch.dtype) -> None:
    """A penalty on a layer's currents adds to their gradient."""
    spikes = PackedSpikes.pack(spikes_of_some((20, 6, 50), 0.5, 0.3, 2, dtype))
    layer = Layer(Linear(50, 70), LIF())

    def gradient(neurons: bool, penalty: bool) -> Tensor:
        layer.zero_grad()
        drive, _ = layer.drive(spikes)
        assert type(drive.current) is Tensor
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


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("where", ["connection", "neuron"])
def test_a_hook_gets_currents(dtype: torch.dtype, where: str) -> None:
    """A layer with a hook runs product and neurons one after the other, with the same spikes."""
    spikes = PackedSpikes.pack(spikes_of_some((20, 6, 50), 0.5, 0.3, 2, dtype))
    layer, seen = Layer(Linear(50, 70), LIF()), []
    whole, _ = layer(spikes)

    def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        seen.append(output if where == "connection" else inputs[0])

    getattr(layer, where).register_forward_hook(hook)
    out, _ = layer(spikes)
    assert isinstance(whole, BinarySpikes)
    assert type(seen[0].current) is Tensor
    assert torch.equal(out, whole)


def a_layers_spikes(learn: bool = False) -> tuple[Tensor, Tensor]:
    """Spikes as bits, and the same as an ordinary tensor."""
    torch.manual_seed(0)
    spikes = PackedSpikes.pack(spikes_of_some((20, 6, 50), 0.5, 0.3, 2, torch.float32))
    with torch.set_grad_enabled(learn):
        out, _ = Layer(Linear(50, 70), LIF())(spikes)
    assert isinstance(out, BinarySpikes)
    assert out.any()
    return out, out.dense().clone()


@pytest.mark.parametrize(
    "read",
    [
        lambda x: torch.from_dlpack(x),
        lambda x: torch.from_numpy(np.from_dlpack(x)),
        lambda x: torch.from_numpy(x.numpy()),
        lambda x: torch.from_numpy(np.asarray(x)),
        lambda x: torch.tensor(x.tolist()),
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: copy.copy(x),
        lambda x: copy.deepcopy(x),
        lambda x: saved(x),
        lambda x: torch.stack(list(x)),
        lambda x: torch.tensor([[[x[t, b, n].item() for n in range(70)] for b in range(6)] for t in (0, 19)]),
        lambda x: x.clone(memory_format=torch.contiguous_format),
        lambda x: x.cpu(),
        lambda x: x.data,
        lambda x: x.half().float(),
        lambda x: at_address(x.data_ptr(), x),
        lambda x: at_address(x.untyped_storage().data_ptr(), x),
        lambda x: x.as_subclass(Tensor) + 0,
        lambda x: torch.func.vmap(lambda y: y + 0)(x),
        lambda x: x.permute(2, 0, 1).contiguous().permute(1, 2, 0),
        lambda x: torch.utils.checkpoint.checkpoint(lambda y: y + 0, x, use_reentrant=False),
    ],
)
def test_bits_work_wherever_a_tensor_does(read: Callable[[Tensor], Tensor]) -> None:
    out, expected = a_layers_spikes()
    found = read(out)
    assert torch.equal(found, expected if len(found) == 20 else expected[[0, 19]])
    assert torch.equal(out, expected)


def saved(x: Tensor) -> Tensor:
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    found: Tensor = torch.load(file)
    assert type(found) is Tensor
    return found


def at_address(address: int, like: Tensor) -> Tensor:
    numbers = (ctypes.c_float * like.numel()).from_address(address)
    return torch.from_numpy(np.array(numbers)).view(like.shape)


@pytest.mark.parametrize("change", ["numpy", "dlpack", "pointer", "data", "set", "detached view"])
def test_changes_through_shared_memory_count(change: str) -> None:
    """Also for the product behind, which no longer takes the bits."""
    out, expected = a_layers_spikes()
    if change == "numpy":
        out.numpy()[3] = 1
    elif change == "dlpack":
        torch.from_dlpack(out)[3] = 1
    elif change == "pointer":
        (ctypes.c_float * out.numel()).from_address(out.data_ptr())[3 * 6 * 70 : 4 * 6 * 70] = [1.0] * (6 * 70)
    elif change == "data":
        out.data[3] = 1
    elif change == "set":
        out[3] = 1
    else:
        out.detach()[3].fill_(1)
    expected[3] = 1
    assert torch.equal(out, expected)
    weight = torch.randn(10, 70)
    torch.testing.assert_close(product(out, weight), expected @ weight.t())
    counts = Activity()
    counts.add([out])
    assert torch.equal(counts.layers[0].spikes, expected.sum((0, 1)))


def test_numpy_of_spikes_that_learn_is_refused_as_torch_does() -> None:
    out, expected = a_layers_spikes(learn=True)
    with pytest.raises(RuntimeError, match="requires grad"):
        out.numpy()
    assert torch.equal(torch.from_numpy(out.detach().numpy()), expected)
    assert torch.equal(torch.from_numpy(out.numpy(force=True)), expected)


@pytest.mark.parametrize("dtype", FORMATS)
@quick
@given(steps, batches, st.integers(64, 140), st.integers(1, 16), st.integers(0, 99))
def test_gradients_behind_a_readout_are_those_of_dense_spikes(
    dtype: torch.dtype, time: int, batch: int, hidden: int, outputs: int, seed: int
) -> None:
    """They come as two factors, which the kernel multiplies."""
    torch.manual_seed(seed)
    spikes = PackedSpikes.pack(spikes_of_some((time, batch, 60), 0.4, 0.2, seed, dtype))
    network = Network([Layer(Linear(60, hidden), LIF()), Layer(Linear(hidden, outputs), LIF())])
    pull = torch.randn(time, batch, outputs)

    def gradients(dense: bool) -> list[Tensor]:
        network.zero_grad()
        first, second = network.layers
        with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16, dtype == torch.bfloat16):
            if not dense:
                patch.setattr(routes, "WORTH_PACKING", 0)
                patch.setattr(routes, "STEPS_WORTH_PACKING", 0)
            out, _ = first(spikes)
            (second(materialize(out) if dense else out)[0].float() * pull).sum().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    for one, other in zip(gradients(False), gradients(True), strict=True):
        exact = dtype == torch.float32
        torch.testing.assert_close(
            one, other, rtol=1e-4 if exact else 0.05, atol=float(other.abs().max()) * (1e-5 if exact else 0.02)
        )


def test_ways_are_said_in_float32() -> None:
    spikes = PackedSpikes.pack(spikes_of_some((20, 60, 50), 0.5, 0.3, 2, torch.float32))
    network = Network([Layer(Linear(50, 70), LIF()), Layer(Linear(70, 10), LIF())])
    with routes.recorded() as found:
        network(spikes)
    assert [x.kernel for x in found] == [
        "sums over spikes, as bits along time",
        "one kernel, product and all (Numba)",
        "sums over spikes, as bits along time",
        "one kernel through all steps (Numba)",
    ]
