"""The words that all kernel compilers share, and the surrogates' derivatives written in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from izhi.neurons.surrogate import (
    ATan,
    FastSigmoid,
    Heaviside,
    Sigmoid,
    SpikeRateEscape,
    StraightThrough,
    Triangular,
)

Scalar = Callable[..., Any]


class Vocabulary(NamedTuple):
    """The words of a kernel compiler.

    Attributes:
        inlined: decorator of functions that kernels call.
        constant: makes a bool known to the compiler.
        number: makes a float32 constant.
        select: select(condition, a, b) is a where the condition holds, else b.
        clip: clip(x, low, high).
        exp, absolute: of a float32.
        wide: a float32 as a float64, in which products of fixed-point numbers are exact.
        narrow: a float64 as a float32.
        floor: of a float64.
    """

    inlined: Callable[[Scalar], Scalar]
    constant: Callable[[bool], Any]
    number: Callable[[float], Any]
    select: Scalar
    clip: Scalar
    exp: Scalar
    absolute: Scalar
    wide: Scalar
    narrow: Scalar
    floor: Scalar


def derivative_of(surrogate: type, words: Vocabulary) -> Scalar:
    """The derivative of a spike by a surrogate: (x, two constants) → value."""
    inlined, _, number, select, _, exp, absolute, _, _, _ = words
    zero, half, one, half_pi = number(0.0), number(0.5), number(1.0), number(math.pi / 2)

    @inlined
    def atan(x, slope, other):  # type: ignore[no-untyped-def]
        y = half_pi * slope * x
        return half * slope / (one + y * y)

    @inlined
    def fast_sigmoid(x, slope, other):  # type: ignore[no-untyped-def]
        y = one + slope * absolute(x)
        return one / (y * y)

    @inlined
    def sigmoid(x, slope, other):  # type: ignore[no-untyped-def]
        y = one / (one + exp(-slope * x))
        return slope * y * (one - y)

    @inlined
    def straight_through(x, constant, other):  # type: ignore[no-untyped-def]
        return one

    @inlined
    def heaviside(x, constant, other):  # type: ignore[no-untyped-def]
        return select(x > zero, one, zero)

    @inlined
    def triangular(x, threshold, other):  # type: ignore[no-untyped-def]
        return select(x >= zero, -threshold, threshold)

    @inlined
    def spike_rate_escape(x, beta, slope):  # type: ignore[no-untyped-def]
        return slope * exp(-beta * absolute(x - one))

    formulas: dict[type, Scalar] = {
        ATan: atan,
        FastSigmoid: fast_sigmoid,
        Heaviside: heaviside,
        Sigmoid: sigmoid,
        SpikeRateEscape: spike_rate_escape,
        StraightThrough: straight_through,
        Triangular: triangular,
    }
    return formulas[surrogate]
