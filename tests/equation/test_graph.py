"""Recording a step: equal expressions are one node, and what cannot be recorded names its line."""

import math
from pathlib import Path

import pytest

import izhi
from izhi.equation.emit import operations
from izhi.equation.graph import StepGraph, in_order
from izhi.errors import EquationError, SettingError

HERE = Path(__file__).name


def test_equal_expressions_are_one_node():
    graph = StepGraph()
    v, w = graph.variable("v"), graph.variable("w")
    assert v * w + 1.0 is v * w + 1.0
    both = (v + w) * (v + w)
    assert [x.op for x in in_order([both])] == ["variable", "variable", "+", "*"]
    assert operations([both]) == {"+": 1, "*": 1}


def test_constants_that_change_nothing_leave_no_node():
    graph = StepGraph()
    v = graph.variable("v")
    assert (v + 0.0) is v
    assert (0.0 + v) is v
    assert v * 1.0 is v
    assert v - 0.0 is v
    assert v / 1.0 is v
    assert -graph.negative(v) is v
    assert (v * 0.0).value == 0.0


def defined(function, **options):
    return izhi.neuron(**{"states": "v", "parameters": {"beta": 0.9}, **options})(function)


def one_state(v, I, p):
    return p.beta * v + I, izhi.spike(v)


def test_an_if_names_its_line():
    def step(v, I, p):
        if v > 1.0:
            v = 0.0 * v
        return v, izhi.spike(v)

    with pytest.raises(
        EquationError, match=rf"{HERE}:\d+: a condition has no value .* write select\(condition, a, b\)"
    ):
        defined(step)


def test_functions_of_numbers_name_their_line():
    def step(v, I, p):
        return math.exp(v), izhi.spike(v)

    with pytest.raises(EquationError, match=rf"{HERE}:\d+: a symbol has no value .* write exp"):
        defined(step)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda v, I, p: v, "expected v after the step and the spike"),
        (lambda v, I, p: (v, v >= 1.0), "expected v after the step and the spike, as symbols"),
        (lambda v, I, p: (v, 1.0), "expected v after the step and the spike, as symbols"),
        (lambda v, I, p: (v**0.5, izhi.spike(v)), "a power is 0.5, expected a whole number"),
        (lambda v, I, p: (v + "1", izhi.spike(v)), "an operand is '1', expected a symbol or a number"),
        (lambda v, I, p: (izhi.select(v, v, I), izhi.spike(v)), "select has the condition v, expected a comparison"),
        (lambda v, I: (v, izhi.spike(v)), r"takes \(v, I\), expected \(v, I, p\)"),
        (lambda v, I, p: (v * p.gamma, izhi.spike(v)), "there is no gamma; there are beta"),
    ],
)
def test_what_a_step_may_not_do(result, message):
    with pytest.raises((EquationError, AttributeError), match=message):
        defined(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"states": "w, v"}, "states are w, v, expected the membrane potential v first"),
        ({"states": "v, v"}, "expected names of Python, each once"),
        ({"parameters": {"v": 1.0}}, "a state or parameter is 'v', expected names of Python, each once"),
        ({"parameters": {"a b": 1.0}}, "a state or parameter is 'a b'"),
        ({"initial": {"u": 1.0}}, "unknown state 'u'"),
        ({"bounds": {"bet": (0, 1)}}, "unknown parameter 'bet'"),
    ],
)
def test_what_a_neuron_may_not_be(options, message):
    with pytest.raises(SettingError, match=message):
        defined(one_state, **options)


def test_a_symbol_of_another_step_is_refused():
    kept = []

    def step(v, I, p):
        kept.append(v)
        return kept[0] + v, izhi.spike(v)

    model = defined(lambda v, I, p: (v, izhi.spike(v)))
    assert model.states == ("v",)
    other = StepGraph()
    with pytest.raises(EquationError, match="is a symbol of another step"):
        other.sum(other.variable("v"), StepGraph().variable("v"))


def test_parameters_that_a_layer_lacks_are_refused():
    model = defined(one_state)
    assert repr(model(beta=0.5)) == "CustomNeuron(\n  beta=0.5\n  (learned): ParameterDict()\n)"
    with pytest.raises(SettingError, match="unknown parameter of .*one_state 'gamma'"):
        model(gamma=1.0)
