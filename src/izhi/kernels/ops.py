"""The ops in which formulas are written once, for torch and for every kernel compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

#: A function of numbers, or of tensors, in the ops of a vocabulary.
#: What a kernel compiler computes with: a number, vector or pointer, in types of its own.
Value: TypeAlias = Any
Scalar: TypeAlias = Callable[..., Value]


class OpSet(NamedTuple):
    """The ops of torch, or of a kernel compiler.

    Attributes:
        inlined: decorator of functions that kernels call.
        constant: makes a bool or a place in a tuple known to the compiler.
        number: makes a float32 constant.
        select: select(condition, a, b) is a where the condition holds, else b.
        clip: clip(x, low, high); torch lets the gradient through.
        exp, absolute: of a float32.
        wide: a float32 as a float64, in which products of fixed-point numbers are exact.
        narrow: a float64 as a float32; in torch it stays what it is.
        rounded: rounded(x, scale, unit) is a float64 rounded to a multiple of unit = 1/scale, halves
            upwards; torch lets the gradient through.
    """

    inlined: Callable[[Scalar], Scalar]
    constant: Callable[[Value], Value]
    number: Callable[[float], Value]
    select: Scalar
    clip: Scalar
    exp: Scalar
    absolute: Scalar
    wide: Scalar
    narrow: Scalar
    rounded: Scalar


@runtime_checkable
class Surrogate(Protocol):
    """A surrogate derivative that kernels can compute, since it is a formula."""

    @property
    def constants(self) -> tuple[float, float]:
        """The two constants of the formula."""

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        """The derivative of the spike, (x, first constant, second constant) → value."""


def has_formula(surrogate: object) -> bool:
    """Whether it is a ``Surrogate``: isinstance would compute its constants, which takes as long as a small step."""
    return hasattr(type(surrogate), "constants") and hasattr(type(surrogate), "formula")
