"""Whether torch itself looks on: what it records or transforms must be operations of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from izhi.errors import SettingError
from izhi.kernels.lazy import dense


def is_in_trace() -> bool:
    """Whether torch.jit.trace records what runs now."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def is_traced() -> bool:
    """Whether torch.compile, torch.export, torch.jit.trace, torch.func or forward-mode autograd runs this call."""
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return True
    return torch._C._is_tracing() or is_transformed()


def has_hooks(module: Any) -> bool:
    """Whether a module has hooks, which only a call of the module itself would call."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def is_compiled() -> bool:
    """Whether torch.compile records this call, and neither torch.export nor a transform does."""
    return (
        torch.compiler.is_compiling()
        and not torch.compiler.is_exporting()
        and not is_transformed()
        and forward_ad._current_level < 0
    )


def is_transformed() -> bool:
    """Whether a transform of torch.func runs this call."""
    return torch._C._are_functorch_transforms_active()


class _Final(torch.autograd.Function):
    """A gradient that has none itself."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        raise SettingError(
            "a gradient is differentiated again, but kernels have first derivatives alone;"
            " use torch.func.grad, which runs operations of torch"
        )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """The backward pass of a kernel, whose gradients raise a SettingError where they are differentiated again.

    With torch's decorator of this name they count as constants where the incoming gradient is one.
    """

    @wraps(backward)
    def run(ctx: Any, *gradients: Any) -> Any:
        with torch.no_grad():
            results = backward(ctx, *gradients)
        if not torch.is_grad_enabled():
            return results
        return tuple(map(_final, results)) if isinstance(results, tuple) else _final(results)

    return run


def _final(gradient: Tensor | None) -> Tensor | None:
    if gradient is None:
        return None
    return _Final.apply(dense(gradient).detach().requires_grad_())  # type: ignore[no-any-return, no-untyped-call]
