"""Neurons of the user's own: one function, from which everything else is derived."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from izhi.equation.derivative import gradients
from izhi.equation.emit import operations
from izhi.equation.equation import Equation, Input, StateFunction, recorded
from izhi.equation.graph import Symbol
from izhi.equation.integers import integer_step
from izhi.equation.latex import latex
from izhi.errors import EquationError, SettingError, unknown
from izhi.spec import Coefficient, CustomSpec, NeuronEntry, entry_of, register_again

#: Neurons by reference, as they were defined last.
_MODELS: dict[str, NeuronModel] = {}


@dataclass(frozen=True, eq=False)
class NeuronModel:
    """A neuron that ``@izhi.neuron`` made; a call makes a layer of such neurons.

    Attributes:
        reference: "module:name" of its function.
        function: of one time step.
        states: names of the states; the membrane potential first.
        parameters: initial values by name.
        initial: states before the first step, by name; others begin at 0.
        bounds: limits of learned parameters.
        equation: of a time step.
        refused: executors that cannot run the step, "integers" for hardware, and why.
    """

    reference: str
    function: Callable[..., tuple[Symbol, ...]]
    states: tuple[str, ...]
    parameters: Mapping[str, float]
    initial: Mapping[str, float]
    bounds: Mapping[str, tuple[float, float]]
    equation: Equation = field(init=False, repr=False)
    refused: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        step = Equation(
            self.reference, self.states, tuple(self.parameters), self._step, (equation_of, (self.reference,))
        )
        object.__setattr__(self, "equation", step)

    def _step(
        self, states: tuple[Symbol, ...], input: Input, p: Any, k: Any, state_quant: StateFunction | None
    ) -> tuple[Symbol, ...]:
        results = self.function(*states, input.at(states[0]), p)
        expected = f"expected {', '.join(self.states)} after the step and the spike"
        if not isinstance(results, tuple) or len(results) != len(states) + 1:
            raise EquationError(f"{self.reference} returns {results!r}, {expected}")
        numbers = [x for x in results if not (isinstance(x, Symbol) and x.kind != "condition")]
        if numbers:
            raise EquationError(f"{self.reference} returns {numbers[0]!r} among its results, {expected}, as symbols")
        *after, fires = results
        return (*(after if state_quant is None else map(state_quant, after)), fires)

    def spec(self, **values: float) -> CustomSpec:
        """The description of neurons with these values, and otherwise the initial ones."""
        for name in values:
            if name not in self.parameters:
                raise unknown(f"parameter of {self.reference}", name, self.parameters)
        every = {**self.parameters, **{name: float(x) for name, x in values.items()}}
        return CustomSpec(kind=self.reference, names=tuple(every), values=tuple(every.values()))

    def __call__(
        self, *, parameter_shape: int | Sequence[int] | None = None, learn: Sequence[str] | str = (),
        spread: float = 0.0, surrogate: Any = None, kernel: str = "auto", **values: float,
    ) -> Any:  # fmt: skip
        """A layer of such neurons, an nn.Module that is called like ``izhi.LIF``.

        Args:
            parameter_shape: shape of the parameters of each neuron, see ``izhi.Izhikevich``; None for one set.
            learn: names of learned parameters; a text separates them by commas.
            spread: standard deviation of the learned ones' initial values between neurons, in units of their size.
            surrogate: derivative of the spike, from ``izhi.surrogate``; None for ATan(2).
            kernel: ``"auto"``, ``"reference"`` or ``"cpu"``.
            values: values of parameters by name.
        """
        return entry_of(self.reference).load("torch")(
            self.spec(**values), parameter_shape=parameter_shape, learn=learn, spread=spread, surrogate=surrogate,
            kernel=kernel,
        )  # fmt: skip

    def _repr_latex_(self) -> str:
        """The step in a notebook."""
        return f"$$\n{latex(self.equation)}\n$$"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return model_of, (self.reference,)


def neuron(
    *, states: str | Sequence[str], parameters: Mapping[str, float], initial: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Callable[[Callable[..., Any]], NeuronModel]:  # fmt: skip
    """Make a neuron of a function of one time step, written in the words of ``izhi``.

        @izhi.neuron(states="v", parameters=dict(beta=0.9, threshold=1.0))
        def leaky(v, I, p):
            v = p.beta * v + I
            s = izhi.spike(v - p.threshold)
            return v - izhi.hold(s) * p.threshold, s

    The function runs once on symbols; its backward pass and its compiled forms are derived from what it does.

    Args:
        states: names of the states, comma-separated or a sequence; the membrane potential first.
        parameters: initial values by name.
        initial: states before the first step by name; 0 for others.
        bounds: limits of learned parameters by name.

    Raises:
        EquationError: for a function that cannot be recorded; the message names its line.
    """
    names = tuple(x.strip() for x in states.split(",")) if isinstance(states, str) else tuple(states)
    values = {name: float(x) for name, x in parameters.items()}
    of_states, limits = {k: float(x) for k, x in (initial or {}).items()}, dict(bounds or {})
    for given, known, what in ((of_states, names, "state"), (limits, values, "parameter")):
        for name in given:
            if name not in known:
                raise unknown(what, name, known)
    for name in (*names, *values):
        if not name.isidentifier() or names.count(name) + (name in values) > 1:
            raise SettingError(f"a state or parameter is {name!r}, expected names of Python, each once")
        if name.startswith("_"):
            raise SettingError(f"a state or parameter is {name!r}, expected a name without a _ in front")
    if "v" in names[1:]:
        raise SettingError(f"states are {', '.join(names)}, expected the membrane potential v first")

    def made(function: Callable[..., Any]) -> NeuronModel:
        reference = f"{function.__module__}:{function.__qualname__}"
        expected = [*names, "I", "p"]
        if len(inspect.signature(function).parameters) != len(expected):
            raise EquationError(f"{reference} takes {inspect.signature(function)}, expected ({', '.join(expected)})")
        model = NeuronModel(reference, function, names, values, of_states, limits)
        _register(model)
        return model

    return made


def _register(model: NeuronModel) -> None:
    """Record and differentiate the step, so that its errors are raised here; make the neuron known by its reference."""
    step = recorded(model.equation)
    gradients(dict.fromkeys(step.results, 1.0), (*step.states, *step.coefficients.values()), lambda x: x)
    try:
        integer_step(model.equation)
    except EquationError as error:
        model.refused["integers"] = str(error)
    counted = operations(step.results)
    _MODELS[model.reference] = model
    register_again(
        NeuronEntry(
            name=model.reference,
            spec=CustomSpec,
            states=model.states,
            coefficients=tuple(Coefficient(n, "1", *model.bounds.get(n, ())) for n in model.parameters),
            presets={model.reference: model.spec()},
            operations=(counted["*"] + counted["/"], counted["+"] + counted["-"]),
            executors={"torch": "izhi.neurons.custom:CustomNeuron", "nir": "izhi.exchange.custom:CODEC"},
        )
    )


def model_of(reference: str) -> NeuronModel:
    """The neuron of a reference, whose module is imported if the user has named it; see ``izhi.trust``."""
    entry_of(reference)
    return _MODELS[reference]


def equation_of(reference: str) -> Equation:
    """The equation of the neuron of a reference."""
    return model_of(reference).equation
