"""Numba's cache on disk: files that are empty or cut off are made anew, and never stop a run."""

import ctypes

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
