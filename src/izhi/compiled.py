"""Functions that Numba compiles, and whose machine code is kept on disk under a name made of its content.

A file's name is a hash of the sources of a function and of all that it calls, its closure, its argument types, the CPU
and the versions of the compiler: two copies of a program share machine code, and a changed source never meets that of
before. The files lie in ``$NUMBA_CACHE_DIR``, else in ``kernels/`` of Izhi's cache folder. One process compiles a
function while others that need it wait. A damaged file is replaced; those used least recently are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
import numpy
from filelock import FileLock, Timeout
from numba.core import config, sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.ccallback import CFunc
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.serialize import dumps
from numba.core.typed_passes import NopythonRewrites
from numba.core.untyped_passes import InlineClosureLikes
from numba.extending import register_jitable

from izhi import files
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


#: Packages of the compiler and its numbers, whose versions are part of every name.
_FOREIGN = (numba, llvmlite, numpy)
_FOREIGN_NAMES = tuple(module.__name__ for module in _FOREIGN)
#: Bytes of all files; above, those used least recently are removed.
_LIMIT = 2**30
#: Seconds after which a process compiles what another one has not finished.
_PATIENCE = 120.0


@lru_cache
def _checksum(file: str, date: float, size: int) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _made_of(function: Callable[..., Any]) -> list[tuple[str, str]]:
    """Files of a function and of all that it calls, by their content, and the constants that it reads."""
    parts, pending, seen = set(), [function], set[int]()
    while pending:
        one = pending.pop()
        for attribute in ("py_func", "_defn"):  # of what Numba compiles, and of its intrinsics
            one = getattr(one, attribute, one)
        is_ours = inspect.isfunction(one) and one.__module__.partition(".")[0] not in _FOREIGN_NAMES
        if id(one) in seen or not (is_ours or isinstance(one, tuple)):
            continue
        seen.add(id(one))
        if isinstance(one, tuple):
            pending.extend(one)
        else:
            names = inspect.getclosurevars(one)
            pending += [*names.nonlocals.values(), *names.globals.values()]
            parts |= {(name, repr(x)) for name, x in names.globals.items() if isinstance(x, int | float | str)}
            file = Path(one.__code__.co_filename)
            with contextlib.suppress(OSError):  # such as of a notebook
                found = file.stat()
                parts.add((file.name, _checksum(str(file), found.st_mtime, found.st_size)))
    return sorted(parts)


class _Locator(_CacheLocator):  # type: ignore[misc]
    """One folder for all functions, wherever their sources are."""

    def get_cache_path(self) -> str:
        return str(config.CACHE_DIR or files.cache_folder() / "kernels")

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return ""

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Locator:
        locator = cls()
        locator.ensure_cache_path()
        return locator


class _Results(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Files:
    """Data by keys, each in a file of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name

    def _file(self, key: str) -> Path:
        return self.folder / f"{self.name}.{key}.nbc"

    def load(self, key: str) -> Any:
        file = self._file(key)
        if not file.exists():
            return None
        data = pickle.loads(file.read_bytes())
        os.utime(file)
        return data

    def save(self, key: str, data: Any) -> None:
        files.write_bytes(self._file(key), pickle.dumps(data))
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        found = {file: file.stat() for file in self.folder.glob("*.nbc")}
        size = sum(stat.st_size for stat in found.values())
        for file in sorted(found, key=lambda file: found[file].st_mtime):
            if size <= _LIMIT:
                break
            size -= found[file].st_size
            file.unlink(missing_ok=True)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function with a file for each signature.

    Numba lists the files of a function in another one, in which two processes lose each other's lines.
    """

    _impl_class = _Results
    _is_alone = False  # of the thread that holds the compiler

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        name = f"{Path(function.__code__.co_filename).stem}.{function.__qualname__}"
        self._cache_file = _Files(Path(self.cache_path), name.replace("<", "").replace(">", ""))

    @cached_property
    def _identity(self) -> str:
        """A hash of all that the function is made of."""
        closure = tuple(cell.cell_contents for cell in self._py_func.__closure__ or ())
        versions = [sys.implementation.cache_tag, *(module.__version__ for module in _FOREIGN)]
        inputs = repr([versions, _made_of(self._py_func)]).encode() + dumps((self._py_func.__code__.co_code, closure))
        return hashlib.sha256(inputs).hexdigest()

    def _index_key(self, signature: Any, codegen: Any) -> str:
        inputs = repr([self._identity, signature, codegen.magic_tuple()])
        return hashlib.sha256(inputs.encode()).hexdigest()[:32]

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The result for a signature; None if there is none that can be read."""
        try:
            return super().load_overload(signature, context)
        except Exception:  # pickle has many ways to fail on files that are empty or cut off
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep a result, if that is possible."""
        with contextlib.suppress(Exception):  # a full disk, say
            super().save_overload(signature, data)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no other thread compiles, and no other process compiles this function, if the folder can be locked.

        Functions that it calls are compiled under its own lock: of two processes, each could wait for the other's.
        The compiler comes first: a thread that waited for it and held a file would keep the one that compiles waiting.
        """
        with global_compiler_lock, contextlib.ExitStack() as stack:
            if not _Cache._is_alone:
                with contextlib.suppress(OSError, Timeout):
                    name = f"{self._identity[:2]}.lock"
                    stack.enter_context(FileLock(Path(self.cache_path) / name, timeout=_PATIENCE))
                _Cache._is_alone = True
                stack.callback(setattr, _Cache, "_is_alone", False)
            yield


def _keep(compiling: Any, function: Callable[..., Any]) -> None:
    """Keep what Numba compiles of a function, if there is a folder for it."""
    with contextlib.suppress(RuntimeError, OSError):  # no such folder
        cache = compiling._cache = _Cache(function)
        compile_now = compiling.compile

        @wraps(compile_now)
        def compile_alone(*signature: Any) -> Any:
            with cache.alone():
                return compile_now(*signature)

        compiling.compile = compile_alone


def kept(function: Any) -> Any:
    """A function that ``numba.njit`` made, with its compiled code kept on disk if there is a folder for it."""
    _keep(function, function.py_func)
    return function


def callback(signature: Any, function: Callable[..., Any], **options: Any) -> Any:
    """What ``numba.cfunc`` makes of a function, kept on disk if there is a folder for it."""
    made: Any = CFunc(
        function, sigutils.normalize_signature(signature), locals={}, options=options, pipeline_class=_Pipeline
    )
    _keep(made, function)
    with without_collection():
        made.compile()
    return made
