"""Random steps: compiled forward and backward against torch and its autograd."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, reject, settings, strategies as st
from words_of_c import check_c

import izhi
from izhi.errors import ArtifactError, EquationError
from izhi.hardware import fixed
from izhi.hardware.fixed import FixedPoint, fast
from izhi.kernels import SynapticInput
from izhi.quantization import QuantizedNeuron, StateFormats

STATES = ("v", "w")
LEAVES = st.sampled_from(["v", "w", "I", "a", "b", "(0.0 * v + 0.5)", "(0.0 * v - 1.25)"])
UNARY = (
    "(-{})", "izhi.clip({}, -2.0, 2.0)", "izhi.absolute({})", "izhi.hold({})", "izhi.exp(izhi.clip({}, -3.0, 1.0))",
    "izhi.bounded(lambda x: x * p.a + x, {}, 0.7)", "(1.0 / (2.0 + izhi.absolute({})))", "({})**2",
)  # fmt: skip
BINARY = ("({} + {})", "({} - {})", "({} * {})")


def extended(inner):
    binary = st.tuples(st.sampled_from(BINARY), inner, inner)
    unary = st.tuples(st.sampled_from(UNARY), inner)
    chosen = st.tuples(st.just("izhi.select({} > {}, {}, {})"), inner, inner, inner, inner)
    return st.one_of(binary, unary, chosen).map(lambda x: x[0].format(*x[1:]))


EXPRESSIONS = st.recursive(LEAVES, extended, max_leaves=8)
#: What integers have no words for, and comparisons of parameters alone, which they do not make for each neuron.
IN_INTEGERS = EXPRESSIONS.filter(lambda x: "exp" not in x and "/" not in x)


def neuron_of(of_v, of_w, of_spike):
    source = (
        "def step(v, w, I, p):\n"
        "    a, b = p.a, p.b\n"
        f"    x = 0.5 * v + 0.3 * I + 0.1 * izhi.clip(0.0 * v + {of_v}, -3.0, 3.0)\n"
        f"    y = 0.5 * w + 0.1 * izhi.clip(0.0 * w + {of_w}, -3.0, 3.0)\n"
        f"    s = izhi.spike(x - 0.4 + 0.1 * izhi.clip(0.0 * v + {of_spike}, -1.0, 1.0))\n"
        "    return izhi.select(x > 0.8, x - p.b, x), y + 0.1 * s, s\n"
    )
    scope = {"izhi": izhi, "__name__": __name__}
    exec(source, scope)
    return izhi.neuron(states=STATES, parameters={"a": 0.4, "b": 0.7})(scope["step"])


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS, st.integers(0, 100))
def test_random_steps_are_those_of_autograd(of_v, of_w, of_spike, seed):
    check_gradients(neuron_of(of_v, of_w, of_spike), ("cpu",), 12, seed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, in Triton's interpreter
@settings(deadline=None, max_examples=8)
@given(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS, st.integers(0, 100))
def test_random_steps_in_triton_are_those_of_autograd(of_v, of_w, of_spike, seed):
    pytest.importorskip("triton")
    check_gradients(neuron_of(of_v, of_w, of_spike), ("cuda",), 5, seed)


def check_gradients(model, kernels, steps, seed):
    """Kernels have the spikes, states and gradients of the reference; without a GPU, Triton's are interpreted."""
    generator = torch.Generator().manual_seed(seed)
    current = torch.randn(steps, 2, 5, generator=generator)
    weights = torch.randn(steps, 2, 5, generator=generator)
    results = {}
    for kernel in (*kernels, "reference"):
        device = "cuda" if kernel == "cuda" and torch.cuda.is_available() else "cpu"
        layer = model(learn="a,b", kernel=kernel).to(device)
        leaf = current.to(device).requires_grad_()
        spikes, state = layer(leaf)
        loss = (spikes * weights.to(device)).sum() + state.v.sum() + state.w.sum()
        found = torch.autograd.grad(loss, [leaf, *layer.parameters()], allow_unused=True)
        tensors = [spikes, state.v, state.w, *(torch.zeros(()) if g is None else g for g in found)]
        results[kernel] = [x.detach().cpu() for x in tensors]
    for kernel in kernels:
        for k, (one, other) in enumerate(zip(results[kernel], results["reference"], strict=True)):
            rtol, atol = (1e-6, 1e-6) if k < 3 else (1e-3, 1e-4 * float(other.abs().max() + 1))
            torch.testing.assert_close(one, other, rtol=rtol, atol=atol)


@pytest.mark.slow
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    IN_INTEGERS, IN_INTEGERS, IN_INTEGERS, st.integers(0, 100), st.sampled_from([8, 12, 16]), st.integers(-1, 2),
    st.sampled_from([6, 10, 14]),
)  # fmt: skip
def test_random_steps_in_fixed_point_numbers_are_the_same_everywhere(
    tmp_path_factory, of_v, of_w, of_spike, seed, width, finer, fraction
):
    """Torch, compiled floats, integers in numpy and compiled, and C."""
    v, w = FixedPoint(width, width - 3), FixedPoint(width, width - 3 + finer)
    random, numbers = np.random.default_rng(seed), {}
    total = random.integers(-40, 60, (20, 2, 5))
    drive = SynapticInput(
        torch.from_numpy(total).float(), gain=torch.tensor([1 / 16]), bias=torch.linspace(-0.1, 0.1, 5)
    )
    for kernel in ("reference", "cpu"):
        try:
            neuron = QuantizedNeuron(neuron_of(of_v, of_w, of_spike)(kernel=kernel), StateFormats(v, w, fraction))
        except EquationError:
            reject()
        spikes, state = neuron(drive)
        numbers[kernel] = [x.detach().numpy() for x in (spikes, state.v / v.unit, state.w / w.unit)]
    integers, multiplier, shift = neuron.in_integers(drive)
    layer = fixed.IntegerLayer(np.zeros((5, 5), np.int64), 8, multiplier, shift, v, integers)
    try:
        fixed.check_bounds(fixed.IntegerNetwork((layer,)))
    except ArtifactError:
        reject()
    assume(max(integers.sums(v).values(), default=0) < 1 << 52)
    numbers["integers"] = states, fires = integers.start(2), []
    for now in total:
        states, fired = integers.step(states, layer.current(now))
        fires.append(fired)
    for kernel in ("reference", "cpu"):
        for found, expected in zip(numbers[kernel], (np.stack(fires), *states), strict=True):
            assert np.array_equal(found, expected), kernel
    check_compiled(tmp_path_factory.mktemp("c"), layer, random)


def check_compiled(folder, layer, random):
    """Compiled integers give a layer's spikes, and C the words of its neurons."""
    weight = random.integers(-100, 100, layer.weight.shape)
    network = fixed.IntegerNetwork((fixed.IntegerLayer(
        weight, 8, layer.multiplier, layer.shift, layer.current_format, layer.neuron,
    ),))  # fmt: skip
    spikes = random.integers(0, 2, (15, 3, 5))
    slow, quick = fixed.run(network, spikes), fast.run(network, spikes)
    assert np.array_equal(slow.spikes[0], quick.spikes[0])
    if shutil.which("gcc") is None:
        return
    check_c(folder, layer.neuron, random, 20, "-Wno-unused-variable")


@pytest.mark.parametrize("kernel", ["cpu", "reference"])
def test_conditions_of_states_and_of_parameters(kernel):
    @izhi.neuron(states="v", parameters={"low": 0.4, "high": 0.7})
    def logic(v, I, p):
        w = 0.5 * v + I
        w = izhi.select(~(w > p.low) & (w > -0.3), w + p.high, w)
        w = izhi.select((w < -0.5) | ~(p.low > p.high), 0.5 * w, w)
        return izhi.select(~(w < 0.6), 0.0, w), izhi.spike(w - 0.6)

    current = torch.randn(30, 4, 20, generator=torch.Generator().manual_seed(0))
    v, spikes = torch.zeros(4, 20), []
    for now in current:
        w = 0.5 * v + now
        w = 0.5 * torch.where(~(w > 0.4) & (w > -0.3), w + 0.7, w)
        spikes.append((w >= 0.6).float())
        v = torch.where(w < 0.6, w, torch.zeros(()))
    out, _ = logic(kernel=kernel)(current)
    assert torch.equal(out, torch.stack(spikes))
    assert out.sum() > 100


def test_a_neuron_and_its_state_are_copied_and_pickled():
    import copy
    import pickle

    from izhi.equation.literature import adaptive_exponential

    layer = adaptive_exponential(learn="a", parameter_shape=4, spread=0.1)
    current = torch.rand(10, 2, 4)
    spikes, state = layer(current)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(current)[0], spikes)
    restored = pickle.loads(pickle.dumps(state))
    assert torch.equal(restored.w, state.w)
    assert torch.equal(layer(current, restored)[0], layer(current, state)[0])
    assert state.detach().v.grad_fn is None


@pytest.mark.parametrize("learn", ["", "a,b"])
def test_single_steps_are_those_of_a_run(learn):
    from izhi.equation.literature import adaptive_exponential

    layer = adaptive_exponential(learn=learn)
    current = 0.3 * torch.rand(20, 2, 4)
    whole, _ = layer(current)
    state, spikes = None, []
    for now in current:
        out, state = layer.step(now, state)
        spikes.append(out)
    assert torch.equal(torch.stack(spikes), whole)
    assert whole.sum() > 0
