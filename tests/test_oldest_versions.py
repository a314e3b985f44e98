"""Izhi with the lowest versions of its dependencies that pyproject.toml declares, in an environment of their own.

make test-all makes it in .venv-oldest and names its Python in IZHI_OLDEST. torch is there the newest unless make is
called with NEWEST= (empty): the lowest one for Linux brings gigabytes of CUDA.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lowest_versions import lowest
from tiers import long_but

ROOT = Path(__file__).parents[1]
PYTHON = os.environ.get("IZHI_OLDEST") or None

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON is None, reason="IZHI_OLDEST names no Python with the oldest dependencies; make test-all makes one"
    ),
]


def run(*words, cwd):
    """What a command of that Python prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([PYTHON, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_versions_are_the_lowest(tmp_path):
    lines = [line.partition(";")[0].strip() for line in lowest(["events", "nir", "quantize"], ["torch"])]
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("tomli="))
    code = f"from importlib.metadata import version; print(*map(version, {list(pinned)}))"
    for name, version in zip(pinned, run("-c", code, cwd=tmp_path).split(), strict=True):
        assert re.fullmatch(re.escape(pinned[name]) + r"(\.0)*", version), f"{name} is {version}"


def test_every_room_imports_and_the_readme_runs(tmp_path):
    rooms = sorted(path.parent.name for path in (ROOT / "src" / "izhi").glob("*/__init__.py"))
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    imports = "\n".join(f"import izhi.{room}" for room in rooms if room not in ("explorer",))
    run("-W", "error:::izhi", "-c", f"{imports}\n{block}\nassert output.shape == (25, 32, 10)", cwd=tmp_path)


@pytest.mark.parametrize("neuron", long_but(["normalized"], ["lif", "normalized"]))
def test_from_training_to_integers(neuron, tmp_path):
    train = ["train", "--dataset", "digits", "--neuron", neuron, "--hidden", "32", "--steps", "10", "--epochs", "1",
             "--readout", "spikes"]  # fmt: skip
    run("-m", "izhi", *train, "--out", "run", cwd=tmp_path)
    run("-m", "izhi", "quantize", "run", "--weights", "4", "--states", "12", "--epochs", "1", "--out", "rounded",
        cwd=tmp_path)  # fmt: skip
    run("-m", "izhi", "export", "rounded", cwd=tmp_path)
    printed = run("-m", "izhi", "run", "rounded/network.izhi", "--samples", "50", "--compare", cwd=tmp_path)
    assert printed.count(" 0 different from the integer model") == 2
    assert "accuracy" in printed


@pytest.mark.parametrize(
    "files",
    [
        ["network/test_torch_modules.py", "network/test_rows.py", "neurons/test_lif.py", "neurons/test_own_loop.py"],
        ["exchange/test_nir.py", "experiments/test_settings.py", "test_sklearn.py"],
    ],
    ids=["networks", "files and estimators"],
)
def test_tests_pass(files, tmp_path):
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not long"]
    printed = run(*words, *(ROOT / "tests" / file for file in files), cwd=tmp_path)
    assert re.search(r"\d+ passed", printed)
