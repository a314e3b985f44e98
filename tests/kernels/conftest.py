"""The kernels by which neurons are run, by name."""

from __future__ import annotations

import pytest

import numpy_kernels


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are not about neurons' loops, threads and memory."""
    numpy_kernels.use(monkeypatch)


@pytest.fixture
def kernel(request: pytest.FixtureRequest) -> str:
    """For parameters that are passed through it: of "numpy" those of a CPU, which NumPy computes uncompiled."""
    if request.param == "numpy":
        request.getfixturevalue("uncompiled")
        return "cpu"
    return str(request.param)
