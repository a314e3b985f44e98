"""The neurons in integers: what the hardware computes in each time step, operation by operation.

A kind of neuron is a class in ``NEURONS`` and the function of its step, which numpy runs on arrays and Numba
compiles for single numbers. All else (artifact, compiled model, shape of the core) asks the class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from izhi.hardware.fixed.arithmetic import (
    Booleans,
    FixedPoint,
    Integers,
    chosen,
    rounded_shift,
    saturated,
)


class Formats(NamedTuple):
    """Numbers of a neuron.

    Attributes:
        v, u: formats of the states; I is in the format of v.
        fraction: F, bits behind the point of the coefficients.
    """

    v: FixedPoint
    u: FixedPoint
    fraction: int


class Neuron:
    """Neurons of a layer, of one kind.

    Attributes:
        kind: its name.
        states: those that it has, of v and u.
        coefficients: names of the constants that a step takes, (N,) each.
        initial: names of those that states begin at, of v0 and u0; the others begin at 0.
        held: constants that become a state, and which; its format must hold them.
        natural: constants that must be 0 or more.
        update: v, u and whether it fires, of v, u, I, the formats and the coefficients in their order.
        v_format: of v, and of I.
        fraction: of the coefficients.
    """

    kind: ClassVar[str]
    states: ClassVar[tuple[str, ...]]
    coefficients: ClassVar[tuple[str, ...]]
    initial: ClassVar[tuple[str, ...]] = ()
    held: ClassVar[Mapping[str, str]] = {}
    natural: ClassVar[tuple[str, ...]] = ()
    update: ClassVar[Callable[..., tuple[Integers, Integers, Booleans]]]
    v_format: FixedPoint
    fraction: int

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Of all constants, in the order in which hardware stores them."""
        return (*cls.coefficients, *cls.initial)

    @classmethod
    def of(cls, formats: Mapping[str, FixedPoint], fraction: int, constants: Mapping[str, Integers]) -> Neuron:
        """Neurons of the formats of ``states`` and of ``constants``, both by name."""
        named: dict[str, Any] = {f"{state}_format": formats[state] for state in cls.states}
        named.update(constants, fraction=fraction)
        return cls(**named)

    def with_values(self, constants: Mapping[str, Integers]) -> Neuron:
        """Neurons of the same formats with all their ``constants``, by name."""
        return type(self).of(self.formats._asdict(), self.fraction, constants)

    @property
    def formats(self) -> Formats:
        """Of the states; where these neurons have no u, that of v stands for it."""
        return Formats(self.v_format, self.v_format, self.fraction)

    @property
    def values(self) -> dict[str, Integers]:
        """The constants by name, (N,) each."""
        return {name: getattr(self, name) for name in self.names()}

    @property
    def arguments(self) -> tuple[Integers, ...]:
        """What ``update`` takes behind the formats."""
        return tuple(getattr(self, name) for name in self.coefficients)

    @property
    def sums(self) -> dict[str, int]:
        """The greatest magnitude of each sum that a step rounds, by its formula."""
        raise NotImplementedError

    def start(self, batch: int) -> tuple[Integers, Integers]:
        """v and u before the first step, (batch, N) each; 0 for a state that they lack."""
        zeros = np.zeros((batch, len(self.arguments[0])), np.int64)
        v, u = (zeros + getattr(self, name) if name in self.initial else zeros.copy() for name in ("v0", "u0"))
        return v, u

    def step(self, v: Integers, u: Integers, current: Integers) -> tuple[Integers, Integers, Integers]:
        """v, u and spikes (0 or 1) after a step; all (batch, N)."""
        v, u, fired = type(self).update(v, u, current, self.formats, *self.arguments)
        return v, u, fired.astype(np.int64)


def _greatest(*terms: tuple[Integers, int]) -> int:
    """The greatest magnitude of a sum of constants (N,), each times a number of some magnitude."""
    # Integers of Python, since those of numpy could run over.
    columns = [[abs(value) * magnitude for value in constant.tolist()] for constant, magnitude in terms]
    return max(map(sum, zip(*columns, strict=True)))


def izhikevich(
    v: Integers, u: Integers, current: Integers, formats: Formats,
    a1: Integers, a2: Integers, a3: Integers, a4: Integers,
    b1: Integers, b2: Integers, b3: Integers,
    c: Integers, d: Integers, threshold: Integers,
) -> tuple[Integers, Integers, Booleans]:  # fmt: skip
    """A step of ``IzhikevichNeuron``."""
    fired = v >= threshold
    q = rounded_shift(v * v, formats.v.fraction)
    v_change = rounded_shift(a1 * q + a2 * v + a3 * u + a4, formats.fraction)
    v_new = saturated(v + current + v_change, formats.v)
    u_change = rounded_shift(b1 * v_new + b2 * u + b3, formats.fraction)
    return chosen(fired, c, v_new), saturated(u + chosen(fired, d, u_change), formats.u), fired


def lif(
    v: Integers, u: Integers, current: Integers, formats: Formats,
    beta: Integers, bias: Integers, threshold: Integers,
) -> tuple[Integers, Integers, Booleans]:  # fmt: skip
    """A step of ``LIFNeuron``."""
    reset = chosen(v > threshold, threshold, 0)
    leak = rounded_shift(beta * v + bias, formats.fraction)
    v_new = saturated(current + leak - reset, formats.v)
    return v_new, u, v_new > threshold


def zeroing_lif(
    v: Integers, u: Integers, current: Integers, formats: Formats,
    beta: Integers, bias: Integers, threshold: Integers,
) -> tuple[Integers, Integers, Booleans]:  # fmt: skip
    """A step of ``ZeroingLIFNeuron``."""
    kept = chosen(v > threshold, v * 0, v)
    leak = rounded_shift(beta * kept + bias, formats.fraction)
    v_new = saturated(current + leak, formats.v)
    return v_new, u, v_new > threshold


def soft_lif(
    v: Integers, u: Integers, current: Integers, formats: Formats,
    beta: Integers, bias: Integers, threshold: Integers,
) -> tuple[Integers, Integers, Booleans]:  # fmt: skip
    """A step of ``SoftLIFNeuron``."""
    kept = chosen(v > threshold, v - threshold, v)
    leak = rounded_shift(beta * kept + bias, formats.fraction)
    v_new = saturated(current + leak, formats.v)
    return v_new, u, v_new > threshold


def value_lif(
    v: Integers, u: Integers, current: Integers, formats: Formats,
    beta: Integers, bias: Integers, threshold: Integers, reset: Integers,
) -> tuple[Integers, Integers, Booleans]:  # fmt: skip
    """A step of ``ValueLIFNeuron``."""
    kept = chosen(v > threshold, reset, v)
    leak = rounded_shift(beta * kept + bias, formats.fraction)
    v_new = saturated(current + leak, formats.v)
    return v_new, u, v_new > threshold


@dataclass(frozen=True)
class IzhikevichNeuron(Neuron):
    """Quadratic neurons in the event order of the FPGA IP.

        fired = v ≥ threshold
        fired:      v ← c,   u ← sat(u + d)
        otherwise:  q = round(v·v / 2^Fv)
                    v ← sat(v + I + round((a1·q + a2·v + a3·u + a4) / 2^F))
                    u ← sat(u + round((b1·v + b2·u + b3) / 2^F))      with the new v

    A neuron sends a spike in the step in which it was found above threshold.

    Attributes:
        v_format, u_format: of the states; Fv is the fraction of v. I is in the format of v.
        fraction: F, of the coefficients of the two sums.
        a1 … b3: coefficients, (N,) each, scaled so that the sums have the fraction F of v or u.
        c, threshold: (N,), in the format of v.
        d: (N,), in the format of u.
        v0, u0: before the first step, (N,).
    """

    kind = "izhikevich"
    states = ("v", "u")
    coefficients = ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "threshold")
    initial = ("v0", "u0")
    held: ClassVar[Mapping[str, str]] = {"c": "v", "v0": "v", "u0": "u"}
    update = staticmethod(izhikevich)

    v_format: FixedPoint
    u_format: FixedPoint
    fraction: int
    a1: Integers
    a2: Integers
    a3: Integers
    a4: Integers
    b1: Integers
    b2: Integers
    b3: Integers
    c: Integers
    d: Integers
    threshold: Integers
    v0: Integers
    u0: Integers

    @property
    def formats(self) -> Formats:
        return Formats(self.v_format, self.u_format, self.fraction)

    @property
    def sums(self) -> dict[str, int]:
        v, u = -self.v_format.lowest, -self.u_format.lowest
        q = int(rounded_shift(np.int64(v * v), self.v_format.fraction))
        return {
            "a1·q + a2·v + a3·u + a4": _greatest((self.a1, q), (self.a2, v), (self.a3, u), (self.a4, 1)),
            "b1·v + b2·u + b3": _greatest((self.b1, v), (self.b2, u), (self.b3, 1)),
        }


@dataclass(frozen=True)
class LIFNeuron(Neuron):
    """Leaky integrate-and-fire neurons; the reset follows in the step after the spike.

        above = v > threshold
        v ← sat(I + round((beta·v + bias) / 2^F) − above·threshold)
        spike = v > threshold

    Attributes:
        v_format: of the state and of I.
        fraction: F, of beta and bias.
        beta, bias: (N,).
        threshold: (N,), in the format of v.
    """

    kind = "lif"
    states = ("v",)
    coefficients: ClassVar[tuple[str, ...]] = ("beta", "bias", "threshold")
    update: ClassVar[Callable[..., tuple[Integers, Integers, Booleans]]] = staticmethod(lif)

    v_format: FixedPoint
    fraction: int
    beta: Integers
    bias: Integers
    threshold: Integers

    @property
    def sums(self) -> dict[str, int]:
        return {"beta·v + bias": _greatest((self.beta, -self.v_format.lowest), (self.bias, 1))}


@dataclass(frozen=True)
class ZeroingLIFNeuron(LIFNeuron):
    """Leaky integrate-and-fire neurons that begin at 0 in the step after a spike.

        kept = 0 if v > threshold else v
        v ← sat(I + round((beta·kept + bias) / 2^F))
        spike = v > threshold

    Attributes:
        as those of ``LIFNeuron``.
    """

    kind = "lif-zero"
    update = staticmethod(zeroing_lif)


@dataclass(frozen=True)
class SoftLIFNeuron(LIFNeuron):
    """Leaky integrate-and-fire neurons that lose the threshold before they decay in the step after a spike.

        kept = v − threshold if v > threshold else v
        v ← sat(I + round((beta·kept + bias) / 2^F))
        spike = v > threshold

    Attributes:
        threshold: (N,), in the format of v, 0 or more, so that kept is in it as well; the others are those of
            ``LIFNeuron``.
    """

    kind = "lif-soft"
    natural = ("threshold",)
    update = staticmethod(soft_lif)


@dataclass(frozen=True)
class ValueLIFNeuron(LIFNeuron):
    """Leaky integrate-and-fire neurons that begin at a value in the step after a spike.

        kept = reset if v > threshold else v
        v ← sat(I + round((beta·kept + bias) / 2^F))
        spike = v > threshold

    Attributes:
        reset: (N,), in the format of v; the others are those of ``LIFNeuron``.
    """

    kind = "lif-value"
    coefficients = ("beta", "bias", "threshold", "reset")
    held: ClassVar[Mapping[str, str]] = {"reset": "v"}
    update = staticmethod(value_lif)

    reset: Integers


#: By their kinds, as files have them.
NEURONS: Mapping[str, type[Neuron]] = {
    neuron.kind: neuron for neuron in (IzhikevichNeuron, LIFNeuron, SoftLIFNeuron, ZeroingLIFNeuron, ValueLIFNeuron)
}
