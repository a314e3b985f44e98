"""Tensors whose numbers are computed when an operation reads them, and never where kernels need none."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

Lazy = TypeVar("Lazy", bound="LazyTensor")


class Source:
    """The numbers of a lazy tensor and of its views.

    They are computed at each reading, until an operation shares their memory or changes them: from then on they are
    kept.

    Args:
        compute: the numbers.
    """

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        self._compute = compute
        self._numbers: Tensor | None = None
        self._shared: list[tuple[weakref.ref[Tensor], int]] = []
        self._is_changed = False

    def numbers(self) -> Tensor:
        """The numbers."""
        return self._compute() if self._numbers is None else self._numbers

    def keep(self) -> None:
        """Keep them from now on."""
        self._numbers = self.numbers()

    def change(self) -> None:
        """Keep them, and count them as changed."""
        self.keep()
        self._is_changed = True

    def share(self, tensor: Tensor) -> None:
        """Keep them, since an operation takes a view of a tensor, through which they may be changed."""
        if tensor.is_inference():  # torch counts no changes of it
            self.change()
        else:
            self.keep()
            self._shared.append((weakref.ref(tensor), tensor._version))

    @property
    def is_intact(self) -> bool:
        """Whether they are still what ``compute`` gives."""
        for reference, version in self._shared:
            tensor = reference()
            self._is_changed |= tensor is None or tensor._version != version
        return not self._is_changed


class LazyTensor(Tensor):
    """A tensor whose numbers any operation of torch computes, and any access to its memory keeps."""

    source: Source

    @classmethod
    def of_source(
        cls: type[Lazy], source: Source, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> Lazy:
        """A tensor of these numbers."""
        tensor: Lazy = Tensor._make_wrapper_subclass(cls, shape, dtype=dtype, device=device)
        tensor.source = source
        return tensor

    def __init__(self, *_: object) -> None:
        super().__init__()

    def dense(self) -> Tensor:
        """Its numbers."""
        return self.source.numbers().view(self.shape)

    def viewed(self, shape: tuple[int, ...]) -> Tensor:
        """The same numbers in another shape, of which the first two sizes stay."""
        raise NotImplementedError

    def converted(self, dtype: torch.dtype) -> Tensor:
        """The same numbers in another format."""
        return self.dense().to(dtype)

    def _exposed(self) -> Tensor:
        """Its numbers, for access to memory of which torch knows nothing."""
        self.source.change()
        return self.dense()

    def data_ptr(self) -> int:
        return self._exposed().data_ptr()

    def untyped_storage(self) -> Any:
        return self._exposed().untyped_storage()

    def share_memory_(self) -> Any:
        return self._exposed().share_memory_()  # type: ignore[no-untyped-call]

    def __dlpack__(self, *arguments: Any, **named: Any) -> Any:
        return self._exposed().requires_grad_(self.requires_grad).__dlpack__(*arguments, **named)

    def numpy(self, *, force: bool = False) -> Any:
        if self.requires_grad and not force:
            raise RuntimeError("can't call numpy() on a tensor that requires grad; use tensor.detach().numpy()")
        return self._exposed().numpy(force=force)

    def tolist(self) -> Any:
        return self.dense().tolist()

    def __repr__(self, *, tensor_contents: Any = None) -> Any:  # type: ignore[override]
        return repr(self.dense())

    def __deepcopy__(self, memo: Any) -> Any:
        # A tensor's own needs memory, but first asks whether it may be copied.
        own: Any = super() if self.requires_grad else self.dense()
        return own.__deepcopy__(memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.dense().__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        own = args[0] if args and isinstance(args[0], LazyTensor) else None
        if own is not None:
            if func is torch.ops.aten.view.default and list(args[1][:2]) == list(own.shape[:2]):
                return own.viewed(tuple(args[1]))
            if func is torch.ops.aten.detach.default:
                return own.viewed(tuple(own.shape))
            if own.source.is_intact and func is torch.ops.aten._to_copy.default and set(kwargs) == {"dtype"}:
                return own.converted(kwargs["dtype"])
            if own.source.is_intact and func is torch.ops.aten.to.dtype and len(args) == 2 and not kwargs:  # inference
                return own.converted(args[1])
        written = [x for x in _written(func, args, kwargs) if isinstance(x, LazyTensor)]
        for x in written:
            x.source.change()
        if own is not None and _is_view(func):
            own.source.share(own)
        result = func(*tree_map(dense, args), **tree_map(dense, kwargs))
        return written[0] if len(written) == 1 and isinstance(result, Tensor) else result


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The arguments that an operation changes in place."""
    named = func._schema.arguments
    values = [args[k] if k < len(args) else kwargs.get(one.name) for k, one in enumerate(named)]
    return [x for one, x in zip(named, values, strict=True) if one.alias_info is not None and one.alias_info.is_write]


def _is_view(func: Any) -> bool:
    """Whether an operation gives the memory of an argument, unchanged."""
    return any(x.alias_info is not None and not x.alias_info.is_write for x in func._schema.returns)


def dense(x: Any) -> Any:
    """The numbers of a lazy tensor; anything else as it is."""
    return x.dense() if isinstance(x, LazyTensor) else x


def owned(x: Tensor) -> Tensor:
    """The numbers of a tensor in memory that nothing else reads."""
    is_new = isinstance(x, LazyTensor) and x.source._numbers is None
    return dense(x) if is_new else dense(x).clone()  # type: ignore[no-any-return]


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: LazyTensor) -> Tensor:
        return owned(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


def materialize(x: Tensor) -> Tensor:
    """An ordinary tensor of the same numbers, differentiable, which operations keep for the backward pass."""
    return _Dense.apply(x) if isinstance(x, LazyTensor) else x  # type: ignore[no-untyped-call]
