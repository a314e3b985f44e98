"""What a process need not wait for while it begins and ends."""

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
    """Without looking for garbage among many new objects that stay, such as those of modules or of a compiler."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load(module: str) -> ModuleType:
    """A module that a command needs, with all that it imports, whose objects are never looked through for garbage."""
    if module not in sys.modules:
        with without_collection():
            import_module(module)
        gc.freeze()
        atexit.register(gc.unfreeze)  # what else ends this process may take them apart
    return sys.modules[module]


def end(status: int) -> NoReturn:
    """End as Python does, but leave the objects of every module to the system.

    Taking them apart one by one takes more than a second where torch is loaded.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):  # whoever reads them has ended
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


__all__ = ["end", "load", "without_collection"]
