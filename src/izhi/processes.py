"""Faster start and end of a process."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import NoReturn


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """A context without garbage collection, for many new objects that are kept, such as modules."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load(module: str) -> ModuleType:
    """A module with its imports, excluded from garbage collection."""
    if module not in sys.modules:
        with without_collection():
            import_module(module)
        gc.freeze()
        atexit.register(gc.unfreeze)  # for another end of this process
    return sys.modules[module]


def end(status: int) -> NoReturn:
    """End the process like Python, but without destroying the objects of every module.

    Destroying them takes more than a second if torch is loaded.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):  # the reader has ended
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


__all__ = ["end", "load", "without_collection"]
