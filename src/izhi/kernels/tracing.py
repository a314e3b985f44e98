"""Whether torch itself looks on: what it records or transforms must be operations of its own."""

from __future__ import annotations

import torch


def is_traced() -> bool:
    """Whether torch.compile, torch.export, torch.jit.trace or a transform of torch.func runs what comes now."""
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return recorded or torch._C._are_functorch_transforms_active()
