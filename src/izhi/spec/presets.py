"""Every named set of neuron parameters, and the twenty firing patterns of Izhikevich (2004) with their stimuli.

Parameters, stimuli and time steps of the patterns follow the script of figure 1 of "Which model to use for cortical
spiking neurons?", IEEE Trans. Neural Networks 15 (2004) 1063. Times in ms, currents in mV/ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from izhi.errors import unknown
from izhi.spec.distribution import BalancedResonators, Resonators
from izhi.spec.parameters import CELLS_2007, CLASSES_2003, NORMALIZED, IzhikevichParameters, biological, normalize

Times = NDArray[np.float64]
Stimulus = Callable[[Times], Times]


@dataclass(frozen=True)
class FiringPattern:
    """A neuron with the stimulus under which it shows its pattern.

    Attributes:
        parameters: the neuron, with dt and initial state.
        stimulus: times in ms → current in mV/ms.
        duration: how long the pattern takes to show, ms.
    """

    parameters: IzhikevichParameters
    stimulus: Stimulus
    duration: float

    def times(self, dt: float | None = None) -> Times:
        """The start of every step of dt (the pattern's own by default) in the duration, ms."""
        dt = self.parameters.dt if dt is None else dt
        return dt * np.arange(round(self.duration / dt), dtype=np.float64)

    def current(self, dt: float | None = None) -> Times:
        """The stimulus at those times, mV/ms."""
        return self.stimulus(self.times(dt))


def constant(amplitude: float, *, start: float, rest: float = 0.0) -> Stimulus:
    """``rest`` until ``start``, then ``amplitude``."""
    return lambda t: np.where(t > start, amplitude, rest).astype(np.float64)


def ramp(slope: float, *, start: float, rest: float = 0.0) -> Stimulus:
    """``rest`` until ``start``, then rising by ``slope`` per ms."""
    return lambda t: np.add(rest, slope * np.maximum(t - start, 0.0))


def pulses(*windows: tuple[float, float, float], rest: float = 0.0) -> Stimulus:
    """``rest`` except in windows given as (start, length, amplitude)."""

    def current(t: Times) -> Times:
        out = np.full_like(t, rest)
        for start, length, amplitude in windows:
            out[(t > start) & (t < start + length)] = amplitude
        return out

    return current


def _accommodation(t: Times) -> Times:
    slow = np.where(t < 200, t / 25, 0.0)
    return np.where((t >= 300) & (t < 312.5), (t - 300) / 12.5 * 4, slow)


def _dip(t: Times) -> Times:
    return np.where((t < 50) | (t > 250), 80.0, 75.0)


def _neuron(
    a: float, b: float, c: float, d: float, v0: float, dt: float = 0.25, **changes: float | str
) -> IzhikevichParameters:
    parameters = biological(a, b, c, d, v0=v0, dt=dt, order="izhikevich-2004")
    return parameters.replace(**changes) if changes else parameters


#: v' = 0.04·v² + 4.1·v + 108 − u + I, used for the two class-1 excitable patterns.
_CLASS_1 = {"a2": 4.1, "a4": 108.0}

_TABLE: Mapping[str, tuple[IzhikevichParameters, Stimulus, float]] = {
    "tonic spiking": (_neuron(0.02, 0.2, -65, 6, -70), constant(14, start=10), 100),
    "phasic spiking": (_neuron(0.02, 0.25, -65, 6, -64), constant(0.5, start=20), 200),
    "tonic bursting": (_neuron(0.02, 0.2, -50, 2, -70), constant(15, start=22), 220),
    "phasic bursting": (_neuron(0.02, 0.25, -55, 0.05, -64, dt=0.2), constant(0.6, start=20), 200),
    "mixed mode": (_neuron(0.02, 0.2, -55, 4, -70), constant(10, start=16), 160),
    "frequency adaptation": (_neuron(0.01, 0.2, -65, 8, -70), constant(30, start=8.5), 85),
    "class 1 excitable": (_neuron(0.02, -0.1, -55, 6, -60, **_CLASS_1), ramp(0.075, start=30), 300),
    "class 2 excitable": (_neuron(0.2, 0.26, -65, 0, -64), ramp(0.015, start=30, rest=-0.5), 300),
    "spike latency": (_neuron(0.02, 0.2, -65, 6, -70, dt=0.2), pulses((10, 3, 7.04)), 100),
    "subthreshold oscillations": (_neuron(0.05, 0.26, -60, 0, -62), pulses((20, 5, 2)), 200),
    "resonator": (
        _neuron(0.1, 0.26, -60, -1, -62),
        pulses((40, 4, 0.65), (60, 4, 0.65), (280, 4, 0.65), (320, 4, 0.65)),
        400,
    ),
    "integrator": (
        _neuron(0.02, -0.1, -55, 6, -60, **_CLASS_1),
        pulses((100 / 11, 2, 9), (100 / 11 + 5, 2, 9), (70, 2, 9), (80, 2, 9)),
        100,
    ),
    "rebound spike": (_neuron(0.03, 0.25, -60, 4, -64, dt=0.2), pulses((20, 5, -15)), 200),
    "rebound burst": (_neuron(0.03, 0.25, -52, 0, -64, dt=0.2), pulses((20, 5, -15)), 200),
    "threshold variability": (_neuron(0.03, 0.25, -60, 4, -64), pulses((10, 5, 1), (80, 5, 1), (70, 5, -6)), 100),
    "bistability": (_neuron(0.1, 0.26, -60, 0, -61), pulses((37.5, 5, 1.24), (216, 5, 1.24), rest=0.24), 300),
    "depolarizing after-potential": (_neuron(1, 0.2, -60, -21, -70, dt=0.1), pulses((9, 2, 20)), 50),
    "accommodation": (_neuron(0.02, 1, -55, 4, -65, dt=0.5, b2=0.0, b3=0.02 * 65, u0=-16.0), _accommodation, 400),
    "inhibition-induced spiking": (_neuron(-0.02, -1, -60, 8, -63.8, dt=0.5), _dip, 350),
    "inhibition-induced bursting": (_neuron(-0.026, -1, -45, -2, -63.8, dt=0.5), _dip, 350),
}
PATTERNS: Mapping[str, FiringPattern] = MappingProxyType({name: FiringPattern(*one) for name, one in _TABLE.items()})

_OFFSETS = {"RS": -65.0, "IB": -75.0, "CH": -60.0}

#: The linear part of a neuron that resonates, without v²; its threshold is 1, and nothing else in it has a scale.
_RESONATOR = NORMALIZED.replace(
    a1=0.0, b3=0.0, c=0.0, d=0.0, threshold=1.0, order="snntorch", reset="none", v_min=-20.0, v_max=20.0
)  # fmt: skip

#: A balanced resonate-and-fire neuron, of time step δ = 0.01 (Higuchi et al. 2024).
BALANCED = BalancedResonators().middle(
    IzhikevichParameters(
        a1=0.0, a2=0.0, a3=0.0, a4=0.0, b1=0.0, b2=0.0, b3=0.0, c=0.0, d=0.0, threshold=1.0, gain=0.01,
        order="simultaneous", reset="smooth", q_decay=0.9, q_damping=0.01,
    )
)  # fmt: skip

#: Name → parameters. ``biological`` is RS; ``normalized`` has the coefficients of the FPGA IP, and
#: ``hls-ip`` its lack of limits as well: networks of it run on the IP (izhi.hls_ip). ``qif`` and ``adlif`` are the
#: normalised neuron without u and without v²: quadratic integrate-and-fire, and a leaky neuron that adapts.
#: ``resonator`` is the middle of ``Resonators()``; the firing pattern of that name is in ``PATTERNS`` alone.
PRESETS: Mapping[str, IzhikevichParameters] = MappingProxyType(
    {
        "normalized": NORMALIZED,
        "hls-ip": NORMALIZED.replace(v_min=-math.inf, v_max=math.inf),
        "qif": NORMALIZED.replace(a3=0.0, b1=0.0, b2=0.0, b3=0.0, d=0.0),
        "adlif": NORMALIZED.replace(a1=0.0),
        **{f"normalized-{name}": normalize(cell, v_offset=_OFFSETS[name]) for name, cell in CELLS_2007.items()},
        "biological": biological(*CLASSES_2003["RS"]),
        **{name: biological(*abcd) for name, abcd in CLASSES_2003.items()},
        **{name: pattern.parameters for name, pattern in PATTERNS.items()},
        "resonator": Resonators().middle(_RESONATOR),
    }
)


def preset(name: str) -> IzhikevichParameters:
    """The parameters of that name; an unknown name raises SettingError with the nearest one."""
    if name not in PRESETS:
        raise unknown("neuron preset", name, PRESETS)
    return PRESETS[name]


__all__ = ["PATTERNS", "PRESETS", "FiringPattern", "preset"]
