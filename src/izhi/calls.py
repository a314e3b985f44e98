"""Room for the frames of calls, which CPython else asks the system for again and again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Found = TypeVar("Found")

#: Width of a frame, in words: more than the calls of any program take together.
_WIDE = 2**16


def with_room(function: Callable[Given, Found]) -> Callable[Given, Found]:
    """The same function, with memory for the frames of its calls allocated in advance.

    CPython since 3.11 keeps frames in pieces of 16 KiB: it asks the system for one when a call does not fit the last
    one, and gives it back when that call returns. Where a loop's calls happen to cross the end of a piece they do so
    each time: fifty times in a training step, and for half the time of an interpreter such as Triton's. A frame that is
    wider than any piece gets one of twice its size, where all further calls fit.
    """

    def call(*args: Given.args, **kwargs: Given.kwargs) -> Found:
        return function(*args, **kwargs)

    call.__code__ = call.__code__.replace(co_stacksize=_WIDE)
    return functools.wraps(function)(call)


__all__ = ["with_room"]
