"""Faster starts and ends of a process: no garbage collection of modules, no teardown of objects."""

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
    """Within it Python collects no garbage: objects of modules and compilers are many, and stay."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load(module: str) -> ModuleType:
    """Import a module with all its imports. The garbage collector never scans their objects."""
    if module not in sys.modules:
        with without_collection():
            import_module(module)
        gc.freeze()
        atexit.register(gc.unfreeze)  # for other ends of this process
    return sys.modules[module]


def end(status: int) -> NoReturn:
    """End the process as Python does, but without the teardown of objects: more than a second with torch."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):  # closed streams
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
