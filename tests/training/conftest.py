"""Neurons run uncompiled: each plan would take a second or two; ``tests/kernels`` compiles an array of plans."""

from numpy_kernels import uncompiled

__all__ = ["uncompiled"]
