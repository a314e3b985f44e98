"""Whether torch itself looks on: what it records or transforms must be operations of its own."""

from __future__ import annotations

import torch


def is_in_trace() -> bool:
    """Whether torch.jit.trace records what runs now."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def is_traced() -> bool:
    """Whether torch.compile, torch.export, torch.jit.trace or a transform of torch.func runs what comes now."""
    if torch.compiler.is_compiling():
        return True
    return torch._C._is_tracing() or torch._C._are_functorch_transforms_active()
