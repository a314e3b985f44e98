"""On import: trains a small network, so that processes forked afterwards have the libraries of most commands."""

import contextlib
import gc
import io
import os
import tempfile

import h5py  # noqa: F401

from izhi.cli import main

with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    words = ["train", "--dataset", "iris", "--hidden", "4", "--steps", "4", "--epochs", "1", "--quiet"]
    assert main([*words, "--out", os.path.join(folder, "run")]) == 0
gc.collect()
gc.freeze()
