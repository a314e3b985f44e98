"""Scores of the last layer's spikes: their counts, or those of a readout."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import fitting, following, rounded_shift, saturated
from izhi.hardware.core.events import EventKind, events
from izhi.hardware.core.memories import LoadableMemory, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import SCORE_BITS, CoreShape, require_score
from izhi.hardware.core.windows import pooled
from izhi.hardware.fixed import FixedPoint


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


def scores_of(shape: CoreShape) -> SpikeCounter | ReadoutUnit:
    """The unit of a core's scores."""
    if shape.readout is None:
        return SpikeCounter(shape)
    return StepwiseReadout(shape) if shape.readout.is_stepwise else ReadoutUnit(shape)


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
        require_score(r)
        super().__init__(
            {
                "input": In(events(r.inputs)),
                "output": Out(stream.Signature(signed(SCORE_BITS))),
                "is_last": Out(1),
                "weights": In(loading(*r.weight_memory)),
                "constants": In(loading(*r.constant_memory)),
            }
        )

    def _add(self, m: Module) -> tuple[Any, Any, Any, LoadableMemory]:
        """Add the weights of spikes: arriving events, the sums, the latency of a spike, and the constants."""
        r = self.shape
        arriving = pooled(m, wiring.flipped(self.input), r.pools, r.steps)
        m.submodules.weights = weights = LoadableMemory(*r.weight_memory)
        m.submodules.constants = constants = LoadableMemory(*r.constant_memory)
        wiring.connect(m, wiring.flipped(self.weights), weights.fill)
        wiring.connect(m, wiring.flipped(self.constants), constants.fill)
        sums = Array(Signal(signed(r.accumulator_bits), name=f"sum_{j}") for j in range(r.outputs))
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
        return arriving, sums, weights.latency + 1, constants

    def elaborate(self, platform: object) -> Module:
        m, r = Module(), self.shape
        arriving, sums, latency, constants = self._add(m)
        steps, number = Signal(range(r.steps + 1)), Signal(range(max(2, r.outputs)))
        m.d.comb += constants.address.eq(number)
        # The score of class ``number``, behind its constants and the weights of the last spike.
        line, word = Pipeline(m), constants.data
        line.advance(max(latency, constants.latency))
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


class StepwiseReadout(ReadoutUnit):
    """Scores of each step as ``fixed.IntegerReadout`` has them, of which it sends the sums, the largest or the last.

    At the end of a step it computes one class in each cycle, and takes no events meanwhile. The sums of a membrane and
    the scores are in memories of their own.
    """

    def elaborate(self, platform: object) -> Module:
        m, r, number = Module(), self.shape, Signal(range(max(2, self.shape.outputs)))
        arriving, sums, latency, constants = self._add(m)
        runs, is_first = Signal(), Signal(init=1)
        line = Pipeline(m)
        line.put(is_valid=runs, is_first=is_first, number=number, total=sums[number])
        m.d.comb += constants.address.eq(number)
        line.later(constants.latency, constants=constants.data)
        traces = None
        if r.membrane is not None:
            traces = m.submodules.traces = LoadableMemory(r.membrane.trace.width, r.outputs)
            m.d.comb += traces.address.eq(number)
            line.later(traces.latency, trace=traces.data)
        line.advance(max(constants.latency, 1 if traces is None else traces.latency))
        at = 0
        for name, bits in r.bits.items():
            line.put(**{name: line["constants"][at : at + bits].as_signed()})
            at += bits
        self._step(line)
        # The score so far is read in the stages before the one that replaces it.
        m.submodules.scores = scores = LoadableMemory(SCORE_BITS, r.outputs)
        begin = line.stage
        line.advance(scores.latency)
        before, score = scores.data.as_signed(), line["score"]
        if r.reads == "sum":
            score = Mux(line["is_first"], score, score + before)[:SCORE_BITS].as_signed()
        elif r.reads == "max":
            score = Mux(line["is_first"] | (score > before), score, before)
        is_sending = Signal()
        m.d.comb += [
            scores.address.eq(Mux(is_sending, number, line.at("number", begin))),
            scores.fill.address.eq(line["number"]),
            scores.fill.word.eq(fitting(score, FixedPoint(SCORE_BITS, 0))),
            scores.fill.enable.eq(line["is_valid"]),
        ]
        if traces is not None:
            m.d.comb += [
                traces.fill.address.eq(line["number"]),
                traces.fill.word.eq(line["trace"]),
                traces.fill.enable.eq(line["is_valid"]),
            ]
        m.d.comb += self.output.payload.eq(Mux(is_first, 0, before))
        waits = latency, line.stage + 1, scores.latency
        self._control(m, arriving, sums, number, (runs, is_first, is_sending), waits)
        return m

    def _step(self, line: Pipeline) -> None:
        """The score of a step, and the sum of the membrane after it."""
        own = self.shape.membrane
        if own is None:
            line.advance()
            line.multiply(value=("total", "multiplier"))
        else:
            line.put(trace=Mux(line["is_first"], 0, line["trace"].as_signed()))
            line.advance()
            line.multiply(kept=("decay", "trace"))
            line.put(kept=rounded_shift(line["kept"], own.fraction))
            line.advance()
            line.put(whole=(line["total"] << own.trace.fraction) + line["kept"])
            line.advance()
            line.put(trace=saturated(line["whole"], own.trace))
            line.advance()
            line.multiply(value=("trace", "multiplier"))
            line.put(value=rounded_shift(line["value"], own.shift))
            line.advance()
            line.put(value=saturated(line["value"], own.current))
        line.advance()
        line.put(score=line["value"] + line["bias"])
        line.advance()

    def _control(
        self, m: Module, arriving: Any, sums: Any, number: Signal, flags: tuple[Signal, ...], waits: tuple[int, ...]
    ) -> None:
        """Add weights until a step ends, compute its scores; send them when an inference ends."""
        kind, cycles = arriving.payload.kind, Signal(range(max(waits) + 1))
        runs, is_first, is_sending = flags
        of_weights, of_scores, of_memory = waits
        last = number == self.shape.outputs - 1

        def wait(count: int, following_state: str) -> None:
            m.d.sync += cycles.eq(following(cycles, count))
            with m.If(cycles == count - 1):
                m.next = following_state

        with m.FSM(init="add"):
            with m.State("add"):
                m.d.comb += arriving.ready.eq(1)
                with m.If(arriving.valid & (kind == EventKind.STEP)):
                    m.next = "drain"
                with m.If(arriving.valid & (kind == EventKind.END)):
                    m.next = "fetch"
            with m.State("drain"):
                wait(of_weights, "compute")
            with m.State("compute"):
                m.d.comb += runs.eq(1)
                m.d.sync += number.eq(following(number, self.shape.outputs))
                with m.If(last):
                    m.next = "settle"
            with m.State("settle"):
                wait(of_scores, "clear")
            with m.State("clear"):
                m.d.sync += [is_first.eq(0), *(one.eq(0) for one in sums)]
                m.next = "add"
            with m.State("fetch"):
                m.d.comb += is_sending.eq(1)
                wait(of_memory, "send")
            with m.State("send"):
                m.d.comb += [is_sending.eq(1), self.output.valid.eq(1), self.is_last.eq(last)]
                with m.If(self.output.ready):
                    m.d.sync += number.eq(following(number, self.shape.outputs))
                    m.next = "fetch"
                    with m.If(last):
                        m.d.sync += is_first.eq(1)
                        m.next = "add"
