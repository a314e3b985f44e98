"""Numba's cache on disk: files that are empty or cut off are made anew, and never stop a run."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from filelock import FileLock, Timeout
from numba import types
from numba.core.compiler_lock import global_compiler_lock

import izhi
from izhi import compiled
from izhi.compiled import callback, kept

SOURCES = Path(izhi.__file__).parents[1]


def double(x):
    return 2 * x


def doubles(data):
    data[0] *= 2


def through_njit():
    function = kept(numba.njit(double))
    assert function(21) == 42
    return sum(function.stats.cache_hits.values())


def through_cfunc():
    function = callback(types.void(types.CPointer(types.int64)), doubles)
    data = np.array([21])
    function.ctypes(data.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)))
    assert data[0] == 42
    return function.cache_hits


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file):
    file.write_bytes(b"")


def overwrite(file):
    file.write_bytes(b"nothing of the kind")


@pytest.mark.parametrize("run", [through_njit, through_cfunc])
def test_damaged_files_of_the_cache_are_made_anew(tmp_path, monkeypatch, run):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert run() == 0
    assert run() == 1
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".nbc", ".lock"}
    for file in tmp_path.rglob("*.nbc"):
        for damage in (cut, empty, overwrite, type(file).unlink):
            damage(file)
            assert run() == 0
            assert run() == 1


@pytest.mark.parametrize("run", [through_njit, through_cfunc])
def test_a_cache_that_cannot_be_written_is_left_out(tmp_path, monkeypatch, run):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    run()
    monkeypatch.setattr("izhi.compiled._Cache.flush", lambda self: refuse())
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", lambda self, path: refuse())
    for file in tmp_path.rglob("*.nb?"):
        empty(file)
    assert run() == 0


def refuse():
    raise OSError(28, "No space left on device")


def package_in(folder):
    """A package of two plans of one function, each with an inlined one, and a constant."""
    package = folder / "ours"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").touch()
    package.joinpath("deep.py").write_text("def factor():\n    return 2\n")
    package.joinpath("one.py").write_text(
        "from izhi.compiled import inlined\nfrom ours.deep import factor\n\n"
        "factor = inlined(factor)\n\n@inlined\ndef scaled(x):\n    return factor() * x\n"
    )
    package.joinpath("other.py").write_text(
        "from izhi.compiled import inlined\n\n@inlined\ndef scaled(x):\n    return 5 * x\n"
    )
    package.joinpath("kernel.py").write_text(
        "import numba\nfrom izhi.compiled import kept\nfrom ours import one, other\n\nLIMIT = 1000\n\n"
        "def made(scaled):\n    def kernel(x):\n        return min(scaled(x), LIMIT)\n"
        "    return kept(numba.njit(kernel))\n\n"
        "for plan in (made(one.scaled), made(other.scaled)):\n"
        "    print(plan(21), sum(plan.stats.cache_hits.values()))\n"
    )
    return package


def environment(folder, cache):
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{SOURCES}", "NUMBA_CACHE_DIR": str(cache)}


def run_in(folder, cache):
    """What the plans return, and how many of them were compiled before."""
    command = [sys.executable, "-m", "ours.kernel"]
    done = subprocess.run(command, env=environment(folder, cache), capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
def test_a_function_is_made_anew_when_what_it_is_made_of_changes(tmp_path):
    package, cache = package_in(tmp_path), tmp_path / "cache"
    assert run_in(tmp_path, cache) == ["42", "0", "105", "0"]
    assert run_in(tmp_path, cache) == ["42", "1", "105", "1"]
    deep, kernel = package / "deep.py", package / "kernel.py"
    before = deep.read_text()
    deep.write_text("def factor():\n    return 10\n")
    assert run_in(tmp_path, cache) == ["210", "0", "105", "1"]
    assert run_in(tmp_path, cache) == ["210", "1", "105", "1"]
    deep.write_text(before)
    assert run_in(tmp_path, cache) == ["42", "1", "105", "1"]
    kernel.write_text(kernel.read_text().replace("LIMIT = 1000", "LIMIT = 50"))
    assert run_in(tmp_path, cache) == ["42", "0", "50", "0"]


@pytest.mark.slow
def test_copies_of_a_program_share_compiled_functions(tmp_path):
    for folder, hits in (("one", "0"), ("other", "1")):
        package_in(tmp_path / folder)
        assert run_in(tmp_path / folder, tmp_path / "cache") == ["42", hits, "105", hits]


@pytest.mark.slow
def test_two_processes_compile_a_function_once(tmp_path):
    package_in(tmp_path)
    command, options = [sys.executable, "-m", "ours.kernel"], {"env": environment(tmp_path, tmp_path / "cache")}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) for _ in range(2)]
    results = [process.communicate()[0].split() for process in both]
    for plan in (0, 2):
        assert {result[plan] for result in results} == {("42", "", "105")[plan]}
        assert sorted(result[plan + 1] for result in results) == ["0", "1"]
    assert len(list((tmp_path / "cache").glob("*.nbc"))) == 2


def test_what_was_used_least_recently_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    through_njit()
    (first,) = tmp_path.glob("*.nbc")
    monkeypatch.setattr("izhi.compiled._LIMIT", first.stat().st_size * 3)
    old, new = tmp_path / "old.nbc", tmp_path / "new.nbc"
    for number, file in enumerate((old, first, new)):
        file.touch()
        os.truncate(file, first.stat().st_size)
        os.utime(file, (number, number))
    assert through_njit() == 1  # the file counts as used now
    through_cfunc()
    assert not old.exists()
    assert first.exists()


@pytest.fixture
def in_vain(tmp_path, monkeypatch):
    """Locks of an empty cache that were waited for in vain."""
    found = []

    class Watched(FileLock):
        def acquire(self, *words, **options):
            try:
                return super().acquire(*words, **options)
            except Timeout:
                found.append(self.lock_file)
                raise

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiled, "FileLock", Watched)
    monkeypatch.setattr(compiled, "_PATIENCE", 2.0)
    return found


def test_threads_that_compile_a_function_at_once_do_not_wait_for_each_other(in_vain):
    function = kept(numba.njit(double))
    other = threading.Thread(target=function, args=(21,))
    with global_compiler_lock:  # as while it compiles what calls the function
        other.start()
        time.sleep(0.2)
        assert function(21) == 42
    other.join()
    assert in_vain == []


def test_a_function_may_share_its_lock_with_one_that_it_calls(in_vain, monkeypatch):
    monkeypatch.setattr(compiled._Cache, "_identity", "00")
    called = kept(numba.njit(double))

    def quadruple(x):
        return called(called(x))

    assert kept(numba.njit(quadruple))(21) == 84
    assert in_vain == []
