"""Numba's cache on disk: files that are empty or cut off are made anew, and never stop a run."""

import ctypes
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba import types

from izhi.compiled import callback, kept


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
    assert {file.suffix for file in files} == {".nbi", ".nbc"}
    for file in files:
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


def test_a_function_is_made_anew_when_a_file_changes_whose_functions_it_inlines(tmp_path):
    """Two plans of one function, each with an inlined one, and an intrinsic: those of the changed file alone."""
    package = tmp_path / "ours"
    package.mkdir()
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
        "import numba\nfrom izhi.compiled import kept\nfrom ours import one, other\n\n"
        "def made(scaled):\n    def kernel(x):\n        return scaled(x)\n    return kept(numba.njit(kernel))\n\n"
        "for plan in (made(one.scaled), made(other.scaled)):\n"
        "    print(plan(21), sum(plan.stats.cache_hits.values()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run():
        command = [sys.executable, "-m", "ours.kernel"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert run() == ["42", "0", "105", "0"]
    assert run() == ["42", "1", "105", "1"]
    package.joinpath("deep.py").write_text("def factor():\n    return 10\n")
    assert run() == ["210", "0", "105", "1"]
    assert run() == ["210", "1", "105", "1"]
