"""An equation: a neuron's step as one function, and the names of what it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from izhi.equation.graph import Operand, StepGraph, Symbol

#: Names of the constants that an equation may read, beside the limits v_low and v_high of v.
CONSTANTS = ("dt", "substep", "jacobian_limit", "per_span")
#: Names of the limits of v.
LIMITS = ("v_low", "v_high")
#: What is done to a state after the integration, besides the equation; see ``Equation``.
StateFunction: TypeAlias = Callable[[Symbol], Symbol]


class Input(NamedTuple):
    """What drives a neuron in a step: I(v) = current − conductance·v.

    Attributes:
        current: behind the synapse, with the bias.
        conductance: None for a current that does not depend on v.
    """

    current: Symbol
    conductance: Symbol | None = None

    def at(self, v: Symbol) -> Symbol:
        """I(v)."""
        return self.current if self.conductance is None else self.current - self.conductance * v


@dataclass(frozen=True, eq=False)
class Equation:
    """A neuron's time step.

    Attributes:
        name: of the model.
        states: names of the numbers that a neuron keeps; the membrane potential first.
        coefficients: names of the numbers that can be learned, or differ between neurons.
        step: (states, input, coefficients p, constants k, function of states or None) → (*states after, spike).
            p and k have an attribute for each name.
        origin: the function that makes it, and its arguments, by which it is pickled; they make the same object again.
        limited: whether fixed-point numbers keep the limits of v; else v has those of its format alone.
    """

    name: str
    states: tuple[str, ...]
    coefficients: tuple[str, ...]
    step: Callable[[tuple[Symbol, ...], Input, Any, Any, StateFunction | None], tuple[Symbol, ...]]
    origin: tuple[Callable[..., Equation], tuple[Any, ...]]
    limited: bool = False

    def __reduce__(self) -> tuple[Callable[..., Equation], tuple[Any, ...]]:
        return self.origin


@cache
def limited(equation: Equation) -> Equation:
    """The same equation, whose fixed-point numbers keep the limits of v."""
    return replace(equation, name=f"{equation.name}-limited", origin=(limited, (equation,)), limited=True)


class Recording(NamedTuple):
    """A step as it was recorded, on variables of these names.

    Attributes:
        states, current: before the step; the input, "I".
        coefficients, constants: by name.
        results: the states after the step, and the spike.
    """

    states: tuple[Symbol, ...]
    current: Symbol
    coefficients: dict[str, Symbol]
    constants: dict[str, Symbol]
    results: tuple[Symbol, ...]

    @property
    def names(self) -> dict[Symbol, str]:
        """The name of each variable."""
        fixed = {**self.coefficients, **self.constants}
        return {**{x: str(x.value) for x in (*self.states, self.current)}, **{x: name for name, x in fixed.items()}}


def recorded(equation: Equation) -> Recording:
    """The step of an equation in floating point, under a current."""
    graph = StepGraph()
    states = tuple(graph.variable(name) for name in equation.states)
    p = {name: graph.variable(f"p_{name}", fixed=True) for name in equation.coefficients}
    k = {name: graph.variable(f"k_{name}", fixed=True) for name in (*CONSTANTS, *LIMITS)}
    current = graph.variable("I")
    return Recording(states, current, p, k, equation.step(states, Input(current), Names(p), Names(k), None))


class Names:
    """Symbols or numbers by name, as attributes."""

    def __init__(self, values: Mapping[str, Operand]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Operand:
        raise AttributeError(f"there is no {name}; there are {', '.join(self.__dict__)}")
