"""The gradient of spikes as two factors, which the kernels of neurons multiply where they need it.

Behind few neurons, such as a readout's, the dense gradient of the spikes that came in is far larger than what it is
made of, and writing and reading it costs more than its numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


class Factored(Tensor):
    """g·W: g (T, B, O), W (O, I) → (T, B, *features), multiplied as soon as an operation of torch asks for its numbers.

    Attributes:
        factors: g and W.
    """

    factors: tuple[Tensor, Tensor]

    @staticmethod
    def __new__(cls, g: Tensor, weight: Tensor, shape: tuple[int, ...] | None = None) -> Factored:
        shape = shape or (*g.shape[:-1], weight.shape[1])
        found: Factored = Tensor._make_wrapper_subclass(cls, shape, dtype=g.dtype, device=g.device)
        found.factors = g, weight
        return found

    def __init__(self, *_: object) -> None:
        super().__init__()

    def dense(self) -> Tensor:
        """The product."""
        g, weight = self.factors
        return (g @ weight).view(self.shape)

    def data_ptr(self) -> int:
        """There is none: a kernel needs ``dense``."""
        raise RuntimeError("the gradient is two factors and has no memory, expected a dense one")

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten.view.default and isinstance(args[0], cls) and args[1][:2] == [*args[0].shape[:2]]:
            return cls(*args[0].factors, tuple(args[1]))
        return func(*tree_map(dense, args), **tree_map(dense, kwargs or {}))


def dense(x: Any) -> Any:
    """The product of what is factored; anything else as it is."""
    return x.dense() if isinstance(x, Factored) else x


__all__ = ["Factored", "dense"]
