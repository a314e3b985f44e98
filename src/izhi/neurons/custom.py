"""A layer of neurons of the user's own; see ``izhi.neuron``."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor

from izhi.equation import NeuronModel, model_of
from izhi.kernels import Memory
from izhi.neurons.neuron import (
    NeuronLayer,
    NeuronState,
    as_shape,
    at_rest,
    clamp_straight_through,
    names_in,
    step_settings,
)
from izhi.neurons.state import Target, detach, moved
from izhi.neurons.surrogate import SpikeGradient, recognised, spec_of
from izhi.spec import CustomSpec


class CustomNeuron(NeuronLayer[NeuronState, Any]):
    """A layer of neurons that ``@izhi.neuron`` made, which has the arguments.

    Attributes:
        model: the neuron: function, states, parameters.
    """

    spec: CustomSpec
    model: NeuronModel

    def __init__(
        self, spec: CustomSpec, *, parameter_shape: int | Sequence[int] | None = None, learn: Sequence[str] | str = (),
        spread: float = 0.0, surrogate: SpikeGradient | None = None, kernel: str = "auto",
    ) -> None:  # fmt: skip
        form = recognised(surrogate)
        spec = spec.replace(
            size=as_shape(parameter_shape), learn=names_in(learn), spread=spread, surrogate=spec_of(form)
        )
        self._set_up(spec, form, kernel)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The reference of its function."""
        return self.spec.kind

    def _configure(self, surrogate: SpikeGradient) -> None:
        self.model = model_of(self.spec.kind)
        self.settings = step_settings(self.model.equation, surrogate)
        self._types = _types_of(self.kind)
        self.values = dict(zip(self.spec.names, self.spec.values, strict=True))
        self._learn(self.spec.learn, self.values.__getitem__)

    def dynamics(self) -> dict[str, object]:
        """See ``NeuronLayer``."""
        return {name: value for name, value in self.values.items() if name not in self.learned}

    def parameter_scale(self, name: str) -> float:
        """The scale of a parameter: its size, or 1 if it is 0."""
        return abs(self.values[name]) or 1.0

    def coefficients(self) -> Any:
        """The parameters in use: floats, or tensors where they are learned, within their bounds."""
        values: dict[str, Tensor | float] = dict(self.values)
        for name, value in self.learned.items():
            bounds = self.model.bounds.get(name)
            values[name] = value if bounds is None else clamp_straight_through(value, *bounds)
        return self._types.coefficients(**values)

    def initial_state(self, current_t: Tensor) -> NeuronState:
        """The states before the first step of current, (B, *features)."""
        initial = self.model.initial
        values = (at_rest(current_t, initial.get(name, 0.0)) for name in self.model.states)
        state: NeuronState = self._types.state(*values, Memory())
        return state

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in self.values.items())


class _Types(NamedTuple):
    """The NamedTuples of the parameters and states of a neuron, which exist before a compiler traces a call."""

    kind: str
    coefficients: Any
    state: Any

    def __reduce__(self) -> Any:
        return _types_of, (self.kind,)


def _types_of(kind: str) -> _Types:
    model = model_of(kind)
    return _Types(kind, _coefficients(model), _states(model))


@cache
def _coefficients(model: NeuronModel) -> type[tuple[Any, ...]]:
    """The NamedTuple of a neuron's parameters."""
    return namedtuple("CustomCoefficients", model.parameters)


def state_of(kind: str, *values: Tensor, memory: Memory = Memory()) -> NeuronState:  # noqa: B008  (a constant)
    """A state of the neurons of a reference."""
    state: NeuronState = _types_of(kind).state(*values, memory)
    return state


def _restored(kind: str, values: tuple[Any, ...]) -> NeuronState:
    return state_of(kind, *values[:-1], memory=values[-1])


@cache
def _states(model: NeuronModel) -> Any:
    """The NamedTuple of a neuron's states, and the memory of synapse and recurrence."""

    class CustomState(namedtuple("CustomState", (*model.states, "memory"))):  # type: ignore[misc]
        __slots__ = ()

        def detach(self) -> CustomState:
            """The same state without its history, see ``izhi.neurons.state.detach``."""
            return detach(self)

        def to(self, target: Target) -> CustomState:
            """The same state on another device or in another dtype."""
            return moved(self, target)

        def __reduce__(self) -> Any:
            return _restored, (model.reference, tuple(self))

    if "v" not in model.states:  # the membrane potential is the first
        setattr(CustomState, "v", property(lambda self: self[0]))  # noqa: B010
    return CustomState
