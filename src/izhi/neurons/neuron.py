"""The protocol of neurons, and the base of their modules.

To add a neuron: its description and registration in izhi.spec, such as spec/izhikevich.py; its equation in
izhi.equation; its module here. Quantised float, integers and gates are derived from the equation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from izhi import kernels
from izhi.deprecation import renamed_attribute
from izhi.equation import Equation
from izhi.errors import CheckpointError, ShapeError, shown, unknown
from izhi.kernels import AnyInput, Memory, StepSettings, SynapticInput, reference
from izhi.kernels.plan import Constants
from izhi.kernels.reference import apply_synapse, remember
from izhi.neurons.state import Target
from izhi.neurons.surrogate import SpikeGradient, surrogate_of
from izhi.spec import NeuronSpec
from izhi.spec.modules import covers

State = TypeVar("State", bound="NeuronState")
Layer = TypeVar("Layer", bound="NeuronLayer[Any, Any]")
Coefficients = TypeVar("Coefficients", bound="NeuronCoefficients")

#: Suffix of the entry of a ``state_dict`` that describes a layer's neurons; torch's name for it.
DYNAMICS = "_extra_state"


class NeuronState(Protocol):
    """A NamedTuple: v, for some neurons u, (B, *features) each, and the memory of synapse and recurrence."""

    @property
    def v(self) -> Tensor: ...

    @property
    def memory(self) -> Memory: ...

    def __iter__(self) -> Iterator[Any]: ...

    def detach(self: State) -> State: ...

    def to(self: State, target: Target) -> State: ...


class NeuronCoefficients(Protocol):
    """A NamedTuple of a neuron's coefficients, in the order of its equation.

    They are floats, or tensors where they are learned or differ.
    """

    def __iter__(self) -> Iterator[Tensor | float]: ...

    @property
    def threshold(self) -> Tensor | float: ...

    def _asdict(self) -> dict[str, Any]: ...


class Neuron(Protocol):
    """A layer of neurons, as connections and networks use it.

    Attributes:
        kind: the name of its model.
    """

    @property
    def kind(self) -> str: ...

    @property
    def parameter_shape(self) -> tuple[int, ...] | None:
        """Shape of the coefficients, where each neuron has its own; None for one set."""

    @property
    def kernel(self) -> str:
        """Which kernels run it, see ``izhi.kernels``."""

    @property
    def learned(self) -> nn.ParameterDict:
        """The learned coefficients by name."""

    @property
    def unit_of_v(self) -> Literal["mV", "1"]:
        """The unit of v; "1" for none."""

    @property
    def reversal(self) -> tuple[float, float, float]:
        """(E_inh, v_rest, E_exc) of a conductance synapse, in the unit of v."""

    @property
    def implicit(self) -> float:
        """κ of a conductance synapse's implicit step: the change of v in a step by a current of 1."""

    def parameter_scale(self, name: str) -> float:
        """The scale of a learned coefficient: of its spread, and of its learning rate."""

    def coefficients(self) -> NeuronCoefficients:
        """The coefficients now in use."""

    def initial_state(self, current_t: Tensor) -> NeuronState:
        """The state before the first step of current, (B, *features)."""

    def step(self, current_t: Tensor | SynapticInput, state: Any = None) -> tuple[Tensor, NeuronState]:
        """One step: current_t (B, *features) → spikes (B, *features), next state."""

    def __call__(self, current: Tensor | SynapticInput, state: Any = None) -> tuple[Tensor, NeuronState]:
        """Run over time: current (T, B, *features) → spikes of the same shape, and the last state."""


#: Settings that are equal are one object.
_settings = lru_cache(maxsize=1024)(StepSettings)


def step_settings(
    equation: Equation,
    surrogate: SpikeGradient,
    constants: Constants = Constants(),  # noqa: B008  (a constant)
    *others: Any,
) -> StepSettings:
    """What is fixed about the time step of neurons; see ``StepSettings``."""
    is_hashable = type(surrogate).__hash__ is not None  # which a surrogate of the user's need not be
    return (_settings if is_hashable else StepSettings)(equation, surrogate, constants, *others)


def names_in(learn: Sequence[str] | str) -> tuple[str, ...]:
    """Names of coefficients; a text is a list of names separated by commas."""
    if isinstance(learn, str):
        return tuple(name.strip() for name in learn.split(",") if name.strip())
    return tuple(learn)


def as_shape(parameter_shape: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """The shape of coefficients, of which one number is a width."""
    shape = (parameter_shape,) if isinstance(parameter_shape, int) else parameter_shape
    return None if shape is None else tuple(shape)


class NeuronLayer(nn.Module, Generic[State, Coefficients]):
    """Base of the layers of neurons: learned coefficients, and checks of the input.

    A ``state_dict`` describes the neurons, and loading it into other neurons raises a CheckpointError. Weights without
    this entry, of early versions, load without the check.

    Attributes:
        spec: the description, without learned values.
        parameter_shape: shape of the coefficients, that of one step of one sample, with 1 along a dimension where
            neurons share them, so (16, 1, 1) for each of 16 channels; None for one set.
        spread: standard deviation of the learned coefficients' initial values between neurons, in
            units of ``parameter_scale``; needs a parameter_shape.
        kernel: which kernels run it, see ``izhi.kernels``; SettingError for an unknown one.
        learned: the learned coefficients by name.
    """

    kind: ClassVar[str]
    #: Whether ``forward`` takes spikes and weights instead of currents.
    takes_spikes: ClassVar[bool] = True
    #: The description of the neurons, without their learned values.
    spec: NeuronSpec
    parameter_shape: tuple[int, ...] | None
    #: Equation, surrogate gradient and constants of a step.
    settings: StepSettings

    size = renamed_attribute("size", "parameter_shape")
    unit = renamed_attribute("unit", "parameter_scale")

    def _set_up(self, spec: NeuronSpec, surrogate: SpikeGradient, kernel: str) -> None:
        """Begin the module, as ``__init__`` and ``of`` do."""
        super().__init__()
        if kernel not in kernels.KERNELS:
            raise unknown("kernel", kernel, kernels.KERNELS)
        self.spec, self.parameter_shape, self.spread, self.kernel = spec, spec.size, spec.spread, kernel
        self.learned = nn.ParameterDict()
        self._configure(surrogate)

    def _configure(self, surrogate: SpikeGradient) -> None:
        """Make the settings of the kernels and the learned coefficients of the description."""
        raise NotImplementedError

    @classmethod
    def of(cls: type[Layer], spec: NeuronSpec, kernel: str = "auto") -> Layer:
        """The neurons of a description."""
        neuron = cls.__new__(cls)
        neuron._set_up(spec, surrogate_of(spec.surrogate), kernel)
        return neuron

    @property
    def unit_of_v(self) -> Literal["mV", "1"]:
        """The unit of v; "1" for none."""
        return self.spec.unit_of_v

    @property
    def reversal(self) -> tuple[float, float, float]:
        """(E_inh, v_rest, E_exc) of a conductance synapse, in the unit of v."""
        return self.spec.reversal

    @property
    def implicit(self) -> float:
        """κ of a conductance synapse's implicit step: the change of v in a step by a current of 1."""
        return self.spec.implicit

    def dynamics(self) -> Mapping[str, object]:
        """The values that define the neurons besides the learned ones and the surrogate gradient."""
        raise NotImplementedError

    def get_extra_state(self) -> Tensor:
        """The dynamics as text of JSON in bytes, (n,) uint8: a tensor, like every entry that is saved with weights."""
        return torch.tensor(list(json.dumps({"neuron": self.kind, **self.dynamics()}).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: object) -> None:
        """Raise CheckpointError unless the state is one of the same neurons."""
        own, there = _facts(self.get_extra_state()), _facts(state)
        odd = [name for name in {**own, **there} if own.get(name) != there.get(name)]
        if odd:
            others = f", and another {', '.join(odd[1:])}" if odd[1:] else ""
            raise CheckpointError(
                f"its neurons have {odd[0]} {shown(there.get(odd[0]))}, expected {shown(own.get(odd[0]))}{others};"
                " build them as those were that it was trained with"
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        state_dict.setdefault(prefix + DYNAMICS, self.get_extra_state())
        try:
            super()._load_from_state_dict(state_dict, prefix, *others)
        except CheckpointError as error:
            raise CheckpointError(f"{prefix.removesuffix('.')}: {error}" if prefix else str(error)) from None

    def _learn(self, names: Sequence[str], initial: Callable[[str], Tensor | float]) -> None:
        """Make parameters of these coefficients."""
        for name in names:
            value = initial(name) + torch.zeros(self.parameter_shape or ())
            if self.spread:
                value = value + self.spread * self.parameter_scale(name) * torch.randn(value.shape)
            self.learned[name] = nn.Parameter(value)

    def parameter_scale(self, name: str) -> float:
        """The scale of a learned coefficient: of its spread, and of its learning rate."""
        raise NotImplementedError

    def initial_state(self, current_t: Tensor) -> State:
        """The state of every neuron before the first step of current, (B, *features)."""
        raise NotImplementedError

    def coefficients(self) -> Coefficients:
        """The coefficients now in use for the input that a connection delivers."""
        raise NotImplementedError

    def learned_values(self) -> dict[str, Tensor]:
        """The learned coefficients by name as the neurons use them: within their bounds, and no logarithms."""
        used = self.coefficients()._asdict()
        return {name: torch.as_tensor(used.get(name, value)) for name, value in self.learned.items()}

    def current_coefficients(self) -> Coefficients:
        """The coefficients now in use for a current that is passed to the neuron itself."""
        return self.coefficients()

    def _driven(self, current: Tensor | AnyInput) -> tuple[AnyInput, Coefficients]:
        if isinstance(current, Tensor):
            return SynapticInput(current), self.current_coefficients()
        return current, self.coefficients()

    def forward(self, current: Tensor | AnyInput, state: State | None = None) -> tuple[Tensor, State]:
        """Run over time.

        Args:
            current: the current I of the equation, (T, B, *features), or the input that a connection delivers:
                a SynapticInput, or spikes and weights.
            state: state before the first step; None for the initial state.

        Returns:
            Spikes, (T, B, *features) of 0 and 1 in the dtype of current, and the last state.

        Raises:
            ShapeError: for a wrong rank or width, integer currents, or T = 0.
        """
        drive, p = self._driven(current)
        state = self._checked(drive, state, time=True)
        tensors, memory = _tensors(state), state.memory
        spikes, memory, after = kernels.run(drive, memory, tensors, tuple(p), self.settings, self.kernel)
        return spikes, with_values(state, after, memory)

    def step(self, current_t: Tensor | SynapticInput, state: State | None = None) -> tuple[Tensor, State]:
        """One step of the same: current_t (B, *features) → spikes (B, *features), next state."""
        drive, p = self._driven(current_t)
        assert isinstance(drive, SynapticInput)
        state = self._checked(drive, state, time=False)
        now, memory = apply_synapse(drive, state.memory)
        spikes, *after = reference.step(now, _tensors(state), tuple(p), self.settings)
        return spikes.to(drive.current.dtype), with_values(state, after, remember(drive, memory, spikes))

    def trace(self, current: Tensor, state: State | None = None) -> tuple[Tensor, ...]:
        """Spikes, v and, if any, u after every step, (T, B, *features) each.

        A kernel computes it if no gradient is needed and the current is in single precision.
        """
        state = self._checked(SynapticInput(current), state, time=True)
        if not torch.is_grad_enabled():
            p = tuple(self.current_coefficients())
            recorded = kernels.trace(current, _tensors(state), p, self.settings, self.kernel)
            if recorded is not None:
                return recorded
        steps = []
        for current_t in current:
            spikes, state = self.step(current_t, state)
            steps.append((spikes, *_tensors(state)))
        return tuple(torch.stack(x) for x in zip(*steps, strict=True))

    def _checked(self, drive: AnyInput, state: State | None, *, time: bool) -> State:
        """The state before the first step; ShapeError unless it and the current have the right shapes."""
        if isinstance(drive, SynapticInput):
            check_current(drive.current, time=time)
        one = step_of(drive) if time else drive.current
        if self.parameter_shape is not None and not covers(self.parameter_shape, one.shape[1:]):
            raise ShapeError(
                f"current has features {tuple(one.shape[1:])}, expected {self.parameter_shape},"
                " the neuron's parameter_shape"
            )
        if state is None:
            return self.initial_state(one)
        last = () if state.memory.spikes is None else (state.memory.spikes,)
        for tensor in (*_tensors(state), *state.memory.synapse, *last):
            if tensor.shape != one.shape:
                raise ShapeError(
                    f"state has shape {tuple(tensor.shape)}, expected {tuple(one.shape)}, that of one step"
                )
        return state


def with_values(state: State, tensors: Sequence[Tensor], memory: Memory) -> State:
    """A state of the same type with other values."""
    kind: Callable[..., State] = type(state)
    return kind(*tensors, memory)


def step_of(drive: AnyInput) -> Tensor:
    """Zeros in the shape and format of one step of a current, and on its device; an expanded tensor."""
    return torch.zeros((), dtype=drive.dtype, device=drive.device).expand(drive.shape[1:])


def _facts(state: object) -> dict[str, object]:
    """The content of ``get_extra_state``."""
    try:
        if isinstance(state, Tensor) and state.dtype == torch.uint8 and state.dim() == 1:
            found = json.loads(bytes(state.tolist()))
            if isinstance(found, dict):
                return found
    except (ValueError, RecursionError):
        pass
    raise CheckpointError(f"what its neurons are is {shown(state)}, expected bytes of JSON; use an intact copy")


def _tensors(state: NeuronState) -> tuple[Tensor, ...]:
    """v and, if any, u."""
    return tuple(x for x in state if isinstance(x, Tensor))


def check_current(current: Tensor, *, time: bool) -> None:
    """Raise ShapeError unless current is a floating (T, B, *features), or (B, *features), tensor."""
    rank, shape = (3, "(T, B, features)") if time else (2, "(B, features)")
    if current.dim() < rank:
        raise ShapeError(
            f"current has shape {tuple(current.shape)}, expected {shape}:"
            f" at least {rank} dimensions, {'time' if time else 'batch'} first"
            + ("; one step (B, features) is neuron.step(current, state)" if time and current.dim() == 2 else "")
        )
    if time and current.shape[0] == 0:
        raise ShapeError(f"current has shape {tuple(current.shape)}, expected at least one time step")
    if not current.is_floating_point():
        raise ShapeError(f"current has dtype {current.dtype}, expected floating point: use .float()")


def clamp_straight_through(value: Tensor, low: float, high: float) -> Tensor:
    """The value clamped; its gradient is that of the value, so that an optimiser can leave the bound."""
    return straight_through(value, value.clamp(low, high))


def straight_through(value: Tensor, held: Tensor) -> Tensor:
    """``held`` in the forward pass, with the gradient of ``value``."""
    return value + (held - value).detach()


def at_rest(current_t: Tensor, value: Tensor | float) -> Tensor:
    """A value, or one for each neuron, as the state of all samples of a step of current; an expanded tensor.

    In double precision if the current is, else single.
    """
    kind = torch.float64 if current_t.dtype == torch.float64 else torch.float32
    if isinstance(value, Tensor):
        return value.detach().to(current_t.device, kind).expand(current_t.shape)
    return torch.full((), value, dtype=kind, device=current_t.device).expand(current_t.shape)  # no copy from a CPU
