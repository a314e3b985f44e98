"""Scores of the last layer's spikes: their counts, or those of a readout."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.errors import SettingError
from izhi.hardware.core.arithmetic import following
from izhi.hardware.core.events import EventKind, events
from izhi.hardware.core.memories import LoadableMemory, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import CoreShape
from izhi.hardware.core.windows import pooled

#: Bits of a score.
SCORE_BITS = 32


class SpikeCounter(wiring.Component):
    """Counts the spikes of each neuron; at the end of an inference it sends the counts, the first neuron's first.

    Ports:
        input: events of the last layer.
        output: a score for each neuron.
        is_last: high with the last of them.
    """

    def __init__(self, shape: CoreShape) -> None:
        self.count = shape.scores
        super().__init__(
            {"input": In(events(self.count)), "output": Out(stream.Signature(signed(SCORE_BITS))), "is_last": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m, item = Module(), self.input
        m.submodules.counts = counts = memory.Memory(shape=unsigned(SCORE_BITS), depth=self.count, init=[])
        write = counts.write_port()
        read = counts.read_port(transparent_for=(write,))
        number, is_counted = Signal(range(max(2, self.count))), Signal()
        source_before = Signal.like(read.addr)
        is_last = number == self.count - 1
        m.d.comb += [
            read.addr.eq(number),
            write.addr.eq(source_before),
            write.data.eq(read.data + 1),
            write.en.eq(is_counted),
            self.output.payload.eq(read.data.as_signed()),
        ]
        m.d.sync += [is_counted.eq(0), source_before.eq(item.payload.source)]
        with m.FSM(init="erase"):
            with m.State("erase"):
                m.d.comb += [write.addr.eq(number), write.data.eq(0), write.en.eq(1)]
                m.d.sync += number.eq(following(number, self.count))
                with m.If(is_last):
                    m.next = "count"
            with m.State("count"):
                m.d.comb += [item.ready.eq(1), read.addr.eq(item.payload.source)]
                m.d.sync += is_counted.eq(item.valid & (item.payload.kind == EventKind.SPIKE))
                with m.If(item.valid & (item.payload.kind == EventKind.END)):
                    m.next = "fetch"
            with m.State("fetch"):
                m.next = "send"
            with m.State("send"):
                m.d.comb += [self.output.valid.eq(1), self.is_last.eq(is_last)]
                with m.If(self.output.ready):
                    m.d.sync += number.eq(following(number, self.count))
                    m.next = "fetch"
                    with m.If(is_last):
                        m.next = "erase"
        return m


class ReadoutUnit(wiring.Component):
    """score_j = multiplier_j · Σ weight[j, i] over all spikes + steps · bias_j.

    Ports:
        input, output, is_last: as of SpikeCounter.
        weights: fills the memory of weights: a word for each input, the first class lowest.
        constants: fills that of constants: a word for each class, the multiplier lowest, then the bias.

    Raises:
        SettingError: if a score could exceed 32 bits.
    """

    def __init__(self, shape: CoreShape) -> None:
        assert shape.readout is not None
        self.shape = r = shape.readout
        # Products may overflow 32 bits, and the lowest 32 bits of their sum are still right.
        if r.score_bits > SCORE_BITS:
            raise SettingError(f"scores may take {r.score_bits} bits, expected at most {SCORE_BITS}; use fewer steps")
        super().__init__(
            {
                "input": In(events(r.inputs)),
                "output": Out(stream.Signature(signed(SCORE_BITS))),
                "is_last": Out(1),
                "weights": In(loading(*r.weight_memory)),
                "constants": In(loading(*r.constant_memory)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, r = Module(), self.shape
        arriving = pooled(m, wiring.flipped(self.input), r.pools, r.steps)
        m.submodules.weights = weights = LoadableMemory(*r.weight_memory)
        m.submodules.constants = constants = LoadableMemory(*r.constant_memory)
        wiring.connect(m, wiring.flipped(self.weights), weights.fill)
        wiring.connect(m, wiring.flipped(self.constants), constants.fill)
        sums = Array(Signal(signed(r.accumulator_bits), name=f"sum_{j}") for j in range(r.outputs))
        steps, number = Signal(range(r.steps + 1)), Signal(range(max(2, r.outputs)))
        m.d.comb += constants.address.eq(number)
        is_spike = arriving.valid & arriving.ready & (arriving.payload.kind == EventKind.SPIKE)
        arrival = Pipeline(m)
        arrival.put(is_spike=is_spike, source=arriving.payload.source)
        arrival.advance()
        m.d.comb += weights.address.eq(arrival["source"])
        arrival.advance(weights.latency)
        with m.If(arrival["is_spike"]):
            for j in range(r.outputs):
                weight = weights.data[j * r.weight_bits : (j + 1) * r.weight_bits].as_signed()
                m.d.sync += sums[j].eq(sums[j] + weight)
        # The score of class ``number``, behind its constants and the weights of the last spike.
        line, word = Pipeline(m), constants.data
        line.advance(max(weights.latency + 1, constants.latency))
        multiplier, bias = word[: r.multiplier_bits].as_signed(), word[r.multiplier_bits :].as_signed()
        line.put(sum=sums[number], steps=steps, multiplier=multiplier, bias=bias)
        line.advance()
        line.multiply(scaled=("sum", "multiplier"), shift=("steps", "bias"))
        line.put(score=(line["scaled"] + line["shift"])[:SCORE_BITS].as_signed())
        line.advance()
        self._run(m, arriving, line, sums, steps, number)
        return m

    def _run(self, m: Module, arriving: Any, line: Pipeline, sums: Any, steps: Signal, number: Signal) -> None:
        """Add weights until an inference ends; then send the scores, and clear the sums."""
        kind, cycles, is_last = arriving.payload.kind, Signal(range(line.stage)), number == self.shape.outputs - 1
        m.d.comb += self.output.payload.eq(line["score"])
        with m.FSM(init="add"):
            with m.State("add"):
                m.d.comb += arriving.ready.eq(1)
                with m.If(arriving.valid & (kind == EventKind.STEP)):
                    m.d.sync += steps.eq(steps + 1)
                with m.If(arriving.valid & (kind == EventKind.END)):
                    m.next = "fetch"
            with m.State("fetch"):
                m.d.sync += cycles.eq(following(cycles, line.stage))
                with m.If(cycles == line.stage - 1):
                    m.next = "send"
            with m.State("send"):
                m.d.comb += [self.output.valid.eq(1), self.is_last.eq(is_last)]
                with m.If(self.output.ready):
                    m.next = "clear"
            with m.State("clear"):
                m.d.sync += [sums[number].eq(0), number.eq(Mux(is_last, 0, number + 1))]
                m.next = "fetch"
                with m.If(is_last):
                    m.d.sync += steps.eq(0)
                    m.next = "add"
