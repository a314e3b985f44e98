"""Shared fixtures: the folder of real data, small networks, a quiet Fabric."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

# Tests run side by side: more threads than cores would make each other wait. Processes started by tests
# read the variable.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
# Simulated cores are small here: compiling them takes longer than running them.
os.environ.setdefault("CXXFLAGS", "-O0")
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    root = os.environ.get("IZHI_DATA")
    if not root or not Path(root, "mnist").is_dir():
        pytest.skip("IZHI_DATA names no folder with mnist/; real data is needed here")
    return Path(root)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
