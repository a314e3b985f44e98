"""Memory for the frames of calls, allocated once in place of again and again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: Size of a frame, in words: more than the nested calls of any program.
_WIDE = 2**16


def with_room(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same function with memory allocated in advance for the frames of its calls.

    CPython since 3.11 allocates frames in chunks of 16 KiB. It allocates a chunk when a call does not fit the last one,
    and frees it when that call returns. If the calls of a loop cross the end of a chunk, each iteration allocates one:
    fifty times in a training step, and half the time of an interpreter such as Triton's. A frame larger than a chunk
    gets one of twice its size, where all further calls fit.
    """

    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return function(*args, **kwargs)

    call.__code__ = call.__code__.replace(co_stacksize=_WIDE)
    return functools.wraps(function)(call)
