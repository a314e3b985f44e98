"""Neurons of the literature from training to gates: torch, integers, compiled integers, C and the core agree."""

import shutil
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar

import numpy as np
import pytest
import torch
from core_runs import check_core
from hypothesis import given, settings, strategies as st
from torch.nn import Linear
from words_of_c import check_c

import izhi
from izhi import quantization
from izhi.equation import literature
from izhi.equation.integers import IntegerStep, integer_step
from izhi.errors import ArtifactError, EquationError
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import compile, description, yosys
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.chosen import shape_of
from izhi.hardware.fixed import FixedPoint, fast
from izhi.hardware.fixed.neuron import neuron_kind
from izhi.network import Network
from tiers import long_but, slow_but

#: Neurons without exp of a state.
NEURONS = [
    literature.parametric_lif, literature.symplectic_adaptive_lif, literature.balanced_resonate_and_fire,
    literature.multi_timescale_threshold, literature.fitzhugh_nagumo, literature.two_compartment_lif,
]  # fmt: skip
STEPS, BATCH = 30, 5


@dataclass(frozen=True)
class ResonatorWithReset:
    """A resonator of the Izhikevich model with a reset; a call makes a layer of them, as that of the neurons above."""

    reset: str
    parameters: ClassVar = ("a2",)

    def __call__(self, learn=()):
        p = izhi.IzhikevichParameters(
            a1=0.1, a2=-0.05, a3=-0.3, a4=0.01, b1=0.3, b2=-0.05, b3=0.0, c=-0.1, d=0.15, threshold=0.6,
            reset=self.reset, q_damping=0.05,
        )  # fmt: skip
        return izhi.Izhikevich(p, learn=learn)


@dataclass(frozen=True)
class Preset:
    """Neurons of a preset, in another order or with another reset."""

    name: str
    order: str | None = None
    reset: str | None = None
    delay: bool = True

    @property
    def parameters(self):
        return ("beta",) if self.name == "lif" else ("a2",)

    def __call__(self, learn=()):
        if self.name == "lif":
            return izhi.LIF(0.9, reset=self.reset, reset_delay=self.delay, learn=learn)
        p = izhi.preset(self.name)
        return izhi.Izhikevich(p.replace(order=self.order or p.order, reset=self.reset or p.reset), learn=learn)


@izhi.neuron(states="v", parameters={"beta": 0.8, "low": 0.4, "high": 0.2, "threshold": 0.7})
def limits_that_cross(v, I, p):
    v = p.beta * v + I
    v = v + p.beta * izhi.clip(v, p.low, p.high)  # high, whatever v is
    s = izhi.spike(v - p.threshold)
    return v - izhi.hold(s) * p.threshold, s


ORDERS = [Preset("normalized", order) for order in izhi.ORDERS if order != "fpga-ip"]
OTHERS = [
    Preset("biological"), Preset("CH"), Preset("resonator"), Preset("adlif", "simultaneous", "smooth"),
    Preset("lif", None, "none"),
    *(Preset("lif", None, reset, False) for reset in ("subtract", "soft", "zero", "value")), limits_that_cross,
]  # fmt: skip
RESETS = [ResonatorWithReset(reset) for reset in ("subtract", "none", "smooth")]


def by_name(model):
    if isinstance(model, Preset):
        return "-".join(filter(None, (model.name, model.order, model.reset, "" if model.delay else "at-once")))
    return model.reset if isinstance(model, ResonatorWithReset) else model.function.__name__


def quantised(model, seed=0, kernel="auto", width=16):
    """A quantised network of such neurons, and spikes for it; both layers fire."""
    torch.manual_seed(seed)
    network = Network([Linear(12, 9), model(learn=next(iter(model.parameters))), Linear(9, 5), model()]).eval()
    for layer in network.spiking:
        layer.neuron.kernel = kernel
    spikes = (torch.rand(STEPS, BATCH, 12) < 0.4).float()
    for number, layer in enumerate(network.spiking):
        while network.record(spikes).spikes[number].mean() < 0.05:
            layer.connection.weight.data = 1.5 * layer.connection.weight + 0.02
    formats = quantization.formats(network, spikes, width)
    return quantization.quantized(network, 6, formats).eval(), spikes


MODELS = [*NEURONS, *RESETS, *ORDERS, *OTHERS]
#: Of each kind of equation one is quick.
SOME_OF_ALL = slow_but(
    [literature.parametric_lif, literature.fitzhugh_nagumo, RESETS[2], ORDERS[0], OTHERS[0], limits_that_cross],
    MODELS,
)  # fmt: skip
#: Of all models uncompiled; compiled each takes seconds.
KERNELS = ["reference", pytest.param("auto", marks=pytest.mark.slow)]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("model", SOME_OF_ALL, ids=by_name)
def test_torch_is_the_integer_model(model, kernel):
    network, spikes = quantised(model, kernel=kernel)
    with torch.no_grad():
        expected = network.record(spikes).spikes
    integers, x = quantization.in_integers(network), spikes.numpy().astype(np.uint8)
    slow = fixed.run(integers, x, trace=True)
    quick = slow if kernel == "reference" else fast.run(integers, x)
    for a, b, wanted in zip(slow.spikes, quick.spikes, expected, strict=True):
        assert np.array_equal(a, wanted.numpy())
        assert np.array_equal(b, a)
        assert 0 < a.mean() < 0.9
    fixed.check_bounds(integers)
    # Gradients pass the rounding: those of coefficients and of weights.
    network.train()(spikes)[0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    learned = network.spiking[0].neuron.learned
    assert all(x.grad.abs().sum() > 0 for x in learned.values())


@pytest.mark.parametrize("model", slow_but(RESETS[:1], RESETS), ids=by_name)
def test_gradients_through_the_rounding_are_those_of_the_reference(model):
    network, spikes = quantised(model)
    network.train()
    results = []
    for kernel in ("reference", "cpu"):
        for layer in network.spiking:
            layer.neuron.neuron.kernel = kernel
        network.zero_grad()
        network(spikes)[0].sum().backward()
        results.append([x.grad.clone() for x in network.parameters()])
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3 * float(x.abs().max()))


@pytest.mark.parametrize("model", SOME_OF_ALL, ids=by_name)
def test_an_artifact_holds_the_step_itself(model, tmp_path):
    network, spikes = quantised(model, kernel="reference")
    integers, x = quantization.in_integers(network), spikes.numpy().astype(np.uint8)
    made = IntegerArtifact(integers, STEPS, tuple("abcde"), test_inputs=x, test_scores=fixed.run(integers, x).scores)
    path = tmp_path / "own.izhi"
    artifact.save(made, path)
    read = artifact.load(path).network
    assert [type(layer.neuron) for layer in read.layers] == [type(layer.neuron) for layer in integers.layers]
    assert np.array_equal(fixed.run(read, x).scores, made.test_scores)
    again = tmp_path / "again.izhi"
    artifact.save(artifact.load(path), again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler is installed")
@pytest.mark.parametrize("model", MODELS, ids=by_name)
def test_c_computes_the_same_words(model, tmp_path):
    network, _ = quantised(model, kernel="reference")
    neuron = quantization.in_integers(network).layers[0].neuron
    check_c(tmp_path, neuron, np.random.default_rng(1), 200, "-Wunused")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        literature.multi_timescale_threshold,
        literature.balanced_resonate_and_fire,
        literature.two_compartment_lif,
        *RESETS,
        Preset("biological"),
        Preset("resonator"),
        Preset("normalized", "s2nn"),
        Preset("lif", None, "none"),
        Preset("lif", None, "zero", False),
        limits_that_cross,
    ],
    ids=by_name,
)
def test_the_core_computes_every_spike_and_state(model, tmp_path):
    network, spikes = quantised(model)
    integers, x = quantization.in_integers(network), spikes.numpy().astype(np.uint8)
    shape = shape_of(integers, STEPS, lanes=4, units=2)
    (tmp_path / "core.json").write_text(description.to_json(shape))
    assert description.read(tmp_path / "core.json") == shape
    out, expected = check_core(shape, integers, x)
    assert np.array_equal(out.scores, expected.scores)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width"),
    long_but(
        [("RS", 8), ("CH", 10), ("biological", 12), ("normalized", 14), ("resonator", 16)],
        product(["RS", "CH", "biological", "normalized", "resonator"], range(8, 17, 2)),
    ),
)
def test_no_wire_of_a_simulated_core_feeds_back(name, width, tmp_path):
    network, _ = quantised(Preset(name), kernel="reference", width=width)
    shape = shape_of(quantization.in_integers(network), STEPS, lanes=8, units=2)
    (tmp_path / "core.il").write_text(yosys.rtlil_of(AxiCore(shape), "izhi"))
    printed = yosys.run(f"read_rtlil core.il; {compile._PASSES}; write_cxxrtl core.cc", tmp_path)
    assert "write_cxxrtl" in printed or "CXXRTL" in printed
    assert "feedback" not in printed


#: What a file may hold in place of a part of a step.
ANYTHING = st.one_of(
    st.none(), st.integers(-3, 40), st.floats(allow_nan=True),
    st.sampled_from(["v", "shift", "*", "select", "_input", "x"]),
    st.lists(st.integers(0, 9), max_size=3), st.just([["variable", "v"]] * 400), st.just({}),
)  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_step_is_refused_or_runs(data):
    table = integer_step(literature.two_compartment_lif.equation).table()
    for _ in range(data.draw(st.integers(1, 3))):
        place = table
        key = data.draw(st.sampled_from(sorted(table)))
        while isinstance(place[key], list) and place[key] and data.draw(st.booleans()):
            place, key = place[key], data.draw(st.integers(0, len(place[key]) - 1))
        place[key] = deepcopy(data.draw(ANYTHING))
    try:
        step = IntegerStep.of_table(table)
        kind = neuron_kind("damaged", step)
    except EquationError:
        return
    number = FixedPoint(12, 8)
    neuron = kind.of(dict.fromkeys(step.states, number), 14, {x: np.full(3, 99) for x in kind.names()})
    after, fired = neuron.step(neuron.start(2), np.full((2, 3), 50))
    assert after.shape == (len(step.states), 2, 3)
    assert set(np.unique(fired)) <= {0, 1}


def test_numbers_of_a_step_from_a_file_fit_64_bits():
    table = integer_step(literature.two_compartment_lif.equation).table()
    operations = table["operations"]
    square = next(k for k, x in enumerate(operations) if x[:2] == ["variable", "v"])
    for _ in range(200):  # v to the power of 2²⁰⁰
        operations.append(["*", None, square, square])
        square = len(operations) - 1
    operations.append(["saturated", "v", square])
    table["results"][0] = len(operations) - 1
    kind = neuron_kind("steep", IntegerStep.of_table(table))
    number = FixedPoint(12, 8)
    neuron = kind.of(dict.fromkeys(kind.states(), number), 14, {x: np.full(3, 9) for x in kind.names()})
    layer = fixed.IntegerLayer(np.zeros((3, 2), np.int64), 4, np.ones(3, np.int64), 0, number, neuron)
    with pytest.raises(ArtifactError, match=r"layer 1: v·v·v·v.* may take \d+ bits, expected at most 63"):
        fixed.check_bounds(fixed.IntegerNetwork((layer,)))
    kind = neuron_kind("coarse", integer_step(literature.two_compartment_lif.equation))
    coarse = kind.of({"v": FixedPoint(12, 30), "dendrite": FixedPoint(12, 0)}, 5, neuron.values)
    layer = replace(layer, current_format=FixedPoint(12, 30), neuron=coarse)
    with pytest.raises(ArtifactError, match="layer 1 has bits of v in dendrite -25, expected 0 to 40"):
        fixed.check_bounds(fixed.IntegerNetwork((layer,)))


def in_two_choices(v, I, p):
    v = p.beta * v + I
    return v, izhi.select(v >= p.high, izhi.select(v >= p.low, 1.0, 0.0), izhi.spike(v - p.low))


def by_a_condition(v, I, p):
    v = p.beta * v + I
    return v, izhi.select(v >= p.low, 1.0, 0.0)


def between(v, I, p):
    v = p.beta * v + I
    return v, izhi.select(v >= p.high, 0.0, izhi.select(v >= p.low, 1.0, 0.0))


@pytest.mark.parametrize("function", [in_two_choices, by_a_condition, between])
def test_spikes_may_be_choices_of_one_and_none(function):
    model = izhi.neuron(states="v", parameters={"beta": 0.8, "low": 0.7, "high": 1.5})(function)
    network, spikes = quantised(model)
    integers = quantization.in_integers(network)
    whole = spikes.numpy().astype(np.uint8)
    with torch.no_grad():
        expected = network.record(spikes).spikes
    for a, b, wanted in zip(fixed.run(integers, whole).spikes, fast.run(integers, whole).spikes, expected, strict=True):
        assert np.array_equal(a, wanted.numpy())
        assert np.array_equal(b, a)
        assert 0 < a.mean() < 1
    step = integers.layers[0].neuron.operations
    assert IntegerStep.of_table(step.table()) == step


def test_a_spike_without_a_state_is_no_spike_of_integers():
    @izhi.neuron(states="v", parameters={"beta": 0.8})
    def silent(v, I, p):
        v = p.beta * v + I
        return v, izhi.select(v >= 1.0, izhi.select(v >= 2.0, 0.0 * v, 0.0 * v), 0.0 * v)

    assert "fires always or never, expected a spike that depends on a state" in silent.refused["integers"]


def test_what_integers_do_not_have_is_said_with_its_line():
    for model in (literature.exponential, literature.adaptive_exponential):
        message = model.refused["integers"]
        assert "literature.py:" in message
        assert "exp is no operation of integers; write it with +, −, ·, select and clip" in message
        network = Network([Linear(3, 2), model()])
        with pytest.raises(EquationError, match="exp is no operation of integers"):
            quantization.formats(network, torch.ones(4, 1, 3), 12)
    assert not literature.parametric_lif.refused


def test_many_substeps_are_recorded_rounded_and_compared_in_little_time():
    @izhi.neuron(states="v, w", parameters={"dt": 0.05, "threshold": 1.0})
    def oscillator(v, w, I, p):
        for _ in range(24):
            v = izhi.clip(v + p.dt * (w - v * v * v + I), -4.0, 4.0)
            w = w - p.dt * (v + w)
        s = izhi.spike(v - p.threshold)
        return izhi.select(v >= p.threshold, 0.0, v), w, s

    assert not oscillator.refused
    assert len(integer_step(oscillator.equation).nodes) < 24 * 30


def test_states_and_parameters_may_have_names_that_hardware_has_too():
    @izhi.neuron(states="current, trace", parameters={"decay": 0.9, "multiplier": 0.5, "step": 1.0, "gain": 0.7})
    def reserved(current, trace, I, p):
        current = p.decay * current + p.gain * I - p.multiplier * trace
        s = izhi.spike(current - p.step)
        return current - izhi.hold(s) * p.step, p.decay * trace + s, s

    network, spikes = quantised(reserved)
    integers = quantization.in_integers(network)
    with torch.no_grad():
        expected = network.record(spikes).spikes
    for found, wanted in zip(fixed.run(integers, spikes.numpy().astype(np.uint8)).spikes, expected, strict=True):
        assert np.array_equal(found, wanted.numpy())
        assert found.any()
