"""A core in simulation, cycle for cycle, at millions of cycles a second. Needs numpy alone."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from izhi.errors import SimulatorError
from izhi.hardware.core.packets import Words
from izhi.hardware.core.protocol import COUNTERS, Opcode, Register, Status
from izhi.hardware.core.shape import CoreShape

T = TypeVar("T")
#: Cycles without a word in or out after which a transfer fails, beyond those that a time step may take, and the
#: interval of cycles in which it is checked that combinational logic settles, besides the first ones of a transfer.
PATIENCE, CHECK_EVERY = 1 << 20, 256


class SimulatedCore:
    """The block of AXI as ``izhi.hardware.core.compile.library`` compiled it, and a master of its three buses.

    Args:
        library: the compiled core.
        shape: of the core.
        pauses: shares, of 256, of the cycles in which input and output pause.
        seed: of the pauses.
        patience: cycles without a word in or out after which a transfer fails; None for more than a time step takes.
        check_every: interval of cycles in which it is checked that one evaluation settles the combinational logic.

    Raises:
        SimulatorError: here and in every call, if the logic does not settle.
    """

    def __init__(
        self, library: Path, shape: CoreShape, *, pauses: tuple[int, int] = (0, 0), seed: int = 1,
        patience: int | None = None, check_every: int = CHECK_EVERY,
    ) -> None:  # fmt: skip
        self.shape, self.pauses = shape, pauses
        self.patience = PATIENCE + _cycles_of_step(shape) if patience is None else patience
        self._library = f = ctypes.CDLL(str(library))
        f.simulator_create.restype = ctypes.c_void_p
        f.simulator_cycles.restype = ctypes.c_uint64
        f.simulator_run.restype = f.simulator_states.restype = ctypes.c_size_t
        self._core = ctypes.c_void_p(f.simulator_create(ctypes.c_uint64(check_every)))
        f.simulator_seed(self._core, seed)
        self._check()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the core, which cannot be used any more."""
        core = self.__dict__.pop("_core", None)
        if core is not None:
            self._library.simulator_destroy(core)

    def _check(self) -> None:
        """Raise SimulatorError if values still changed when the combinational logic was evaluated again."""
        if not self._library.simulator_is_settled(self._core):
            raise SimulatorError(
                f"the core's combinational logic does not settle in one evaluation, found in cycle"
                f" {self.cycles:,} at the latest: a wire feeds back on itself; report it with the core.json"
            )

    @property
    def cycles(self) -> int:
        """Clock cycles so far."""
        return int(self._library.simulator_cycles(self._core))

    def reset(self) -> None:
        """Reset the core by aresetn: everything but the contents of memories."""
        self._library.simulator_reset(self._core)
        self._check()

    def read(self, register: int) -> int:
        """The value of a register.

        Raises:
            SimulatorError: if the core answers that it does not exist.
        """
        value = ctypes.c_uint32()
        answer = self._library.simulator_read(self._core, int(register), ctypes.byref(value))
        self._require(answer, f"register 0x{int(register):02X} cannot be read")
        return value.value

    def write(self, register: int, value: int) -> None:
        """Write a register.

        Raises:
            SimulatorError: if the core answers that it cannot be written.
        """
        answer = self._library.simulator_write(self._core, int(register), ctypes.c_uint32(value))
        self._require(answer, f"register 0x{int(register):02X} cannot be written")

    def _require(self, answer: int, problem: str) -> None:
        self._check()
        if answer:
            raise SimulatorError(f"{problem}: {({2: 'SLVERR', 3: 'DECERR'}).get(answer, 'no answer')}")

    def send(self, packet: Words) -> None:
        """Send a packet that nothing answers."""
        self.stream(packet, np.arange(len(packet)) == len(packet) - 1)

    def exchange(self, packet: Words, room: int) -> Words:
        """Send a packet of inferences; the packet that answers it, of at most ``room`` words."""
        out, _ = self.stream(packet, np.arange(len(packet)) == len(packet) - 1, 1, room)
        return out

    def receive(self, room: int) -> Words:
        """The packet that the core sends next, of at most ``room`` words."""
        out, _ = self.stream(np.zeros(0, np.uint32), np.zeros(0, np.bool_), 1, room)
        return out

    def drop(self) -> None:
        """Nothing to discard: a transfer that fails withdraws the words that were not accepted."""

    def stream(
        self, words: Words, last: NDArray[np.bool_], packets: int = 0, room: int = 0
    ) -> tuple[Words, NDArray[np.bool_]]:
        """Send words, and wait until all are accepted and so many packets have arrived.

        Args:
            words: to send.
            last: which of them are the last of a packet.
            packets: expected in answer.
            room: their words at most.

        Returns:
            the words that arrived, and which of them are the last of a packet.

        Raises:
            SimulatorError: if the core stops, or there is no room.
        """
        words, ends = np.ascontiguousarray(words, np.uint32), np.ascontiguousarray(last, np.uint8)
        out, out_ends = np.empty(room + 1, np.uint32), np.empty(room + 1, np.uint8)
        accepted = ctypes.c_size_t()
        pointers = [x.ctypes.data_as(ctypes.c_void_p) for x in (words, ends, out, out_ends)]
        count = self._library.simulator_run(
            self._core, pointers[0], pointers[1], ctypes.c_size_t(len(words)), ctypes.c_size_t(packets),
            pointers[2], pointers[3], ctypes.c_size_t(len(out)), ctypes.c_uint64(self.patience),
            self.pauses[0], self.pauses[1], ctypes.byref(accepted),
        )  # fmt: skip
        self._check()
        ended = int(out_ends[:count].sum())
        if accepted.value < len(words) or ended < packets:
            raise SimulatorError(
                f"the core took {accepted.value:,} of {len(words):,} words and sent {ended:,} of {packets:,}"
                f" packets, {count:,} words, and then nothing for {self.patience:,} cycles"
            )
        return out[:count], out_ends[:count].astype(bool)

    def states(self) -> NDArray[np.int32]:
        """Layer, neuron and states of each update since the last call, two or more of them; see ``shows_states``."""
        count = self._library.simulator_states(self._core, None, ctypes.c_size_t(0))
        out = np.empty(count, np.int32)
        self._library.simulator_states(self._core, out.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(count))
        return out.reshape(-1, 2 + max(2, *(len(layer.states) for layer in self.shape.layers)))


class SimulatedCopies:
    """Simulated cores that are written alike and share the inferences of a packet, each on a thread of its own.

    They look like one core: its counters are their sums, its answer is theirs in the order of the inferences.
    """

    def __init__(self, cores: Sequence[SimulatedCore]) -> None:
        self._cores, self._pool = list(cores), ThreadPoolExecutor(len(cores))

    def read(self, register: int) -> int:
        values = [core.read(register) for core in self._cores]
        if register in COUNTERS:
            return sum(values) & 0xFFFF_FFFF
        return reduce(or_, values) if register == Register.STATUS else values[0]

    def write(self, register: int, value: int) -> None:
        for core in self._cores:
            core.write(register, value)

    def send(self, packet: Words) -> None:
        self._each(lambda core, packet: core.send(packet), [packet] * len(self._cores))

    def exchange(self, packet: Words, room: int) -> Words:
        ends = np.flatnonzero(packet >> 28 == Opcode.END) + 1
        last = [part[-1] for part in np.array_split(ends, len(self._cores)) if len(part)]
        return np.concatenate(self._each(lambda core, part: core.exchange(part, room), np.split(packet, last[:-1])))

    def _each(self, task: Callable[[SimulatedCore, Words], T], packets: Sequence[Words]) -> list[T]:
        """The results of a core for each packet; after an error none is still at work."""
        futures = [self._pool.submit(task, core, packet) for core, packet in zip(self._cores, packets, strict=False)]
        wait(futures)
        return [future.result() for future in futures]

    def receive(self, room: int) -> Words:
        answering = [core for core in self._cores if core.read(Register.STATUS) >> Status.ANSWERING & 1]
        return np.concatenate([np.zeros(0, np.uint32), *(core.receive(room) for core in answering)])

    def drop(self) -> None:
        """Nothing to discard, see ``SimulatedCore.drop``."""

    def close(self) -> None:
        self._pool.shutdown()
        for core in self._cores:
            core.close()


def _cycles_of_step(shape: CoreShape) -> int:
    """The most cycles of a time step, in which a core with delays takes no word: every source fires, to all lanes in
    turn, and then all neurons are updated."""
    return sum((s.features + s.feedback) * s.sums + s.outputs for s in shape.layers)
