"""States as trees of tensors: cut from the graph, and moved to another device or dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

State = TypeVar("State")
#: Device or dtype of a state.
Target: TypeAlias = torch.device | torch.dtype | str


def map_tensors(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """A state of the same form with ``change`` applied to every tensor in it."""
    result: Any = state
    if isinstance(state, Tensor):
        result = change(state)
    elif isinstance(state, (tuple, list)):
        items = [map_tensors(x, change) for x in state]
        result = type(state)(*items) if hasattr(state, "_fields") else type(state)(items)
    return result  # type: ignore[no-any-return]


def detach(state: State) -> State:
    """The same state without its history, so that gradients end here (truncated backpropagation through time)."""
    return map_tensors(state, Tensor.detach)


def moved(state: State, target: Target) -> State:
    """The same state on another device or in another dtype."""
    return map_tensors(state, lambda x: x.to(target))
