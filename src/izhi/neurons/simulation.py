"""One neuron under a current, and the twenty firing patterns, as ``izhi simulate`` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.errors import SettingError
from izhi.neurons import Izhikevich
from izhi.neurons.neuron import NeuronLayer
from izhi.spec import PATTERNS, IzhikevichParameters

Numbers: TypeAlias = NDArray[np.number]


@dataclass(frozen=True)
class Trace:
    """The trace of one neuron: times in ms (or steps), current, v, other states by name, and spikes per step.

    Spikes are drawn up to the threshold; without one, v is drawn as it is.
    """

    time: Numbers
    current: Numbers
    v: Numbers
    others: Mapping[str, Numbers]
    spikes: Numbers
    unit: str
    threshold: float | None = None

    @property
    def u(self) -> Numbers | None:
        """The second state; None for a neuron of one."""
        return next(iter(self.others.values()), None)

    @property
    def spike_times(self) -> Numbers:
        return self.time[self.spikes > 0]


def run(parameters: IzhikevichParameters, current: NDArray[np.float64]) -> Trace:
    """The quadratic neuron under current (T,), in mV/ms where v is in mV, without its gain; in double precision."""
    return run_neuron(Izhikevich(parameters, gain=1.0), current, parameters.dt)


def run_neuron(neuron: NeuronLayer[Any, Any], current: NDArray[np.float64], dt: float = 1.0) -> Trace:
    """A neuron under current (T,), in double precision; dt in ms for its times, or 1 for steps."""
    with torch.no_grad():
        trace = neuron.trace(torch.from_numpy(current).reshape(-1, 1, 1))
        threshold = getattr(neuron.coefficients(), "threshold", None)
    spikes, v, *others = (x.flatten().numpy() for x in trace)
    return Trace(
        time=np.arange(len(current)) * dt,
        current=current,
        v=v,
        others=dict(zip(neuron.settings.equation.states[1:], others, strict=True)),
        spikes=spikes,
        unit=neuron.unit_of_v,
        threshold=None if threshold is None else float(threshold),
    )


def run_pattern(name: str, dt: float | None = None) -> Trace:
    """One of the twenty patterns under its own stimulus; dt in ms, the pattern's own by default."""
    pattern = PATTERNS[name]
    parameters = pattern.parameters if dt is None else pattern.parameters.replace(dt=dt)
    return run(parameters, pattern.current(dt))


def pulse(amplitude: float, *, start: float, stop: float | None, duration: float, dt: float) -> NDArray[np.float64]:
    """A current of that amplitude from start to stop (the end by default), zero elsewhere; (T,)."""
    for name, value in (("duration", duration), ("dt", dt)):
        if not (np.isfinite(value) and value > 0):
            raise SettingError(f"{name} is {value!r}, expected a finite time above 0")
    if not np.isfinite(amplitude):
        raise SettingError(f"current is {amplitude!r}, expected a finite number")
    steps = round(duration / dt)
    if not 1 <= steps <= 10_000_000:
        raise SettingError(f"duration / dt gives {steps:,} steps, expected 1 to 10,000,000; change duration or dt")
    time = np.arange(steps) * dt
    return np.where((time >= start) & (time < (np.inf if stop is None else stop)), amplitude, 0.0)
