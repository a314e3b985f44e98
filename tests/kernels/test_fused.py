"""The fused kernels against the torch reference, on random shapes and parameters.

Without a GPU, Triton's kernels run in its interpreter (see conftest).
"""

import importlib.util
import os
import subprocess
import sys
import threading

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from snntorch import surrogate as theirs

from izhi import LIF, IzhiError, Izhikevich, IzhikevichParameters, preset
from izhi.errors import SlowKernelWarning
from izhi.kernels import Synapse, SynapticInput, rate
from izhi.kernels.packed import BinarySpikes
from izhi.network.connections import CONNECTIONS, ExponentialSynapse, Linear
from izhi.network.layers import Layer
from izhi.neurons import surrogate as ours
from izhi.spec import COEFFICIENTS, ORDERS

HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
KERNELS = [
    pytest.param("cpu"),
    pytest.param("cuda", marks=[needs_triton, pytest.mark.slow]),  # interpreted where there is no GPU
]
#: For tests of a step's arithmetic: what Numba would compile for each plan NumPy computes, see ``test_plans.py``.
UNCOMPILED = pytest.mark.parametrize("kernel", ["numpy", KERNELS[1]], indirect=True)
DEVICE = {"cpu": "cpu", "cuda": "cuda" if torch.cuda.is_available() else "cpu"}
quick = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SURROGATES = [
    ours.ATan(2.0),
    ours.FastSigmoid(10.0),
    ours.Sigmoid(4.0),
    theirs.atan(3.0),
    theirs.heaviside(),
    theirs.spike_rate_escape(beta=2, slope=1),
    theirs.straight_through_estimator(),
    theirs.triangular(0.5),
]
shapes = st.tuples(st.integers(1, 40), st.integers(1, 4), st.integers(1, 9))
EVERY_COEFFICIENT = tuple(COEFFICIENTS)
#: Steps that Triton's interpreter is given at most, which takes milliseconds for each.
INTERPRETED = 14


def run(neuron, drive, device="cpu", dtype=None, learns_decay=True):
    """Spikes, last state, and gradients of every leaf and coefficient, all on the CPU."""
    neuron = neuron.to(device, dtype)

    def leaf(x):
        return None if x is None else x.to(device, dtype).detach().clone().requires_grad_()

    synapse = drive.synapse and Synapse(leaf(drive.synapse.decay).requires_grad_(learns_decay), drive.synapse.implicit)
    drive = SynapticInput(
        leaf(drive.current),
        leaf(drive.conductance),
        leaf(drive.bias),
        synapse,
        leaf(drive.feedback),
        drive.gain,
    )
    leaves = [drive.current, drive.conductance, drive.bias, drive.feedback, *(synapse or ())[:1]]
    spikes, last = neuron(drive)
    weight = torch.linspace(-1, 1, spikes.numel(), device=device).reshape(spikes.shape)
    state = [x for x in last if isinstance(x, torch.Tensor)] + list(last.memory.synapse)
    loss = (spikes.float() * weight).sum() + sum(0.01 * x.sum() for x in state)
    loss.backward()
    tensors = [x for x in (*leaves, *neuron.parameters()) if isinstance(x, torch.Tensor)]
    grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in tensors]
    return spikes.cpu(), [x.detach().cpu() for x in state], [g.double().cpu() for g in grads]


def assert_same(make, drive, kernel, tolerance, learns_decay=True):
    """The kernel fires like the reference, and its states and gradients are the reference's; its spikes.

    Where the terms of a gradient's sum cancel, float32 rounds them by more than the tolerance, in the
    reference as well: then the kernel must be as near to float64 as the reference is, or as rounding leaves such
    a sum: a neuron's terms are about those of its currents' gradient.
    """
    one = run(make("reference"), drive, learns_decay=learns_decay)
    two = run(make(kernel), drive, DEVICE[kernel], learns_decay=learns_decay)
    assert torch.equal(one[0], two[0])
    exact = None
    for k, (a, b) in enumerate(zip((*one[1], *one[2]), (*two[1], *two[2]), strict=True)):
        assert torch.isfinite(a).all()
        if (a - b).abs().max() > tolerance * a.abs().max().clamp(min=1e-3):
            exact = exact or run(make("reference"), drive, "cpu", torch.float64, learns_decay)
            assert torch.equal(exact[0] > 0, two[0] > 0)
            c = (*exact[1], *exact[2])[k]
            rounded = torch.finfo(torch.float32).eps * exact[2][0].abs().sum((0, 1)).max().clamp(min=8)
            assert (b - c).abs().max() <= 2 * (a - c).abs().max() + rounded
    return two[0]


def shape_for(kernel, shape):
    """The shape, with few steps where they are interpreted."""
    return (min(INTERPRETED, shape[0]), *shape[1:]) if kernel == "cuda" and DEVICE[kernel] == "cpu" else shape


def drive_of(current, conductance, synapse, biased):
    bias = torch.randn(current.shape[2]) * 0.1 * 0.2 if biased else None
    implicit = 0.0 if conductance is None else 1.5
    return SynapticInput(current, conductance, bias, Synapse(torch.tensor(0.8), implicit) if synapse else None)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("steps", [3, 33])
def test_neurons_of_images_fire_bits_as_others_fire_numbers(kernel, steps):
    torch.manual_seed(0)
    current = 0.2 * torch.randn(steps, 3, 4, 9, 11)  # whose samples begin within blocks of lanes
    found = []
    for shape in (current.shape, (steps, 3, 4 * 9 * 11)):
        neuron = Izhikevich(kernel=kernel, learn=("a1",)).to(DEVICE[kernel])
        drive = current.to(DEVICE[kernel]).view(shape).requires_grad_()
        spikes, last = neuron(drive)
        assert isinstance(spikes, BinarySpikes) is (len(shape) > 3)
        loss = (spikes.flatten(2) * torch.linspace(-1, 1, 4 * 9 * 11, device=drive.device)).sum() + last[0].sum()
        gradients = torch.autograd.grad(loss, (drive, *neuron.parameters()))
        found.append([x.detach().flatten() for x in (spikes + 0, last[0], *gradients)])
    assert float(found[0][0].sum()) > 0
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@UNCOMPILED
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("coupled", [False, True])
@quick
@given(
    shape=shapes,
    name=st.sampled_from(["normalized", "RS", "CH", "normalized-IB"]),
    synapse=st.booleans(),
    biased=st.booleans(),
    limit=st.sampled_from([1.0, 0.9, float("inf")]),
    seed=st.integers(0, 2**31),
)
def test_izhikevich_equals_the_reference(kernel, order, coupled, shape, name, synapse, biased, limit, seed):
    torch.manual_seed(seed)
    shape = shape_for(kernel, shape)
    p = preset(name).replace(order=order)
    scale = 15.0 if p.unit == "mV" else 0.15
    conductance = torch.rand(shape) * 0.1 if coupled else None
    drive = drive_of((torch.randn(shape) + 0.7) * scale + 0.05, conductance, synapse, biased)

    def make(kernel):
        return Izhikevich(p, kernel=kernel, jacobian_limit=limit, gain=1.3)

    assert_same(make, drive, kernel, 1e-4)


@UNCOMPILED
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("per_neuron", [False, True])
@quick
@given(
    shape=shapes,
    name=st.sampled_from(["normalized", "FS"]),
    synapse=st.booleans(),
    biased=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_every_coefficient_has_its_gradient(kernel, order, per_neuron, shape, name, synapse, biased, seed):
    torch.manual_seed(seed)
    shape = shape_for(kernel, shape)
    p = preset(name).replace(order=order)
    scale = 15.0 if p.unit == "mV" else 0.15
    drive = drive_of((torch.randn(shape) + 0.7) * scale, torch.rand(shape) * 0.1, synapse, biased)
    torch.manual_seed(seed)
    spread = 1 + 0.02 * torch.randn(len(EVERY_COEFFICIENT), shape[2])

    def make(kernel):
        size = shape[2] if per_neuron else None
        neuron = Izhikevich(p, kernel=kernel, learn=EVERY_COEFFICIENT, parameter_shape=size, gain=1.0)
        if per_neuron:
            for row, parameter in zip(spread, neuron.learned.values(), strict=True):
                parameter.data *= row
        return neuron

    assert_same(make, drive, kernel, 5e-4)


@UNCOMPILED
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("reset", ["subtract", "none", "smooth"])
@settings(quick, max_examples=2)
@given(
    shape=shapes, coupled=st.booleans(), learns=st.booleans(), per_neuron=st.booleans(), synapse=st.booleans(),
    biased=st.booleans(), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_resets_of_resonators_equal_the_reference(
    kernel, order, reset, shape, coupled, learns, per_neuron, synapse, biased, seed
):
    torch.manual_seed(seed)
    shape = shape_for(kernel, shape)
    p = IzhikevichParameters(
        a1=0.05, a2=-0.04, a3=-0.4, a4=0.0, b1=0.4, b2=-0.04, b3=0.0, c=-0.2, d=0.1, threshold=0.5, order=order,
        reset=reset, surrogate_span=0.6,
    )  # fmt: skip
    conductance = torch.rand(shape) * 0.1 if coupled else None
    drive = drive_of(torch.randn(shape) * 0.5, conductance, synapse, biased)
    learned = [name for name in p.coefficients if name not in p.unused] if learns else []

    def make(kernel):
        torch.manual_seed(seed)
        size, spread = (shape[2], 0.02) if learns and per_neuron else (None, 0.0)
        return Izhikevich(p, learn=learned, parameter_shape=size, spread=spread, kernel=kernel)

    assert_same(make, drive, kernel, 5e-4)


@UNCOMPILED
@pytest.mark.parametrize("reset", ["subtract", "soft", "zero", "value", "none"])
@pytest.mark.parametrize("delay", [True, False])
@quick
@given(
    shape=shapes,
    coupled=st.booleans(),
    learns=st.booleans(),
    per_neuron=st.booleans(),
    synapse=st.booleans(),
    biased=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_lif_equals_the_reference(kernel, reset, delay, shape, coupled, learns, per_neuron, synapse, biased, seed):
    torch.manual_seed(seed)
    shape = shape_for(kernel, shape)
    v_reset, learned = (-0.2, ("beta", "threshold", "v_reset")) if reset == "value" else (0.0, ("beta", "threshold"))
    size, spread = (shape[2], 0.1) if learns and per_neuron else (None, 0.0)
    conductance = torch.rand(shape) * 0.2 if coupled else None
    drive = drive_of(torch.randn(shape), conductance, synapse, biased)

    def make(kernel):
        torch.manual_seed(seed)
        return LIF(
            0.9, reset=reset, v_reset=v_reset, reset_delay=delay, learn=learned if learns else (), parameter_shape=size,
            spread=spread, kernel=kernel,
        )  # fmt: skip

    assert_same(make, drive, kernel, 1e-4)


@UNCOMPILED
@pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: getattr(s, "__qualname__", str(s)))
def test_every_surrogate_of_closed_form(kernel, surrogate):
    current = torch.randn(20, 3, 5)
    assert_same(
        lambda kernel: Izhikevich(surrogate=surrogate, kernel=kernel),
        SynapticInput(current * 0.3),
        kernel,
        1e-4,
    )
    assert_same(lambda kernel: LIF(surrogate=surrogate, kernel=kernel), SynapticInput(current), kernel, 1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16_in_memory_float32_in_arithmetic(kernel):
    """Spikes are those of the rounded current; only the gradient is rounded again."""
    current = (torch.randn(40, 3, 50) * 0.2).bfloat16()
    spikes, state, grads = run(Izhikevich(kernel=kernel), SynapticInput(current), DEVICE[kernel])
    assert spikes.dtype == torch.bfloat16
    whole = run(Izhikevich(kernel="reference"), SynapticInput(current.float()))
    assert spikes.any()
    assert torch.equal(spikes.float(), whole[0])
    torch.testing.assert_close(state, whole[1], rtol=1e-5, atol=1e-5)
    error = (grads[0] - whole[2][0]).abs().max() / whole[2][0].abs().max()
    assert error < 1e-2


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("steps", [1, 7, 32, 33, 80])
def test_recurrent_layers(kernel, steps):
    torch.manual_seed(1)
    drive = SynapticInput(torch.randn(steps, 3, 6) * 0.2, feedback=torch.randn(6, 6) * 0.3)
    spikes = assert_same(lambda kernel: Izhikevich(kernel=kernel), drive, kernel, 1e-4)
    assert steps == 1 or spikes.any()


@UNCOMPILED
@pytest.mark.parametrize("steps", [1, 7, 32, 33, 80])
def test_recurrent_layers_learn(kernel, steps):
    torch.manual_seed(1)
    drive = SynapticInput(torch.randn(shape_for(kernel, (steps, 3, 6))) * 0.2, feedback=torch.randn(6, 6) * 0.3)
    learned = ("a2", "b1", "c", "d", "threshold")
    drive = drive._replace(bias=torch.randn(6) * 0.05)
    assert_same(lambda kernel: Izhikevich(parameter_shape=6, learn=learned, kernel=kernel), drive, kernel, 1e-4)
    drive = drive._replace(current=5 * drive.current)
    value = {"reset": "value", "v_reset": -0.2, "learn": "beta,v_reset"}
    for options in ({"learn": ("beta",)}, value, {"reset": "soft", "learn": "beta,threshold"}):
        assert assert_same(lambda kernel, o=options: LIF(**o, kernel=kernel), drive, kernel, 1e-4).any()


@pytest.mark.parametrize("kernel", KERNELS)
@quick
@given(
    batch=st.sampled_from([1, 2, 15, 16, 17, 40]), neurons=st.sampled_from([1, 16, 17, 32, 33, 70]),
    steps=st.integers(1, 12), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_recurrent_layers_of_any_size(kernel, batch, neurons, steps, seed):
    """Weights are whole parts of 64, so that no order of a sum rounds, and no spike depends on one."""
    torch.manual_seed(seed)
    feedback = torch.randint(-32, 33, (neurons, neurons)) / 64
    drive = SynapticInput(torch.randint(0, 40, (steps, batch, neurons)) / 64, feedback=feedback)
    assert_same(lambda kernel: Izhikevich(kernel=kernel), drive, kernel, 1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("neurons", [6, 40])
def test_gradients_of_a_recurrent_call_that_is_split_in_time(kernel, neurons):
    """State and spikes of the first part carry what the second one asks for."""
    torch.manual_seed(0)
    layer = Layer(Linear(8, neurons, recurrent=True), Izhikevich(gain=3.0, kernel=kernel)).to(DEVICE[kernel])
    spikes = (torch.rand(20, 18, 8) < 0.4).float().to(DEVICE[kernel])
    weight, found = torch.linspace(-1, 1, 20, device=DEVICE[kernel]).view(-1, 1, 1), []
    for cut in (20, 9):
        layer.zero_grad()
        out, state = layer(spikes[:cut])
        if cut < 20:
            out = torch.cat([out, layer(spikes[cut:], state)[0]])
        assert out.sum() > 100
        (out * weight).sum().backward()
        found.append([p.grad.clone() for p in layer.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@UNCOMPILED
@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("steps", [1, 33])
def test_recurrent_layers_with_synapses(kernel, coupled, steps):
    torch.manual_seed(1)
    shape = (steps, 3, 6)
    conductance = torch.rand(shape) * 0.1 if coupled else None
    drive = drive_of(torch.randn(shape) * 0.5 + 0.2, conductance, synapse=True, biased=True)
    drive = drive._replace(feedback=torch.randn(6, 6) * 0.5)
    assert_same(lambda kernel: Izhikevich(kernel=kernel), drive, kernel, 1e-4)
    drive = drive._replace(current=5 * drive.current)
    assert_same(lambda kernel: LIF(learn=("beta",), kernel=kernel), drive, kernel, 1e-4)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("kind", CONNECTIONS)
def test_a_call_split_in_time_goes_on_where_it_stopped(kind):
    make, recurrent = CONNECTIONS[kind]
    connection = Linear(8, 6, synapse=make and make(), recurrent=recurrent)
    layer = Layer(connection, Izhikevich(gain=3.0, kernel="cpu"))
    spikes = (torch.rand(50, 2, 8) < 0.4).float()
    whole, _ = layer(spikes)
    first, state = layer(spikes[:21])
    second, _ = layer(spikes[21:], state)
    assert whole.sum() > 0
    assert torch.equal(whole, torch.cat([first, second]))


@pytest.mark.usefixtures("uncompiled")
def test_learned_decay_of_a_synapse():
    def gradient(kernel):
        torch.manual_seed(0)
        layer = Layer(Linear(8, 6, synapse=ExponentialSynapse(learn_tau=True)), Izhikevich(gain=9.0, kernel=kernel))
        layer((torch.rand(50, 2, 8) < 0.4).float())[0].sum().backward()
        return layer.connection.synapse.logit.grad

    assert gradient("cpu") != 0
    torch.testing.assert_close(gradient("cpu"), gradient("reference"))


@pytest.mark.usefixtures("uncompiled")
def test_gradients_are_those_of_a_smooth_neuron():
    """Far below threshold, where no neuron fires, the gradient is the true derivative of v."""
    neuron = Izhikevich(kernel="cpu", learn=("a1", "a2", "a3", "a4", "b1", "b2", "b3", "gain"))
    current = 0.01 * torch.rand(12, 2, 3)

    def last_v(c):
        return neuron(c)[1].v.double().sum()

    c = current.clone().requires_grad_()
    last_v(c).backward()
    for t, b, n in ((0, 0, 0), (5, 1, 2), (11, 0, 1)):
        step = torch.zeros_like(current)
        step[t, b, n] = 1e-3
        numeric = (last_v(current + step) - last_v(current - step)) / 2e-3
        assert c.grad[t, b, n].item() == pytest.approx(numeric.item(), rel=2e-3)
    for name, parameter in neuron.learned.items():
        values = []
        for sign in (1, -1):
            parameter.data += sign * 1e-3
            values.append(last_v(current))
            parameter.data -= sign * 1e-3
        numeric = (values[0] - values[1]) / 2e-3
        assert parameter.grad.item() == pytest.approx(numeric.item(), rel=5e-3, abs=1e-4), name


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_without_openmp_python_threads_do_the_work(monkeypatch, two_threads):
    current = torch.randn(12, 9, 700) * 0.2
    expected, _ = Izhikevich(kernel="cpu")(current)
    assert expected.any()
    monkeypatch.setattr("izhi.kernels.cpu.parallel._OPENMP", None)
    assert torch.equal(Izhikevich(kernel="cpu")(current)[0], expected)


def test_more_lanes_than_one_block(two_threads):
    current = torch.randn(12, 9, 700) * 0.2
    assert assert_same(lambda kernel: Izhikevich(kernel=kernel), SynapticInput(current), "cpu", 1e-4).any()
    assert_same(
        lambda kernel: Izhikevich(kernel=kernel, learn=("a2",), parameter_shape=700),
        SynapticInput(current),
        "cpu",
        1e-4,
    )


@pytest.mark.slow
def test_the_same_numbers_from_any_number_of_threads():
    script = (
        "import hashlib, torch, izhi; torch.manual_seed(0);"
        "x = (torch.randn(20, 7, 900) * .2).requires_grad_();"
        "s = izhi.Izhikevich()(x)[0]; (s * torch.rand_like(s)).sum().backward(); assert s.any() and x.grad.any();"
        "e = izhi.encoding.rate(torch.rand(7, 900), 20, seed=3);"
        "print([hashlib.sha256(t.detach().numpy().tobytes()).hexdigest() for t in (s, x.grad, e)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


def test_a_layout_that_is_not_contiguous():
    current = (torch.randn(9, 4, 12) * 0.2).transpose(0, 2)
    spikes, _ = Izhikevich(kernel="cpu")(current)
    assert spikes.any()
    assert torch.equal(spikes, Izhikevich(kernel="reference")(current)[0])


def test_memory_kept_for_the_backward_pass():
    """At most 6 bytes per neuron and step in bfloat16: the current, the spikes, a few states."""
    current = torch.randn(64, 8, 100).bfloat16().requires_grad_()
    kept = {}

    def count(x):
        kept[x.data_ptr()] = x.numel() * x.element_size()
        return x

    with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
        spikes, _ = Izhikevich(kernel="cpu")(current)
    total = sum(kept.values()) + spikes.numel() * spikes.element_size()
    assert total / spikes.numel() <= 6


@needs_triton
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (4, 600)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_encoders_give_the_same_spikes(shape, dtype):
    values = torch.rand(shape)
    one = rate(values, 9, 5, dtype)
    two = rate(values.to(DEVICE["cuda"]), 9, 5, dtype, kernel="cuda").cpu()
    assert one.dtype == two.dtype == dtype
    assert torch.equal(one, two)


def test_what_no_kernel_covers_is_said_once(monkeypatch):
    monkeypatch.setattr("izhi.kernels.dispatch._warned", set())
    current = torch.rand(9, 2, 3)
    with pytest.warns(SlowKernelWarning, match="float64"):
        spikes, state = Izhikevich()(current.double())
    assert spikes.dtype == state.v.dtype == torch.float64
    Izhikevich()(current.double())  # a second warning would be an error
    with pytest.warns(SlowKernelWarning, match="closed form"):
        Izhikevich(surrogate=theirs.custom_surrogate(lambda x, g, s: g))(current)
    with pytest.raises(IzhiError, match="kernel 'cpu' does not cover this call: it is in float64"):
        Izhikevich(kernel="cpu")(current.double())


@pytest.mark.slow
def test_a_second_process_finds_the_compiled_kernels(tmp_path):
    """Nothing is compiled, and nothing added to the cache on disk, the second time."""
    script = (
        "import torch, izhi; x = izhi.encoding.rate(torch.rand(2, 3), 4).requires_grad_();"
        "[neuron(x)[0].sum().backward() for neuron in (izhi.Izhikevich(), izhi.LIF())]"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    counts = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], check=True, env=environment)
        counts.append(sorted(p.name for p in tmp_path.rglob("*.nbc")))
    assert len(counts[0]) == 2 * 2 + 2  # two neurons' passes, the encoder, and its bits as numbers
    assert counts[0] == counts[1]


@pytest.mark.slow
def test_a_cache_folder_that_cannot_be_written(tmp_path):
    tmp_path.joinpath("file").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import torch, izhi; print(izhi.LIF()(torch.ones(3, 1, 1))[0].sum())"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "file" / "below")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tensor(" in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_kernels_after_fork(two_threads):
    """As in a DataLoader's worker: the parent has used its threads, the child must not."""
    big, small = torch.randn(12, 9, 700) * 0.2, torch.randn(3, 4, 1000) * 0.2
    Izhikevich(kernel="cpu")(big)
    expected, _ = Izhikevich(kernel="cpu")(small)
    assert expected.any()
    child = os.fork()
    if not child:  # where torch itself may use no threads either: three blocks, but few elements
        same = torch.equal(Izhikevich(kernel="cpu")(small)[0], expected)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_kernels_in_several_threads_beside_torch(two_threads):
    current = torch.randn(30, 9, 700) * 0.2
    expected, _ = Izhikevich(kernel="cpu")(current)
    assert expected.any()
    results = [None] * 4

    def work(place):
        for _ in range(5):
            torch.randn(300, 300) @ torch.randn(300, 300)
            results[place] = Izhikevich(kernel="cpu")(current)[0]

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(result, expected) for result in results)


@pytest.mark.slow
@needs_triton
def test_triton_kernels_compile_for_a_gpu():
    """To assembly for compute capability 8.0, which needs no GPU."""
    script = """
import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from izhi.kernels.cuda import recurrence
from izhi.kernels.cuda.launch import OPTIONS
from izhi.equation import izhikevich, lif
from izhi.kernels.plan import Plan, StepForm
from izhi import ORDERS
from izhi.neurons import surrogate
cases = [(izhikevich(ORDERS[name]), False) for name in ("fpga-ip", "s2nn")]
cases += [(izhikevich(ORDERS["fpga-ip"], "subtract"), True), (izhikevich(ORDERS["simultaneous"], "smooth"), False)]
cases += [(lif(reset, False), False) for reset in ("subtract", "value")]
cases += [(lif("soft", delay), False) for delay in (True, False)] + [(lif("soft", True), True)]
cases += [(izhikevich(ORDERS["fpga-ip"]), True), (lif("subtract", True), True), (lif("value", True), True)]
for equation, quantized in cases:
    form = StepForm(equation, coupled=not quantized, filtered=True, biased=True, quantized=quantized)
    plan = Plan(form, surrogate.ATan, torch.bfloat16, shared=False, learn=tuple(range(len(form.coefficients) + 1)))
    forward, backward = recurrence._forward(plan), recurrence._backward(plan)
    numbers, bits = {"as_bits": 0}, {"as_bits": 1}
    for kernel, pointers, sizes, own in ((forward, 9, 6, numbers), (forward, 9, 6, bits), (backward, 14, 5, {})):
        names = kernel.arg_names
        of_memory = {"x": "*bf16", "y": "*bf16", "spikes": "*bf16", "grad_spikes": "*bf16",
                     "grad_x": "*bf16", "grad_y": "*bf16"}
        if own == bits:
            of_memory["spikes"] = "*i32"
        constants, signature = {"block": 256, **own}, {}
        for place, name in enumerate(names):
            kind = "*fp32" if place < pointers else "i32" if place < pointers + sizes else "fp32"
            signature[name] = "constexpr" if name in constants else of_memory.get(name, kind)
        source = ASTSource(kernel, signature, constants)
        ptx = compile(source, target=GPUTarget("cuda", 80, 32), options=OPTIONS).asm["ptx"]
        assert "div.full" not in ptx, "approximate divisions"
        assert "fma.rn.f32" not in ptx, "contracted products and sums"
        assert not form.coupled or "div.rn.f32" in ptx
        print(len(ptx))
"""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) == 36


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_the_reference_runs_on_a_gpu():
    current = torch.randn(20, 4, 30) * 0.2
    here, _ = Izhikevich(kernel="reference")(current)
    there, _ = Izhikevich(kernel="reference").cuda()(current.cuda())
    assert (here != there.cpu()).float().mean() < 0.01
