"""The neurons in integers: what the hardware computes in each time step, operation by operation.

A kind of neuron is a class here, all that the hardware knows of it, and the function of its step, which numpy runs on
arrays and Numba compiles for single numbers. Kinds are listed by the executor "integers" of a neuron's entry in
``izhi.spec``; artifact, integer model, core and energy estimate read the class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from izhi.equation import izhikevich, lif
from izhi.equation.equation import Equation
from izhi.equation.integers import integer_step
from izhi.hardware.fixed.arithmetic import Booleans, FixedPoint, Integers, chosen, rounded_shift, saturated
from izhi.spec import ORDERS

#: v, u and whether the neuron fires.
Update = tuple[Integers, Integers, Booleans]


class NeuronFormats(NamedTuple):
    """Number formats of a neuron.

    Attributes:
        v, u: of the states; I is in the format of v.
        fraction: F, bits behind the point of the coefficients.
    """

    v: FixedPoint
    u: FixedPoint
    fraction: int


class IntegerNeuron:
    """Neurons of a layer, of one kind.

    Attributes:
        kind: its name.
        states: those of v and u that it has.
        coefficients: names of the constants that a step takes, (N,) each.
        initial: the initial states among its constants, of v0 and u0; other states begin at 0.
        held: constants that become a state, and which state; its format must hold them.
        natural: constants that must be 0 or more.
        products: factors of each product of a step: states, coefficients, and q for v², without that of the current.
        format_version: the first version of artifacts that can hold it.
        datapath: "module:function" that adds a step's stages to the pipeline of a core.
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
    products: ClassVar[tuple[tuple[str, str], ...]]
    format_version: ClassVar[int] = 3
    datapath: ClassVar[str]
    update: ClassVar[Callable[..., Update]]
    v_format: FixedPoint
    fraction: int

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all constants, in the order in which hardware stores them."""
        return (*cls.coefficients, *cls.initial)

    @classmethod
    def of(cls, formats: Mapping[str, FixedPoint], fraction: int, constants: Mapping[str, Integers]) -> IntegerNeuron:
        """Neurons of the formats of ``states`` and of ``constants``, both by name."""
        named: dict[str, Any] = {f"{state}_format": formats[state] for state in cls.states}
        named.update(constants, fraction=fraction)
        return cls(**named)

    def with_values(self, constants: Mapping[str, Integers]) -> IntegerNeuron:
        """Neurons of the same formats with all their ``constants``, by name."""
        return type(self).of(self.formats._asdict(), self.fraction, constants)

    @property
    def formats(self) -> NeuronFormats:
        """Of the states; neurons without u have the format of v in its place."""
        return NeuronFormats(self.v_format, self.v_format, self.fraction)

    @property
    def values(self) -> dict[str, Integers]:
        """The constants by name, (N,) each."""
        return {name: getattr(self, name) for name in self.names()}

    @property
    def arguments(self) -> tuple[Integers, ...]:
        """Arguments of ``update`` behind the formats."""
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
    # Integers of Python, since those of numpy could overflow.
    columns = [[abs(value) * magnitude for value in constant.tolist()] for constant, magnitude in terms]
    return max(map(sum, zip(*columns, strict=True)))


def _step_of(equation: Equation, constants: Sequence[str], bias: str | None = None) -> Callable[..., Update]:
    """The step of an equation, derived by the rules of rounding of ``izhi.equation.fixed_point``."""
    words: dict[str, Callable[..., Any]] = {"rounded_shift": rounded_shift, "saturated": saturated, "chosen": chosen}
    return integer_step(equation, constants, words, bias)


@dataclass(frozen=True)
class IzhikevichNeuron(IntegerNeuron):
    """Quadratic neurons in the event order of the FPGA IP.

        fired = v ≥ threshold
        fired:      v ← c,   u ← sat(u + d)
        otherwise:  q = round(v·v / 2^Fv)
                    v ← sat(v + I + round((a1·q + a2·v + a3·u + a4) / 2^F))
                    u ← sat(u + round((b1·v + b2·u + b3) / 2^F))      with the new v

    A neuron fires in the step after the one that brought v to the threshold.

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
    products = (("v", "v"), ("a1", "q"), ("a2", "v"), ("a3", "u"), ("b2", "u"), ("b1", "v"))
    format_version = 1
    datapath = "izhi.hardware.core.datapaths:izhikevich"
    update = staticmethod(_step_of(izhikevich(ORDERS["fpga-ip"]), coefficients))

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
    def formats(self) -> NeuronFormats:
        return NeuronFormats(self.v_format, self.u_format, self.fraction)

    @property
    def sums(self) -> dict[str, int]:
        v, u = -self.v_format.lowest, -self.u_format.lowest
        q = int(rounded_shift(np.int64(v * v), self.v_format.fraction))
        return {
            "a1·q + a2·v + a3·u + a4": _greatest((self.a1, q), (self.a2, v), (self.a3, u), (self.a4, 1)),
            "b1·v + b2·u + b3": _greatest((self.b1, v), (self.b2, u), (self.b3, 1)),
        }


@dataclass(frozen=True)
class LIFNeuron(IntegerNeuron):
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
    products = (("beta", "v"),)
    format_version = 1
    datapath = "izhi.hardware.core.datapaths:lif"
    update: ClassVar[Callable[..., Update]] = staticmethod(_step_of(lif("subtract", True), coefficients, "bias"))

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
    """Leaky integrate-and-fire neurons that are reset to 0 in the step after a spike.

        kept = 0 if v > threshold else v
        v ← sat(I + round((beta·kept + bias) / 2^F))
        spike = v > threshold

    Attributes:
        as those of ``LIFNeuron``.
    """

    kind = "lif-zero"
    format_version = 3
    datapath = "izhi.hardware.core.datapaths:zeroing_lif"
    update = staticmethod(_step_of(lif("zero", True), LIFNeuron.coefficients, "bias"))


@dataclass(frozen=True)
class SoftLIFNeuron(LIFNeuron):
    """Leaky integrate-and-fire neurons that lose the threshold before they decay, in the step after a spike.

        kept = v − threshold if v > threshold else v
        v ← sat(I + round((beta·kept + bias) / 2^F))
        spike = v > threshold

    Attributes:
        threshold: (N,), in the format of v, 0 or more, so that kept is in it as well; the others are those of
            ``LIFNeuron``.
    """

    kind = "lif-soft"
    format_version = 3
    datapath = "izhi.hardware.core.datapaths:soft_lif"
    natural = ("threshold",)
    update = staticmethod(_step_of(lif("soft", True), LIFNeuron.coefficients, "bias"))


@dataclass(frozen=True)
class ValueLIFNeuron(LIFNeuron):
    """Leaky integrate-and-fire neurons that are reset to a value in the step after a spike.

        kept = reset if v > threshold else v
        v ← sat(I + round((beta·kept + bias) / 2^F))
        spike = v > threshold

    Attributes:
        reset: (N,), in the format of v; the others are those of ``LIFNeuron``.
    """

    kind = "lif-value"
    format_version = 3
    datapath = "izhi.hardware.core.datapaths:value_lif"
    coefficients = ("beta", "bias", "threshold", "reset")
    held: ClassVar[Mapping[str, str]] = {"reset": "v"}
    update = staticmethod(_step_of(lif("value", True), ("beta", "bias", "threshold", "v_reset"), "bias"))

    reset: Integers


#: Kinds of the neurons of ``izhi.spec``, by their executor "integers".
IZHIKEVICH: tuple[type[IntegerNeuron], ...] = (IzhikevichNeuron,)
LIF: tuple[type[IntegerNeuron], ...] = (LIFNeuron, SoftLIFNeuron, ZeroingLIFNeuron, ValueLIFNeuron)
