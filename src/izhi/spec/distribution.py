"""How the neurons of a layer differ from the start: distributions of frequencies, decays and time constants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np

from izhi.errors import SettingError
from izhi.spec.parameters import ORDERS, IzhikevichParameters

Number = TypeVar("Number", float, Any)
Spacing = Literal["log", "linear"]


@dataclass(frozen=True)
class Spread:
    """Values of one coefficient between two limits, a stratified sample: one in each of N equal parts of the range.

    Raises:
        SettingError: for limits that are not finite, not above 0 or not in order, or an unknown spacing.
    """

    name: str  #: of the coefficient
    low: float
    high: float
    spacing: Spacing = "log"  #: in which the parts are equal
    seed: int | None = None  #: of the sample; None for torch's own generator

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and 0 < self.low <= self.high):
            raise SettingError(
                f"{self.name} is {self.low:g} to {self.high:g}, expected two numbers above 0, the lower one first"
            )
        if self.spacing not in ("log", "linear"):
            raise SettingError(f"spacing is {self.spacing!r}, expected 'log' or 'linear'")

    @property
    def middle(self) -> float:
        """The value in the middle of the range."""
        return math.sqrt(self.low * self.high) if self.spacing == "log" else (self.low + self.high) / 2


def spread(*, spacing: Spacing = "log", seed: int | None = None, **ranges: tuple[float, float]) -> Spread:
    """A distribution of one coefficient over the neurons of a layer, ``izhi.spread(tau=(2, 1000))``.

    Raises:
        SettingError: unless exactly one coefficient has a range, or for an impossible range.
    """
    if len(ranges) != 1:
        raise SettingError(f"spread has {len(ranges)} coefficients, expected one, such as spread(tau=(2, 1000))")
    [(name, limits)] = ranges.items()
    return Spread(name, *limits_of(name, limits), spacing, seed)


def limits_of(name: str, limits: object) -> tuple[float, float]:
    """The two numbers of a range; one number is both. SettingError for anything else."""
    pair = (limits, limits) if isinstance(limits, (int, float)) else limits
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(x, (int, float)) for x in pair)):
        raise SettingError(f"{name} is {limits!r}, expected two numbers, the lower one first")
    return float(pair[0]), float(pair[1])


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution of the coefficients of Izhikevich neurons.

    Raises:
        SettingError: for a range that such neurons cannot have.
    """

    spacing: Spacing = "log"  #: of each range
    seed: int | None = None  #: of the sample; None for torch's own generator

    #: What is distributed, and can be learned as a logarithm, its unit, and the limits of its values.
    DOMAIN: ClassVar[Mapping[str, tuple[str, float, float]]]
    #: The coefficients that follow, and those of them that can be learned by themselves.
    DERIVED: ClassVar[tuple[str, ...]] = ("a2", "a3", "b1", "b2")
    FREE: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, (unit, low, high) in self.DOMAIN.items():
            limits = limits_of(name, getattr(self, name))
            object.__setattr__(self, name, limits)
            if not (low <= limits[0] and limits[1] <= high):
                raise SettingError(f"{name} is {limits[0]:g} to {limits[1]:g}, expected {low:g} to {high:g} {unit}")
        _ = self.spreads

    @property
    def spreads(self) -> tuple[Spread, ...]:
        """The distribution of each name of ``DOMAIN``."""
        seeds = [None if self.seed is None else 2 * self.seed + k for k in range(len(self.DOMAIN))]
        return tuple(
            Spread(name, *limits_of(name, getattr(self, name)), self.spacing, seed)
            for name, seed in zip(self.DOMAIN, seeds, strict=True)
        )

    def check(self, p: IzhikevichParameters) -> None:
        """Raise SettingError for parameters that such neurons cannot have."""

    def coefficients(
        self, values: Mapping[str, Number], p: IzhikevichParameters, functions: Any = math
    ) -> dict[str, Number]:
        """The coefficients ``DERIVED`` of neurons with these values.

        Args:
            values: of ``DOMAIN``, numbers or tensors.
            p: parameters that all neurons share.
            functions: module of sqrt, sin and cos, ``torch`` for tensors.
        """
        raise NotImplementedError

    def middle(self, p: IzhikevichParameters) -> IzhikevichParameters:
        """The parameters of a neuron in the middle of each range."""
        return p.replace(**self.coefficients({one.name: one.middle for one in self.spreads}, p))


@dataclass(frozen=True, kw_only=True)
class Resonators(Distribution):
    """Resonators of spread frequencies: without input, (v, u) turns by an angle ω in each step, and shrinks to r.

    In event orders in which the new v drives u, a2 = b2 = r − 1 and b1 = −a3 = 2·√r·sin(ω/2); in those in which the
    old v does, a2 = b2 = r·cos ω − 1 and b1 = −a3 = r·sin ω. The eigenvalues of such a step are r·e^(±iω), for every
    0 < ω < π: the neuron never diverges, whatever is learned.

    Raises:
        SettingError: for frequencies that are not between 0 and π, or decays that are not between 0 and 1.
    """

    frequency: tuple[float, float] = (0.01, 1.0)  #: lowest and highest ω, radians per step
    decay: tuple[float, float] = (0.001, 0.02)  #: lowest and highest 1 − r, per step

    DOMAIN: ClassVar[Mapping[str, tuple[str, float, float]]] = {
        "frequency": ("radians per step", 1e-4, 3.1),
        "decay": ("per step", 1e-6, 0.99),
    }

    def check(self, p: IzhikevichParameters) -> None:
        if ORDERS[p.order].substeps != 1:
            known = ", ".join(name for name, one in ORDERS.items() if one.substeps == 1)
            raise SettingError(
                f"order is {p.order!r}, whose half steps change a resonator's frequency; choose one of: {known}"
            )

    def coefficients(
        self, values: Mapping[str, Number], p: IzhikevichParameters, functions: Any = math
    ) -> dict[str, Number]:
        frequency, kept = values["frequency"], 1 - values["decay"]
        if ORDERS[p.order].u_from == "new v":
            leak, turn = -values["decay"], 2 * functions.sqrt(kept) * functions.sin(frequency / 2)
        else:
            leak, turn = kept * functions.cos(frequency) - 1, kept * functions.sin(frequency)
        return _rotation(leak, turn, p.dt)


@dataclass(frozen=True, kw_only=True)
class BalancedResonators(Distribution):
    """Balanced resonate-and-fire neurons of spread frequencies and dampings (Higuchi et al., ICML 2024).

    With their time step δ = dt·q_damping, a2 = b2 = δ·b/dt and b1 = −a3 = δ·ω/dt, where b = p − b′ and
    p = (√(1 − (δω)²) − 1)/δ is the bound of stability: for b′ = 0 the step turns (v, u) by arcsin(δω) and keeps its
    length. The spacing is linear. Publications start with ω in (15, 50) for 784 pixels and (5, 10) for spoken digits.

    Raises:
        SettingError: for an ω of 1/δ or more, a b′ out of range, or a range that is not in order.
    """

    omega: tuple[float, float] = (15.0, 50.0)  #: lowest and highest ω, radians per unit of time, of 1/δ steps
    b_offset: tuple[float, float] = (0.1, 1.0)  #: and b′, per unit of time
    spacing: Spacing = "linear"

    DOMAIN: ClassVar[Mapping[str, tuple[str, float, float]]] = {
        "omega": ("radians per unit of time", 1e-4, 99.99),
        "b_offset": ("per unit of time", 1e-4, 100.0),
    }

    def check(self, p: IzhikevichParameters) -> None:
        order, turn = ORDERS[p.order], p.dt * p.q_damping * self.omega[1]
        if p.reset != "smooth" or order.u_from != "old v" or order.substeps != 1:
            raise SettingError(
                f"reset is {p.reset!r} and order {p.order!r}, expected 'smooth' and 'simultaneous' of balanced"
                " resonators"
            )
        if not 0 < turn < 1:
            raise SettingError(f"omega·dt·q_damping is {turn:g} at most, expected more than 0 and less than 1")

    def coefficients(
        self, values: Mapping[str, Number], p: IzhikevichParameters, functions: Any = math
    ) -> dict[str, Number]:
        delta = p.dt * p.q_damping
        turn = delta * values["omega"]
        leak = delta * ((functions.sqrt(1 - turn * turn) - 1) / delta - values["b_offset"])
        return _rotation(leak, turn, p.dt)


@dataclass(frozen=True, kw_only=True)
class Leaks(Distribution):
    """Neurons of spread time constants: a2 = −1/τ_v and b2 = −1/τ_u; a3/a2 and b1/b2 are those of the parameters.

    The couplings a3 and b1 can be learned as well, and are held where the neuron is stable.

    Raises:
        SettingError: for time constants below 1.
    """

    tau_v: tuple[float, float] = (2.0, 1000.0)  #: lowest and highest τ of v, in the unit of dt
    tau_u: tuple[float, float] = (2.0, 1000.0)  #: and of u

    DOMAIN: ClassVar[Mapping[str, tuple[str, float, float]]] = {
        "tau_v": ("in the unit of dt", 1.0, 1e6),
        "tau_u": ("in the unit of dt", 1.0, 1e6),
    }
    FREE: ClassVar[tuple[str, ...]] = ("a3", "b1")

    def check(self, p: IzhikevichParameters) -> None:
        if not (p.a2 and p.b2):
            raise SettingError("a2 or b2 is 0, expected neurons in which v and u leak, such as adlif")

    def coefficients(
        self, values: Mapping[str, Number], p: IzhikevichParameters, functions: Any = math
    ) -> dict[str, Number]:
        a2, b2 = -1 / values["tau_v"], -1 / values["tau_u"]
        return {"a2": a2, "a3": a2 * (p.a3 / p.a2), "b1": b2 * (p.b1 / p.b2), "b2": b2}


def _rotation(leak: Number, turn: Number, dt: float) -> dict[str, Number]:
    """The coefficients of a step in which v and u leak alike and turn into one another."""
    return {"a2": leak / dt, "a3": -turn / dt, "b1": turn / dt, "b2": leak / dt}


def spectral_radius(a2: Any, a3: Any, b1: Any, b2: Any, p: IzhikevichParameters) -> Any:
    """The largest eigenvalue's modulus of a step of the linear part, of numbers or arrays; above 1 it diverges.

    Args:
        a2, a3, b1, b2: coefficients of the neurons.
        p: their time step and event order.
    """
    order = ORDERS[p.order]
    h = p.dt / order.substeps
    vv, vu, uv, uu = 1.0 + 0 * a2, 0.0 * a2, 0.0 * a2, 1.0 + 0 * a2  # the state after, by the state before
    for _ in range(order.substeps):
        new = vv + h * (a2 * vv + a3 * uv), vu + h * (a2 * vu + a3 * uu)
        if order.u_from == "old v":
            uv, uu = uv + h * (b1 * vv + b2 * uv), uu + h * (b1 * vu + b2 * uu)
        vv, vu = new
    if order.u_from == "new v":
        uv, uu = uv + p.dt * (b1 * vv + b2 * uv), uu + p.dt * (b1 * vu + b2 * uu)
    half, product = (vv + uu) / 2, vv * uu - vu * uv
    inner = half * half - product
    real = abs(half) + np.sqrt(np.maximum(inner, 0.0))
    return np.where(inner < 0, np.sqrt(np.maximum(product, 0.0)), real)


__all__ = ["BalancedResonators", "Distribution", "Leaks", "Resonators", "Spread", "spectral_radius", "spread"]
