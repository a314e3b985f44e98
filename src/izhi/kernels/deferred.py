"""Tensors whose numbers are made as soon as anything asks for them, and never where kernels need none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


class Deferred(Tensor):
    """A tensor that knows how to make its numbers, which any operation of torch makes it do."""

    @classmethod
    def of_shape(cls, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Any:
        """One without anything yet to make numbers from."""
        return Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=device)

    def __init__(self, *_: object) -> None:
        super().__init__()

    def dense(self) -> Tensor:
        """Its numbers."""
        raise NotImplementedError

    def viewed(self, shape: tuple[int, ...]) -> Tensor:
        """The same in another shape, behind the same steps and samples."""
        return self.dense().view(shape)

    def converted(self, dtype: torch.dtype) -> Tensor:
        """The same in another format."""
        return self.dense().to(dtype)

    def data_ptr(self) -> int:
        """There is none: a kernel needs ``dense``."""
        raise RuntimeError("the tensor is deferred and has no memory, expected a dense one")

    def numpy(self, *, force: bool = False) -> Any:
        return self.dense().numpy(force=force)

    def tolist(self) -> Any:
        return self.dense().tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> Any:  # type: ignore[override]
        return repr(self.dense())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.dense().__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        own = args[0] if args and isinstance(args[0], Deferred) else None
        if own is not None and func is torch.ops.aten.view.default and args[1][:2] == [*own.shape[:2]]:
            return own.viewed(tuple(args[1]))
        if own is not None and func is torch.ops.aten.detach.default:
            return own.viewed(tuple(own.shape))
        if own is not None and func is torch.ops.aten._to_copy.default and set(kwargs or {}) == {"dtype"}:
            return own.converted(kwargs["dtype"])
        if own is not None and func is torch.ops.aten.to.dtype and len(args) == 2 and not kwargs:  # in inference mode
            return own.converted(args[1])
        if own is not None and func is torch.ops.aten.select.int and args[1] == 0:
            return _Step(own, args[2])
        return func(*tree_map(dense, args), **tree_map(dense, kwargs or {}))


class _Step(Deferred):
    """One step of what is deferred."""

    whole: Deferred
    step: int

    @staticmethod
    def __new__(cls, whole: Deferred, step: int) -> _Step:
        found: _Step = cls.of_shape(tuple(whole.shape[1:]), whole.dtype, whole.device)
        found.whole, found.step = whole, step
        return found

    def dense(self) -> Tensor:
        return self.whole.dense()[self.step]


def dense(x: Any) -> Any:
    """The numbers of what is deferred; anything else as it is."""
    return x.dense() if isinstance(x, Deferred) else x


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        found: Tensor = dense(x)
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


def settled(x: Tensor) -> Tensor:
    """The numbers of what is deferred, differentiable, which operations of torch then keep for the way back."""
    return _Dense.apply(x) if isinstance(x, Deferred) else x  # type: ignore[no-untyped-call]


__all__ = ["Deferred", "dense", "settled"]
