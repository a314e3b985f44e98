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


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.slow)])
def kernels_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays and pools by the kernels of a device; those of a GPU in Triton's interpreter."""
    if request.param == "cuda":
        pytest.importorskip("triton")
        monkeypatch.setattr("izhi.kernels.device.device_of_kernels", lambda *_: ("cuda", ""))
