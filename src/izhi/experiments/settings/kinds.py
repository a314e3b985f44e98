"""Kinds of neurons as settings name them; how to add a neuron is said in izhi.neurons.neuron.

Settings are checked before torch is loaded, so neurons are imported where they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from izhi.errors import SettingError, unknown
from izhi.spec import LEARNABLE, PRESETS, IzhikevichParameters, preset

if TYPE_CHECKING:
    from izhi.experiments.settings.neurons import NeuronSettings
    from izhi.neurons import Mixture, Neuron
    from izhi.neurons.surrogate import ClosedForm


@dataclass(frozen=True)
class Kind:
    """A neuron that settings name.

    Attributes:
        name: as the setting ``neuron`` gives it.
        learnable: coefficients that it can learn.
        states: numbers that a neuron keeps from step to step.
        parameters: of the quadratic map; None for a neuron that is none.
        make: from settings to the neurons of a layer of that shape, channels first.
    """

    name: str
    learnable: tuple[str, ...]
    states: int
    parameters: IzhikevichParameters | None
    make: Callable[[NeuronSettings, tuple[int, ...]], Neuron]

    @property
    def unit(self) -> str:
        """Of v: ``"mV"``, or ``"1"`` for numbers without one."""
        return self.parameters.unit if self.parameters else "1"

    @property
    def order(self) -> str | None:
        """The event order; None for a neuron that has but one."""
        return self.parameters.order if self.parameters else None

    @property
    def gain(self) -> float:
        """Factor on input currents, where settings give none."""
        return self.parameters.gain if self.parameters else 1.0

    @property
    def readout(self) -> str:
        """What the loss reads, where settings do not say."""
        return "current" if self.unit == "mV" else "spikes"


def _surrogate(s: NeuronSettings) -> ClosedForm:
    from izhi.neurons.surrogate import SURROGATES

    return SURROGATES[s.surrogate](s.slope)


def _size(s: NeuronSettings, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Of the coefficients: one for each neuron or channel, or None for one."""
    if s.per_channel:
        return (shape[0], *[1] * (len(shape) - 1))
    return shape if s.per_neuron else None


def _lif(s: NeuronSettings, shape: tuple[int, ...]) -> Neuron:
    from izhi.neurons import LIF

    return LIF(
        s.beta, size=_size(s, shape), learn=s.learn, spread=s.spread, reset=s.reset, v_reset=s.v_reset,
        surrogate=_surrogate(s), kernel=s.kernel,
    )  # fmt: skip


def _izhikevich(s: NeuronSettings, shape: tuple[int, ...]) -> Neuron:
    from izhi.neurons import Izhikevich, Mixture

    size = _size(s, shape)
    parameters: IzhikevichParameters | Mixture = preset(s.neuron)
    if s.mixture:
        if len(shape) > 1:
            raise SettingError("mixture is set, which convolutions do not have; give it to linear layers alone")
        size, parameters = shape, Mixture.of(s.mixture, shape[0], s.order)
    elif s.order is not None:
        parameters = preset(s.neuron).replace(order=s.order)
    return Izhikevich(
        parameters, size=size, learn=s.learn, spread=s.spread, gain=s.gain,
        surrogate=_surrogate(s), jacobian_limit=s.jacobian_limit,
        kernel=s.kernel,
    )  # fmt: skip


NEURONS = {
    "lif": Kind("lif", ("beta", "threshold", "v_reset"), 1, None, _lif),
    **{name: Kind(name, LEARNABLE, 2, p, _izhikevich) for name, p in PRESETS.items()},
}


def kind(name: str) -> Kind:
    """The neuron of that name; an unknown one raises SettingError with the nearest."""
    if name not in NEURONS:
        raise unknown("neuron", name, NEURONS)
    return NEURONS[name]


def check_neurons(s: NeuronSettings) -> None:
    """Raise SettingError for the first setting that does not fit the neuron."""
    chosen = kind(s.neuron)
    if s.order is not None and chosen.order is None:
        raise SettingError(f"order is {s.order!r}, but {s.neuron} has none; leave it out")
    for name in s.learn:
        if name not in chosen.learnable:
            raise unknown("learnable coefficient", name, chosen.learnable)
    if s.reset != "value" and (s.v_reset or "v_reset" in s.learn):
        name, given = ("v_reset", f"{s.v_reset:g}") if s.v_reset else ("learn", "'v_reset'")
        raise SettingError(f"{name} is {given}, which reset {s.reset!r} has no use for; choose reset 'value'")
    for name in ("per_neuron", "per_channel"):
        if getattr(s, name) and not s.learn:
            raise SettingError(f"{name} is set, but learn names no coefficient; add learn")
    if s.per_neuron and s.per_channel:
        raise SettingError("per_neuron and per_channel are both set; leave one out")
    if s.spread and not (s.per_neuron or s.per_channel):
        raise SettingError(f"spread is {s.spread:g}, but neurons share their values; add per_neuron")
    if not s.mixture:
        return
    if chosen.parameters is None:
        raise SettingError(f"mixture is set, but {s.neuron} has no classes; choose another neuron")
    for name in s.mixture:
        if preset(name).unit != chosen.unit:
            raise SettingError(
                f"mixture names {name!r}, but the neuron is {s.neuron!r}: one is in mV, the other is not"
            )
    from izhi.neurons import Mixture

    Mixture.of(s.mixture, 1_000_000)
