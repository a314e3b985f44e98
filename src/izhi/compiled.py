"""Functions that Numba compiles and keeps on disk; files of the cache that are damaged are as good as none.

The cache lies where Numba puts it: beside the source, in the user's cache, or in ``$NUMBA_CACHE_DIR``.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba.core import sigutils
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.typed_passes import NopythonRewrites
from numba.core.untyped_passes import InlineClosureLikes
from numba.extending import register_jitable

from izhi.processes import without_collection

Function = TypeVar("Function", bound=Callable[..., Any])


class _Pipeline(CompilerBase):  # type: ignore[misc]
    """Numba's, without what kernels have no use for: closures to inline, and expressions of whole arrays."""

    def define_pipelines(self) -> list[Any]:
        """The steps of a compilation."""
        steps = DefaultPassBuilder.define_nopython_pipeline(self.state)
        steps.passes = [step for step in steps.passes if step[0] not in (InlineClosureLikes, NopythonRewrites)]
        steps.finalize()
        return [steps]


def inlined(function: Function) -> Function:
    """For functions that compiled ones inline; they stay plain functions.

    A compiled function that captured another one would never be found again in the cache on disk, since Numba gives
    each a new name in each process. And where it called another one by name, that of two processes could be the same:
    of two closures of one function, both kept on disk and then loaded, one would run in place of the other.
    """
    marked: Function = register_jitable(
        error_model="numpy", forceinline=True, no_cfunc_wrapper=True, pipeline_class=_Pipeline
    )(function)
    return marked


#: Packages of the compiler and its numbers, whose versions Numba asks for itself.
_FOREIGN = ("numba", "llvmlite", "numpy")


def _sources(function: Callable[..., Any]) -> tuple[tuple[str, float, int], ...]:
    """Name, date and size of the files of a function and of all that it calls, but for those of the compiler."""
    sources, pending, seen = set(), [function], set[int]()
    while pending:
        one = pending.pop()
        for attribute in ("py_func", "_defn"):  # of what Numba compiles, and of its intrinsics
            one = getattr(one, attribute, one)
        is_ours = inspect.isfunction(one) and one.__module__.partition(".")[0] not in _FOREIGN
        if id(one) in seen or not (is_ours or isinstance(one, tuple)):
            continue
        seen.add(id(one))
        if isinstance(one, tuple):
            pending.extend(one)
        else:
            names = inspect.getclosurevars(one)
            pending += [*names.nonlocals.values(), *names.globals.values()]
            file = Path(one.__code__.co_filename)
            with contextlib.suppress(OSError):  # such as of a notebook
                sources.add((file.name, file.stat().st_mtime, file.stat().st_size))
    return tuple(sorted(sources))


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function, which is made anew where it cannot be read, and left out where it cannot be kept.

    Numba asks whether the file of the function has changed; this asks it of those that it inlines, too.
    """

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return (*super()._index_key(signature, codegen), _sources(self._py_func))

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return super().load_overload(signature, context)
        except Exception:  # pickle has many ways to fail on files that are empty or cut off
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        with contextlib.suppress(Exception):  # a full disk, say
            super().save_overload(signature, data)


def kept(function: Any) -> Any:
    """A function that ``numba.njit`` made, with its compiled code kept on disk if there is a folder for it."""
    with contextlib.suppress(RuntimeError, OSError):  # no such folder
        function._cache = _Cache(function.py_func)
    return function


def callback(signature: Any, function: Callable[..., Any], **options: Any) -> Any:
    """What ``numba.cfunc`` makes of a function, kept on disk if there is a folder for it."""
    made: Any = CFunc(
        function, sigutils.normalize_signature(signature), locals={}, options=options, pipeline_class=_Pipeline
    )
    with contextlib.suppress(RuntimeError, OSError):  # no such folder
        made._cache = _Cache(function)
    with without_collection():
        made.compile()
    return made
