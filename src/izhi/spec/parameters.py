"""Parameters of the quadratic neuron: the presets and the biological → normalised map.

Both Izhikevich models are one two-variable quadratic map with different coefficients:

    v' = a1·v² + a2·v + a3·u + a4 + gain·I
    u' = b1·v + b2·u + b3
    spike when v ≥ threshold;  after a spike v ← c, u ← u + d, or another reset

The biological model (Izhikevich 2003) is in mV and ms; the normalised one, as the FPGA IP runs it
(after SC-IZ, Liu et al. 2024), is dimensionless with one step per time unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal, get_args

from izhi.errors import SettingError, unknown


@dataclass(frozen=True)
class EventOrder:
    """The order of events within one time step.

    Attributes:
        spike_on: the v that is compared with the threshold, before or after integration.
        reset: ``"before"`` the integration (of a neuron whose old v is at threshold) or ``"after"``
            it (in the step in which the neuron fires).
        rests: whether a neuron that is reset leaves out the integration of that step.
        substeps: Euler sub-steps of dt / substeps for v.
        u_from: the v that drives u: the old v, in every sub-step, or the new v, once.
    """

    spike_on: Literal["old v", "new v"]
    reset: Literal["before", "after"]
    rests: bool
    substeps: Literal[1, 2]
    u_from: Literal["old v", "new v"]


#: Event orders by the source they follow (tests compare each with that source).
ORDERS: Mapping[str, EventOrder] = MappingProxyType(
    {
        # FPGA IP snn_izhikevich: a spike leaves one step late, and its step integrates nothing.
        "fpga-ip": EventOrder("old v", "before", True, 1, "new v"),
        # Izhikevich 2003, network script: test, reset, two half steps of v, u with the new v.
        "izhikevich": EventOrder("old v", "before", False, 2, "new v"),
        # Izhikevich 2004, figure 1 script: integrate, u with the new v, then test and reset.
        "izhikevich-2004": EventOrder("new v", "after", False, 1, "new v"),
        # S2NN-HLS, Galindo & Nunez-Yanez 2017: two half steps of v and u, reset a step later.
        "s2nn": EventOrder("new v", "before", True, 2, "old v"),
        # snnTorch: reset flag from the previous membrane, integrate, fire on the new membrane.
        "snntorch": EventOrder("new v", "before", False, 1, "new v"),
        # Balanced resonate-and-fire, Higuchi et al. 2024: one Euler step of v and u together, then the spike.
        "simultaneous": EventOrder("new v", "after", False, 1, "old v"),
    }
)

#: Current of presets in mV for a weighted sum of 1 that a connection delivers, mV/ms.
BIOLOGICAL_SCALE = 200.0

#: What a spike does to v and u, see ``IzhikevichParameters``.
IzhikevichReset = Literal["value", "subtract", "none", "smooth"]
#: The coefficients of the equations, in the order every kernel takes them.
COEFFICIENTS = ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "threshold", "gain")
#: Those of the refractory state q of the reset "smooth", which follow them.
REFRACTORY = ("q_decay", "q_damping")
#: Resets of LIF alone, and what to choose instead.
_INSTEAD = {"zero": "value, which sets v to c", "soft": "subtract"}
#: What can be learned: every coefficient, and a, b of the biological form (b1 = a·b, b2 = −a).
LEARNABLE = (*COEFFICIENTS, *REFRACTORY, "a", "b")


def izhikevich_coefficients(reset: IzhikevichReset) -> tuple[str, ...]:
    """The coefficients of the equation with a reset."""
    return (*COEFFICIENTS, *REFRACTORY) if reset == "smooth" else COEFFICIENTS


@dataclass(frozen=True)
class IzhikevichParameters:
    """Coefficients, initial state, time step, event order and reset of a quadratic neuron.

    After a spike u ← u + d, and v is reset: v ← c ("value"), v ← v − (threshold − c) ("subtract"), or not at all
    ("none"). The reset "smooth" leaves v and u as they are; a state q, 0 at first, raises the threshold and damps
    both: a spike s when v ≥ threshold + q, then q ← q_decay·q + s, and −q_damping·q·v and −q_damping·q·u in v' and u'.

    Attributes:
        a1, a2, a3, a4: coefficients of v' (biological: 1/(mV·ms), 1/ms, 1, mV/ms).
        b1, b2, b3: coefficients of u' (biological: 1/ms², 1/ms, mV/ms²).
        c: v after a spike (biological: mV).
        d: what a spike adds to u (biological: mV/ms).
        threshold: v at which the neuron fires; larger than c.
        gain: factor on every input current; 1 in all presets.
        current_scale: the current that a connection delivers for a weighted sum of 1: 200 mV/ms in presets in mV, and
            1 in the others. A current that is passed to the neuron itself is not scaled.
        v0, u0: state before the first step.
        dt: time step (biological: ms).
        order: name of the event order, a key of ``ORDERS``.
        v_min, v_max: limits of v after each integration; None for those of ``limits``.
        unit: ``"mV"`` or ``"1"``, for axes and tables.
        reset: what a spike does: ``"value"``, ``"subtract"``, ``"none"`` or ``"smooth"``.
        q_decay: what is left of q after a step, 0 to 1.
        q_damping: damping of v and u per q and unit of time, 0 or more.
        surrogate_span: unit of v of the surrogate gradient's width, above 0; None for threshold − c.

    Raises:
        SettingError: if a value is not finite or out of range, ``threshold ≤ c``, or the order or reset unknown.
    """

    a1: float
    a2: float
    a3: float
    a4: float
    b1: float
    b2: float
    b3: float
    c: float
    d: float
    threshold: float
    gain: float = 1.0
    v0: float = 0.0
    u0: float = 0.0
    dt: float = 1.0
    order: str = "fpga-ip"
    v_min: float | None = None
    v_max: float | None = None
    unit: Literal["mV", "1"] = "1"
    current_scale: float = 1.0
    reset: IzhikevichReset = "value"
    q_decay: float = 0.9
    q_damping: float = 0.01
    surrogate_span: float | None = None

    def __post_init__(self) -> None:
        for name in (*COEFFICIENTS, *REFRACTORY, "v0", "u0", "dt", "current_scale"):
            _number(name, getattr(self, name))
        for name in ("current_scale", "surrogate_span"):
            if (value := getattr(self, name)) is not None and _number(name, value) <= 0:
                raise SettingError(f"{name} is {value!r}, expected a number above 0")
        if not 0 <= self.q_decay <= 1:
            raise SettingError(f"q_decay is {self.q_decay!r}, expected a decay from 0 to 1")
        if self.q_damping < 0:
            raise SettingError(f"q_damping is {self.q_damping!r}, expected 0 or more")
        if self.reset in _INSTEAD:
            raise SettingError(
                f"reset is {self.reset!r}, which Izhikevich neurons do not have; choose {_INSTEAD[self.reset]}"
            )
        if self.reset not in get_args(IzhikevichReset):
            raise unknown("reset", self.reset, get_args(IzhikevichReset))
        if self.dt <= 0:
            raise SettingError(f"dt is {self.dt!r}, expected a time step above 0")
        if self.threshold <= self.c:
            raise SettingError(f"threshold is {self.threshold!r}, expected more than the reset value c = {self.c!r}")
        if self.order not in ORDERS:
            raise unknown("event order", self.order, ORDERS)
        low, high = self.limits
        if not low < high:
            raise SettingError(f"v_min is {low!r}, expected less than v_max = {high!r}")

    @property
    def connection_gain(self) -> float:
        """gain·current_scale: the factor on the weighted spikes of a connection."""
        return self.gain * self.current_scale

    def coefficient(self, name: str) -> float:
        """A coefficient or initial value; the gain is that on weighted spikes, ``connection_gain``."""
        return self.connection_gain if name == "gain" else float(getattr(self, name))

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Names of the coefficients in use."""
        return izhikevich_coefficients(self.reset)

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the coefficients on which no spike depends: those of other resets."""
        return {"none": ("c", *REFRACTORY), "smooth": ("c", "d")}.get(self.reset, REFRACTORY)

    @property
    def span(self) -> float:
        """threshold − c: the unit of limits and scales of v."""
        return self.threshold - self.c

    @property
    def surrogate_width(self) -> float:
        """The unit in which the surrogate gradient's width is given: surrogate_span, or threshold − c."""
        return self.span if self.surrogate_span is None else self.surrogate_span

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Lower and upper limit of v.

        The map v + dt·(a1·v² + a2·v + a3·u0 + a4) is a parabola: from far enough below rest, one Euler
        step throws v over the threshold, a spike that is an artefact of the step. The lower limit
        is where that begins (−125 mV for RS at dt = 1 ms); the upper one lies four spans above the
        threshold, which no overshoot of an ordinary current passes. A linear neuron (a1 = 0) whose v is not reset
        has none, since it oscillates about 0 as far above the threshold as below.
        """
        high = self.threshold + 4 * self.span if self.v_max is None else self.v_max
        if self.v_max is None and self.a1 == 0 and self.reset in ("none", "smooth"):
            high = math.inf
        if self.v_min is not None:
            return self.v_min, high
        dt = self.dt / ORDERS[self.order].substeps
        square, linear = dt * self.a1, 1 + dt * self.a2
        rest = dt * (self.a3 * self.u0 + self.a4) - self.threshold
        discriminant = linear**2 - 4 * square * rest
        if square <= 0 or discriminant <= 0:
            return -math.inf, high
        return (-linear - math.sqrt(discriminant)) / (2 * square), high

    @property
    def a(self) -> float:
        """Of u' = a·(b·v − u) + b3: how fast u follows, −b2 (biological: 1/ms)."""
        return -self.b2

    @property
    def b(self) -> float:
        """Of u' = a·(b·v − u) + b3: how strongly u follows v, −b1/b2 (biological: 1/ms); SettingError where b2 is 0."""
        if self.b2 == 0:
            raise SettingError("b is not defined where b2 is 0; use b1 and b2")
        return -self.b1 / self.b2

    def replace(self, **changes: float | str | None) -> IzhikevichParameters:
        """A copy with some values changed.

        A gain without a current_scale is the whole factor on weighted spikes as well: current_scale is then 1.

        Args:
            changes: values by their names; a and b stand for b1 = a·b and b2 = −a.

        Raises:
            SettingError: for an unknown name, or a or b beside b1 or b2.
        """
        names = [f.name for f in fields(self)]
        for name in changes:
            if name not in (*names, "a", "b"):
                raise unknown("parameter", name, (*names, "a", "b"))
        if "a" in changes or "b" in changes:
            if "b1" in changes or "b2" in changes:
                raise SettingError("a or b is given beside b1 or b2, expected one form only")
            a = _number("a", changes.pop("a")) if "a" in changes else self.a
            b = _number("b", changes.pop("b")) if "b" in changes else self.b
            changes.update(b1=a * b, b2=-a)
        if changes.get("gain") is not None:
            changes.setdefault("current_scale", 1.0)
        return replace(self, **changes)  # type: ignore[arg-type]

    def scaled(self, factor: float) -> IzhikevichParameters:
        """The same neuron with factor·v in place of v; its spikes and u for an input are the same.

        For a power of two they are so to the last bit.

        Raises:
            SettingError: if the factor is not above 0, or the reset smooth, whose q has the unit of v.
        """
        if not factor > 0:
            raise SettingError(f"factor is {factor!r}, expected a number above 0")
        if self.reset == "smooth":
            raise SettingError("reset is 'smooth', whose q rises by 1 whatever v is, expected another one to scale v")
        f = factor
        return replace(
            self, a1=self.a1 / f, a3=self.a3 * f, a4=self.a4 * f, b1=self.b1 / f, c=self.c * f,
            threshold=self.threshold * f, gain=self.gain * f, v0=self.v0 * f,
            v_min=None if self.v_min is None else self.v_min * f, v_max=None if self.v_max is None else self.v_max * f,
            surrogate_span=None if self.surrogate_span is None else self.surrogate_span * f,
        )  # fmt: skip


def _number(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SettingError(f"{name} is {value!r}, expected a finite number")
    return float(value)


def biological(
    a: float, b: float, c: float, d: float, *, v0: float = -70.0, dt: float = 1.0, order: str = "izhikevich"
) -> IzhikevichParameters:
    """The model of Izhikevich (2003) from its own four parameters, in mV and ms.

        v' = 0.04·v² + 5·v + 140 − u + I,   u' = a·(b·v − u),   v ≥ 30 mV: v ← c, u ← u + d

    The state starts at v0 and u0 = b·v0. Currents are in mV/ms; a connection, whose weights are of order 1, delivers
    200 mV/ms for a weighted sum of 1 (``current_scale``).
    """
    return IzhikevichParameters(
        a1=0.04, a2=5.0, a3=-1.0, a4=140.0, b1=a * b, b2=-a, b3=0.0, c=c, d=d, threshold=30.0,
        current_scale=BIOLOGICAL_SCALE, v0=v0, u0=b * v0, dt=dt, order=order, unit="mV",
    )  # fmt: skip


@dataclass(frozen=True)
class CapacitanceForm:
    """The form of Izhikevich (2007, chapter 8): C·v' = k(v−vr)(v−vt) − u + I, u' = a(b(v−vr) − u)."""

    C: float  #: membrane capacitance, pF
    k: float  #: nS/mV
    #: resting, instantaneous threshold and peak potential, mV
    vr: float
    vt: float
    vpeak: float
    a: float  #: 1/ms
    b: float  #: nS
    c: float  #: v after a spike, mV
    d: float  #: what a spike adds to u, pA


#: Regular spiking, intrinsically bursting and chattering cells (Izhikevich 2007, figure 8.12 ff.).
CELLS_2007: Mapping[str, CapacitanceForm] = MappingProxyType(
    {
        "RS": CapacitanceForm(C=100, k=0.7, vr=-60, vt=-40, vpeak=35, a=0.03, b=-2, c=-50, d=100),
        "IB": CapacitanceForm(C=150, k=1.2, vr=-75, vt=-45, vpeak=50, a=0.01, b=5, c=-56, d=130),
        "CH": CapacitanceForm(C=50, k=1.5, vr=-60, vt=-40, vpeak=25, a=0.03, b=1, c=-40, d=150),
    }
)


def normalize(cell: CapacitanceForm, *, v_offset: float, a3: float = -0.019) -> IzhikevichParameters:
    """Map a cell in mV, pA and ms to the normalised form (a1 = 1, b3 = 0).

    The change of variables v = Lv·x + v_offset, u = Lu·y + u_offset, with Lv = C/k so that a1 = 1,
    Lu = −a3·Lv·C, and u_offset = b·(v_offset − vr) so that b3 = 0, gives

        a2 = (2·v_offset − vr − vt)·k/C        a4 = (k(v_offset−vr)(v_offset−vt) − u_offset)/(Lv·C)
        b1 = a·b·Lv/Lu     b2 = −a             threshold = (vpeak − v_offset)/Lv
        c  = (c − v_offset)/Lv                 d = d/Lu            gain = 1/(Lv·C) per pA

    The gain is then taken as 1, so that inputs are in units of the normalised model; a current of
    I pA is I/(Lv·C) of them. One step is 1 ms. The state starts at the cell's rest.
    """
    for name, value, good in (("C", cell.C, cell.C > 0), ("k", cell.k, cell.k > 0), ("a3", a3, a3 < 0)):
        if not good:
            raise SettingError(f"{name} is {value!r}, expected {'below' if name == 'a3' else 'above'} 0")
    lv = cell.C / cell.k
    lu = -a3 * lv * cell.C
    u_offset = cell.b * (v_offset - cell.vr)
    a2 = (2 * v_offset - cell.vr - cell.vt) * cell.k / cell.C
    return IzhikevichParameters(
        a1=1.0,
        a2=a2,
        a3=a3,
        a4=(cell.k * (v_offset - cell.vr) * (v_offset - cell.vt) - u_offset) / (lv * cell.C),
        b1=cell.a * cell.b * lv / lu,
        b2=-cell.a,
        b3=0.0,
        c=(cell.c - v_offset) / lv,
        d=cell.d / lu,
        threshold=(cell.vpeak - v_offset) / lv,
        v0=(cell.vr - v_offset) / lv,
        u0=-u_offset / lu,
    )


#: What the FPGA IP holds. Its d is not the map's (0.368), and it leaves out a4 = 0.0054.
NORMALIZED = IzhikevichParameters(
    a1=1.0, a2=-0.210, a3=-0.019, a4=0.0, b1=-1 / 32, b2=-1 / 32, b3=0.0, c=0.105, d=0.412, threshold=0.7
)

#: The seven classes of Izhikevich 2003: (a, b, c, d).
CLASSES_2003: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "RS": (0.02, 0.2, -65.0, 8.0),
        "IB": (0.02, 0.2, -55.0, 4.0),
        "CH": (0.02, 0.2, -50.0, 2.0),
        "FS": (0.1, 0.2, -65.0, 2.0),
        "LTS": (0.02, 0.25, -65.0, 2.0),
        "TC": (0.02, 0.25, -65.0, 0.05),
        "RZ": (0.1, 0.26, -65.0, 2.0),
    }
)

__all__ = [
    "CELLS_2007", "COEFFICIENTS", "LEARNABLE", "ORDERS", "CapacitanceForm", "EventOrder", "IzhikevichParameters",
    "IzhikevichReset", "biological", "izhikevich_coefficients", "normalize",
]  # fmt: skip
