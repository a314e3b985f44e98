"""Neurons as plain values, and the registry in which each one is registered once.

To add a neuron: a file beside this one, such as izhikevich.py, with its description and its ``NeuronEntry``; the
module that the entry names for torch in ``izhi.neurons``, and its equation in ``izhi.equation``. Modules are named as
text, so that an entry loads none of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, get_args

from izhi.errors import SettingError, shown, unknown
from izhi.spec.parameters import REFRACTORY, IzhikevichParameters
from izhi.spec.tables import Shape, Table, read
from izhi.trust import imported, is_reference, require_trusted

Self = TypeVar("Self", bound="NeuronSpec")

#: How a neuron is reset after a spike; a neuron has some of these.
ResetMode = Literal["subtract", "soft", "zero", "value", "none", "smooth"]
SurrogateName = Literal["atan", "fast_sigmoid", "sigmoid"]
#: Names of the surrogate gradients that a description holds.
SURROGATES: tuple[SurrogateName, ...] = get_args(SurrogateName)


@dataclass(frozen=True)
class SurrogateSpec:
    """A surrogate gradient: its name, one of ``SURROGATES``, and its constant, the slope."""

    name: str = "atan"
    values: tuple[float, ...] = (2.0,)

    def __post_init__(self) -> None:
        if self.name not in SURROGATES:
            raise unknown("surrogate", self.name, SURROGATES)
        if len(self.values) != 1 or not isinstance(self.values[0], (int, float)):
            raise SettingError(f"the surrogate {self.name} has {shown(self.values)}, expected its slope")


class NeuronOptions(Protocol):
    """Options of neurons: ``izhi.experiments.settings.neurons.NeuronSettings`` has these and their help."""

    neuron: str
    order: str | None
    gain: float | None
    learn: tuple[str, ...]
    per_neuron: bool
    per_channel: bool
    spread: float
    mixture: dict[str, float] | None
    frequency: tuple[float, float] | None
    decay: tuple[float, float] | None
    time_constants: tuple[float, float] | None
    beta: float = 0.95
    reset: ResetMode | None
    v_reset: float
    q_decay: float
    q_damping: float
    surrogate: SurrogateName
    slope: float
    jacobian_limit: float


@dataclass(frozen=True, kw_only=True)
class NeuronSpec:
    """The neurons of a layer."""

    #: shape of the coefficients of each neuron; 1 along a dimension where neurons share them; None for one set
    size: Shape | None = None
    learn: tuple[str, ...] = ()  #: names of the learned coefficients
    #: standard deviation of their initial values between neurons, in units of the coefficient's size
    spread: float = 0.0
    surrogate: SurrogateSpec | None = SurrogateSpec()  #: the surrogate gradient; None for one that has no name here

    #: The name of the neuron's model, by which it is registered.
    kind: ClassVar[str]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.spread) and self.spread >= 0):
            raise SettingError(f"spread is {self.spread!r}, expected a finite number, 0 or more")
        if self.spread and self.size is None:
            raise SettingError(
                f"spread is {self.spread!r}, expected 0 unless each neuron has its own (parameter_shape)"
            )

    @property
    def unit_of_v(self) -> Literal["mV", "1"]:
        """The unit of v; "1" for none."""
        return "1"

    @property
    def order(self) -> str | None:
        """The event order; None for a neuron that has only one."""
        return None

    @property
    def reset(self) -> ResetMode | None:
        """The reset after a spike; None for a neuron that has only its own."""
        return None

    @property
    def gain(self) -> float:
        """Factor on the input current."""
        return 1.0

    @property
    def readout(self) -> Literal["spikes", "current"]:
        """What the loss reads unless settings say otherwise."""
        return "current" if self.unit_of_v == "mV" else "spikes"

    @property
    def reversal(self) -> tuple[float, float, float]:
        """(E_inh, v_rest, E_exc) of a conductance synapse, in the unit of v."""
        raise NotImplementedError

    @property
    def implicit(self) -> float:
        """κ of a conductance synapse's implicit step: what a current of 1 adds to v in a step."""
        raise NotImplementedError

    @property
    def nearest_preset(self) -> str:
        """The preset with which settings name these neurons most closely."""
        raise NotImplementedError

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the numbers that a neuron keeps from step to step, the membrane potential first."""
        return entry_of(self.kind).states

    @property
    def operations(self) -> tuple[int, int]:
        """Products and additions of one step of one neuron, without synapse."""
        return entry_of(self.kind).operations

    @property
    def learned_numbers(self) -> int:
        """How many coefficients are learned, over all neurons."""
        return len(self.learn) * math.prod(self.size or ())

    def replace(self: Self, **changes: Any) -> Self:
        """A copy with some values changed."""
        return replace(self, **changes)

    def with_values(self: Self, values: Mapping[str, float]) -> Self:
        """A copy with other coefficients, by name."""
        return self.replace(**values)

    def configured(self: Self, options: NeuronOptions, shape: Shape) -> Self:
        """A copy with what options say beside the preset, for a layer of neurons of that shape, channels first."""
        return self.replace(**common_of_options(options, shape))

    def check_options(self, options: NeuronOptions) -> None:
        """Raise SettingError for an option that these neurons have no use for."""

    def table(self) -> Table:
        """Plain values, which ``of_table`` reads."""
        whole: Table = {"kind": self.kind, "learn": list(self.learn)}
        if self.surrogate is not None:
            whole |= {"surrogate": self.surrogate.name, "surrogate_values": list(self.surrogate.values)}
        if self.size is not None:
            whole["size"] = list(self.size)
        if self.spread:
            whole["spread"] = self.spread
        return whole

    @classmethod
    def of_table(cls: type[Self], table: Mapping[str, object], /, **known: object) -> Self:
        """The neurons that ``table`` wrote; ``known`` are fields that are not read from it."""
        name = table.get("surrogate")
        surrogate = None if name is None else {"name": name, "values": table["surrogate_values"]}
        return read(cls, {**table, "surrogate": surrogate}, **known)


def per_channel(shape: Shape) -> Shape:
    """The shape of coefficients of each neuron of a row, or of each channel of a convolution."""
    return (shape[0], *[1] * (len(shape) - 1))


def common_of_options(options: NeuronOptions, shape: Shape) -> dict[str, Any]:
    """What options say of size, learned coefficients and surrogate gradient; see ``NeuronSpec.configured``."""
    size = shape if options.per_neuron else None
    if options.per_channel:
        size = per_channel(shape)
    surrogate = SurrogateSpec(options.surrogate, (options.slope,))
    return {"size": size, "learn": tuple(options.learn), "spread": options.spread, "surrogate": surrogate}


@dataclass(frozen=True)
class Coefficient:
    """A number of a neuron's equations."""

    name: str  #: as in the equations
    unit: str = "1"  #: of presets whose v is in mV; "1" for none
    #: the bounds within which it is meaningful
    low: float = -math.inf
    high: float = math.inf
    learnable: bool = True  #: whether it can be learned


@dataclass(frozen=True)
class NeuronEntry:
    """A neuron as it is registered."""

    name: str  #: of the model, ``NeuronSpec.kind``
    spec: type[NeuronSpec]  #: its description
    states: tuple[str, ...]  #: names of the numbers that a neuron keeps from step to step
    coefficients: tuple[Coefficient, ...]  #: those of its equations, and forms of them that can be learned
    presets: Mapping[str, NeuronSpec]  #: descriptions that settings can name
    operations: tuple[int, int]  #: products and additions of one step of one neuron, without synapse
    #: whether its neurons differ in how they fire at a step of current, see ``izhi.network.firing``
    has_patterns: bool = False
    settings: tuple[str, ...] = ()  #: settings of neurons that it uses, beside those that all neurons use
    #: what runs or writes the neuron, as "module:attribute", by role: "torch" (the module), "nir" (the reader and
    #: writer of its nodes)
    executors: Mapping[str, str] = field(default_factory=dict)

    @property
    def learnable(self) -> tuple[str, ...]:
        """Names of the coefficients that can be learned."""
        return tuple(x.name for x in self.coefficients if x.learnable)

    @property
    def units(self) -> dict[str, str]:
        """Units of the coefficients that have one, where v is in mV."""
        return {x.name: x.unit for x in self.coefficients if x.unit != "1"}

    def load(self, role: str) -> Any:
        """The executor of that role, whose module is imported; SettingError if the neuron has none."""
        if role not in self.executors:
            raise SettingError(f"neurons are {self.name}, which have no {role}; choose another neuron")
        return load(self.executors[role])


def load(path: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


_ENTRIES: dict[str, NeuronEntry] = {}
#: Registered neurons by the names of their models.
NEURONS: Mapping[str, NeuronEntry] = MappingProxyType(_ENTRIES)


def register_again(entry: NeuronEntry) -> NeuronEntry:
    """Register a neuron of the user's own, or one of the same name that was defined anew."""
    _ENTRIES.pop(entry.name, None)
    return register(entry)


def _registered(name: str) -> NeuronEntry | None:
    """The neuron of that name; one of the user's own is registered by the import of its module."""
    if ":" in name and name not in _ENTRIES and is_reference(name):
        require_trusted(name, f"the neuron is {name}, whose module is imported", "--neuron")
        imported(name, "neuron")
    return _ENTRIES.get(name)


def register(entry: NeuronEntry) -> NeuronEntry:
    """Register a neuron, once; SettingError if its name or a preset's is known."""
    known = [name for name in entry.presets if name in preset_names()] + [entry.name] * (entry.name in _ENTRIES)
    if known:
        raise SettingError(f"neuron {known[0]!r} is registered already; choose another name")
    _ENTRIES[entry.name] = entry
    return entry


def preset_names() -> list[str]:
    """Names of the presets of all neurons, as the setting ``neuron`` takes them."""
    return [name for entry in _ENTRIES.values() for name in entry.presets]


def entry_of(kind: str) -> NeuronEntry:
    """The registered neuron of that model; an unknown one raises SettingError with the nearest."""
    entry = _registered(kind)
    if entry is None:
        raise unknown("neuron", kind, _ENTRIES)
    return entry


def entry_of_preset(name: str) -> NeuronEntry:
    """The registered neuron that has that preset; an unknown one raises SettingError with the nearest."""
    _registered(name)
    for entry in _ENTRIES.values():
        if name in entry.presets:
            return entry
    raise unknown("neuron", name, preset_names())


def neuron_spec(name: str) -> NeuronSpec:
    """The description of the preset of that name; an unknown one raises SettingError with the nearest."""
    return entry_of_preset(name).presets[name]


class UsualOptions(NamedTuple):
    """What a preset decides where options do not: gain, event order, reset and readout."""

    gain: float
    order: str | None
    reset: ResetMode | None
    readout: Literal["spikes", "current"]


#: Options that one reset alone has a use for, and their defaults.
_OF_RESET: dict[str, tuple[ResetMode, float]] = {
    "v_reset": ("value", 0.0), **{x: ("smooth", getattr(IzhikevichParameters, x)) for x in REFRACTORY}
}  # fmt: skip


def usual_options(options: NeuronOptions) -> UsualOptions:
    """The choices of the preset that options name.

    Raises:
        SettingError: for the first option that does not fit the preset.
    """
    spec, learnable = neuron_spec(options.neuron), entry_of_preset(options.neuron).learnable
    spec.check_options(options)
    for name in options.learn:
        if name not in learnable:
            raise unknown("learnable coefficient", name, learnable)
    reset = options.reset or spec.reset
    for name, (of, default) in _OF_RESET.items():
        value = getattr(options, name)
        if reset != of and (value != default or name in options.learn):
            text = f"{name} is {value:g}" if value != default else f"learn is {name!r}"
            raise SettingError(f"{text}, which reset {reset!r} has no use for; choose reset {of!r}")
    for name in ("per_neuron", "per_channel"):
        if getattr(options, name) and not options.learn:
            raise SettingError(f"{name} is set, but learn names no coefficient; add learn")
    if options.per_neuron and options.per_channel:
        raise SettingError("per_neuron and per_channel are both set; leave one out")
    differs = options.per_neuron or options.per_channel or options.time_constants
    if options.spread and not (differs or getattr(spec, "distribution", None)):
        raise SettingError(f"spread is {options.spread:g}, but neurons share their values; add per_neuron")
    return UsualOptions(spec.gain, spec.order, spec.reset, spec.readout)


def neuron_of_table(table: Mapping[str, object]) -> NeuronSpec:
    """The neurons that ``NeuronSpec.table`` wrote; SettingError for an unknown kind."""
    return entry_of(str(table["kind"])).spec.of_table(table)


__all__ = [
    "NEURONS", "Coefficient", "NeuronEntry", "NeuronOptions", "NeuronSpec", "ResetMode", "SurrogateName",
    "SurrogateSpec", "UsualOptions", "entry_of", "entry_of_preset", "neuron_spec", "preset_names", "register",
    "register_again", "usual_options",
]  # fmt: skip
