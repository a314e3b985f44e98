"""Tensors whose numbers are made as soon as anything asks for them, and never where kernels need none."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map


class LazyTensor(Tensor):
    """A tensor that knows how to make its numbers, which any operation of torch makes it do.

    What changes it in place makes it keep them, and whatever shares its memory with it: these are ``_Kept`` from then
    on. Before a kernel takes more than numbers from one, ``unchanged`` asks whether a view of it was changed.
    """

    _whole: LazyTensor | None = None
    """What it is a view of."""

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
        found: Tensor = dense(self).view(shape)
        return found

    def converted(self, dtype: torch.dtype) -> Tensor:
        """The same in another format."""
        found: Tensor = dense(self).to(dtype)
        return found

    def data_ptr(self) -> int:
        """There is none: a kernel needs ``dense``."""
        raise RuntimeError("the tensor is deferred and has no memory, expected a dense one")

    def numpy(self, *, force: bool = False) -> Any:
        return dense(self).numpy(force=force)

    def tolist(self) -> Any:
        return dense(self).tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> Any:  # type: ignore[override]
        return repr(dense(self))

    def __deepcopy__(self, memo: Any) -> Any:
        # A tensor's own asks for memory, but first whether it may be copied.
        own: Any = super() if self.requires_grad else dense(self)
        return own.__deepcopy__(memo)

    def _part_of(self, whole: LazyTensor) -> LazyTensor:
        """The same as a view of another one."""
        self._whole = whole
        whole.__dict__.setdefault("_views", []).append(weakref.ref(self))
        return self

    def _of(self, numbers: Tensor) -> Tensor:
        """Its numbers as a view of those of its whole."""
        return numbers.view(self.shape)

    def _keep(self) -> None:
        """Have numbers that can be changed from now on."""
        if self._whole is not None and not isinstance(self._whole, _Kept):
            self._whole._keep()  # which keeps those of its views, too
        else:
            self._take(dense(self) if self._whole is None else self._of(dense(self._whole)))

    def _show(self) -> None:
        """Have numbers that a view is taken of, through which they may be changed."""
        if self.is_inference():  # whose changes torch does not count
            self._keep()
        elif "_shown" not in self.__dict__:
            self._shown = dense(self), self._version

    def _take(self, numbers: Tensor) -> None:
        parts = [(view, view._of(numbers)) for x in self.__dict__.pop("_views", ()) if (view := x()) is not None]
        self.__dict__.pop("_shown", None)
        self.__class__ = _Kept
        self.numbers = numbers
        for view, own in parts:
            view._take(own)

    def untyped_storage(self) -> Any:
        return dense(self).untyped_storage()

    def share_memory_(self) -> Any:
        self._keep()
        return dense(self).share_memory_()

    def __dlpack__(self, *arguments: Any, **named: Any) -> Any:
        return dense(self).__dlpack__(*arguments, **named)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dense(self).__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        own = unchanged(args[0]) if args and isinstance(args[0], LazyTensor) else None
        if own is not None and func is torch.ops.aten.view.default and args[1][:2] == [*own.shape[:2]]:
            return _as_part(own.viewed(tuple(args[1])), own)
        if own is not None and func is torch.ops.aten.detach.default:
            return _as_part(own.viewed(tuple(own.shape)), own)
        if own is not None and func is torch.ops.aten._to_copy.default and set(kwargs or {}) == {"dtype"}:
            return own.converted(kwargs["dtype"])
        if own is not None and func is torch.ops.aten.to.dtype and len(args) == 2 and not kwargs:  # in inference mode
            return own.converted(args[1])
        if own is not None and func is torch.ops.aten.select.int and args[1] == 0:
            return _Step(own, args[2])
        written = [x for x in _written(func, args, kwargs or {}) if isinstance(x, LazyTensor)]
        for x in written:
            x._keep()
        if own is not None and _is_view(func):
            own._show()
        found = func(*tree_map(dense, args), **tree_map(dense, kwargs or {}))
        return written[0] if len(written) == 1 and isinstance(found, Tensor) else found


def _as_part(view: Tensor, whole: LazyTensor) -> Tensor:
    return view._part_of(whole) if isinstance(view, LazyTensor) else view


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The arguments that an operation changes in place."""
    named = func._schema.arguments
    given = [args[k] if k < len(args) else kwargs.get(one.name) for k, one in enumerate(named)]
    return [x for one, x in zip(named, given, strict=True) if one.alias_info is not None and one.alias_info.is_write]


def _is_view(func: Any) -> bool:
    """Whether an operation gives the memory of an argument, unchanged."""
    return any(x.alias_info is not None and not x.alias_info.is_write for x in func._schema.returns)


class _Kept(LazyTensor):
    """One whose numbers are there."""

    numbers: Tensor

    def dense(self) -> Tensor:
        return self.numbers


class _Step(LazyTensor):
    """One step of what is deferred."""

    step: int

    @staticmethod
    def __new__(cls, whole: LazyTensor, step: int) -> _Step:
        found: _Step = cls.of_shape(tuple(whole.shape[1:]), whole.dtype, whole.device)
        found.step = step
        found._part_of(whole)
        return found

    def dense(self) -> Tensor:
        return self._of(dense(self._whole))

    def _of(self, numbers: Tensor) -> Tensor:
        return numbers[self.step]


def dense(x: Any) -> Any:
    """The numbers of what is deferred; anything else as it is."""
    if not isinstance(x, LazyTensor):
        return x
    shown = x.__dict__.get("_shown")
    return x.dense() if shown is None else shown[0]


def unchanged(x: Any) -> Any:
    """The same; no longer of its own kind if its numbers were changed through a view."""
    shown = x.__dict__.get("_shown") if isinstance(x, LazyTensor) else None
    if shown is not None and x._version != shown[1]:
        x._keep()
    return x


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        found: Tensor = dense(x)
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


def materialize(x: Tensor) -> Tensor:
    """The numbers of what is deferred, differentiable, which operations of torch then keep for the way back."""
    return _Dense.apply(x) if isinstance(x, LazyTensor) else x  # type: ignore[no-untyped-call]


__all__ = ["LazyTensor", "dense", "materialize", "unchanged"]
