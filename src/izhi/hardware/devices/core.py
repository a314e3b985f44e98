"""The driver of Izhi's core, in simulation and on boards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from izhi.errors import DeviceError, ShapeError
from izhi.hardware.core import packets
from izhi.hardware.core.fit import fitted
from izhi.hardware.core.packets import Words
from izhi.hardware.core.protocol import COUNTERS, IDENTITY, VERSION, Control, Error, Register, Status
from izhi.hardware.core.shape import CoreShape, fingerprint
from izhi.hardware.devices.device import Counters, Device, RegisterBlock
from izhi.hardware.fixed import IntegerNetwork, Outcome, run_compiled
from izhi.hardware.fixed.network import check_input

#: Words of a packet, and packets, that a cleared core may still send.
_LEFT = 4
#: The most samples of one packet, with which the time between packets is negligible, and its most words in and out,
#: since DMA moves at most 64 MiB in a transfer.
SAMPLES, WORDS = 256, 1 << 23


class CoreTransport(RegisterBlock, Protocol):
    """Moves words to a core and from it."""

    def send(self, packet: Words) -> None:
        """Send a packet that has no answer."""

    def exchange(self, packet: Words, room: int) -> Words:
        """Send a packet of inferences; returns the answer, a packet of at most ``room`` words."""

    def receive(self, room: int) -> Words:
        """The next packet from the core, of at most ``room`` words."""

    def drop(self) -> None:
        """Abort transfers, and discard their words."""


class CoreDevice(Device[IntegerNetwork]):
    """A core behind its registers and streams.

    Args:
        name: of the device.
        block: the transport to it.
        shape: of the core.

    Raises:
        DeviceError: if the block is no core of Izhi, or one of another shape.
    """

    counters = Counters(0, 0, 0, 0)
    _is_lost = False

    def __init__(self, name: str, block: CoreTransport, shape: CoreShape) -> None:
        self.name, self.block, self.shape = name, block, shape
        for register, expected in (
            (Register.IDENTITY, IDENTITY),
            (Register.VERSION, VERSION),
            (Register.FINGERPRINT, fingerprint(shape)),
        ):
            value = block.read(register)
            if value != expected:
                raise DeviceError(
                    f"the device {name} answers 0x{value:08X} for {register.name}, expected"
                    f" 0x{expected:08X}: it holds another core; load the bitstream that belongs to core.json"
                )
        self._recover()

    def _control(self, *bits: Control) -> None:
        self.block.write(Register.CONTROL, sum(1 << bit for bit in (Control.RUN, *bits)))

    def _check(self) -> None:
        """Raise DeviceError if the core discarded a packet, and clear the error."""
        error = (self.block.read(Register.STATUS) >> Status.ERROR) & 7
        if error:
            self._control(Control.ACKNOWLEDGE)
            about = Error(error).about if error in list(Error) else f"error {error}, which this driver does not know"
            raise DeviceError(f"the device {self.name} refused a packet: {about}")

    @contextlib.contextmanager
    def _in_step(self) -> Iterator[None]:
        """An exception may leave words in the core or in transfers: they are discarded before the next transfer."""
        if self._is_lost:
            self._recover()
        self._is_lost = True
        yield
        self._is_lost = False

    def _recover(self) -> None:
        """Discard inferences and transfers; the core's counters start at 0."""
        self.block.drop()
        self._control(Control.CLEAR, Control.ACKNOWLEDGE)
        for _ in range(_LEFT):
            if not self.block.read(Register.STATUS) >> Status.ANSWERING & 1:
                break
            self.block.receive(_LEFT)
        else:
            raise DeviceError(f"the device {self.name} goes on answering though it was cleared; load the overlay anew")
        self.block.drop()  # DMA may have fetched words before they were requested.
        self._counted, self._is_lost = [0] * len(COUNTERS), False

    def _write(self, memories: Iterable[tuple[int, Words]]) -> None:
        """Fill memories by their numbers; the device holds no network if that fails."""
        self._network = None
        with self._in_step():
            for number, words in memories:
                self.block.send(packets.write(number, words))
            self._check()

    def _load(self, network: IntegerNetwork, steps: int) -> None:
        whole = fitted(self.shape, network, steps)
        self.clear()
        self._write(enumerate(packets.memories(self.shape, whole)))

    def write_weights(self, layer: int, weight: NDArray[np.integer]) -> None:
        network = self.network.with_weights(layer, weight)
        whole = fitted(self.shape, network, self._steps)
        number = self.shape.memory_of(layer)
        self._write([(number, packets.memory(self.shape, whole, number))])
        self._network = network

    def run(self, inputs: NDArray[np.integer], *, sends_spikes: bool = False) -> Outcome:
        self._check_spikes(inputs)
        spikes, steps, of_steps = inputs, len(inputs), self.network.reads == "steps"
        sends = sends_spikes or of_steps
        if self._is_lost:
            self._recover()
        self._control(*([Control.SENDS_SPIKES] if sends else []))
        self.block.write(Register.STEPS, steps)
        outcomes = []
        for start, stop in self._packets(spikes, sends):
            with self._in_step():
                outcomes.append(self._infer(spikes[:, start:stop], steps, sends))
        outcome = self._joined(outcomes, len(self.network.layers) if sends else 0)
        return self._with_scores_of_steps(outcome, sends_spikes) if of_steps and outcomes else outcome

    def _with_scores_of_steps(self, outcome: Outcome, sends_spikes: bool) -> Outcome:
        """The outcome with the scores of each step, which follow from the last layer's spikes.

        The core has those of a readout's last step, which must be the same.
        """
        network, last = self.network, outcome.spikes[-1]
        if network.readout is None:
            scores = network.read(last)
        else:
            scores = run_compiled(replace(network, layers=()), last).scores
            if not np.array_equal(scores[:, -1], outcome.scores):
                raise DeviceError(f"the device {self.name} gives other scores than its spikes do; {self.remedy}")
        return Outcome(scores, outcome.spikes if sends_spikes else [])

    def _infer(self, spikes: NDArray[np.integer], steps: int, sends_spikes: bool) -> Outcome:
        """The outcome of one packet of samples."""
        size = spikes.shape[1]
        words = packets.inferences(spikes, self.shape.layers[0].spikes)
        answer = self.block.exchange(words, packets.room(self.shape, steps, size, sends_spikes))
        self._check()
        self._count()
        try:
            return packets.outcome(self.shape, answer, steps, size, sends_spikes)
        except (ValueError, IndexError) as error:
            raise DeviceError(f"the device {self.name} sent a broken answer: {error}") from None

    def _packets(self, spikes: NDArray[np.integer], sends_spikes: bool) -> Iterator[tuple[int, int]]:
        """First and last sample of each packet."""
        steps, batch, _ = spikes.shape
        events = np.concatenate([[0], (np.count_nonzero(spikes, (0, 2)) + steps + 1).cumsum()])
        most = max(1, min(SAMPLES, WORDS // packets.room(self.shape, steps, 1, sends_spikes)))
        start = 0
        while start < batch:
            within = int(np.searchsorted(events, events[start] + WORDS, "right")) - 1
            stop = max(start + 1, min(start + most, within))
            yield start, stop
            start = stop

    def _check_spikes(self, spikes: NDArray[np.integer]) -> None:
        check_input(self.network, spikes)
        if spikes.shape[0] > self.shape.steps:
            raise ShapeError(f"spikes have {spikes.shape[0]} steps, expected at most the core's {self.shape.steps}")
        most = self.shape.layers[0].largest_input
        if spikes.size and spikes.max() > most:
            raise ShapeError(f"an input fires {spikes.max()} times in a step, expected at most the core's {most}")

    def _joined(self, outcomes: list[Outcome], layers: int) -> Outcome:
        """The outcome of all packets, without the further inputs and neurons of a larger core."""
        network = self.network
        last = network.outputs
        scores = [x.scores[:, :last] for x in outcomes] or [np.zeros((0, last), np.int64)]
        spikes = [
            np.concatenate([x.spikes[k][..., : network.layers[k].outputs] for x in outcomes], 1)
            for k in range(layers if outcomes else 0)
        ]
        return Outcome(np.concatenate(scores), spikes)

    def _count(self) -> None:
        """Add up the counters, which overflow at 32 bits."""
        now = [self.block.read(register) for register in COUNTERS]
        more = ((n - was) % (1 << 32) for n, was in zip(now, self._counted, strict=True))
        self.counters = Counters(*(total + n for total, n in zip(astuple(self.counters), more, strict=False)))
        self._counted = now

    def close(self) -> None:
        self.block.close()

    def clear(self) -> None:
        self._recover()
        super().clear()
