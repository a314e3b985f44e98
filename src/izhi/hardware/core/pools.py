"""Pools: the feature behind a pool to which each spike belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.block_memory import NEVER_AT_ONCE
from izhi.hardware.core.events import EventKind, event, events
from izhi.hardware.core.features import divide, locate, narrowed, numbered
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.skid_buffer import SkidBuffer
from izhi.hardware.fixed import Pool


class PoolUnit(wiring.Component):
    """Spikes of features in, spikes of pooled features out; windows do not overlap.

    A sum passes each spike on. A maximum of zeros and ones passes the first spike of a window on: a memory holds the
    step, counted from 1, in which that last happened.

    Ports:
        input, output: events.

    Args:
        pool: its window, and sum or maximum.
        steps: the most of an inference.
    """

    def __init__(self, pool: Pool, steps: int) -> None:
        self.pool, self.steps = pool, steps
        super().__init__({"input": In(events(pool.window.inputs)), "output": Out(events(pool.outputs))})

    def elaborate(self, platform: object) -> Module:
        m, window = Module(), self.pool.window
        m.submodules.buffer = buffer = SkidBuffer(event(self.pool.outputs))
        wiring.connect(m, buffer.output, wiring.flipped(self.output))
        is_held = Signal()
        moves = buffer.input.ready & ~is_held
        line = Pipeline(m, moves)
        arriving = self.input.payload
        m.d.comb += self.input.ready.eq(moves)
        line.put(is_there=self.input.valid, kind=arriving.kind, source=narrowed(arriving.source, window.inputs))
        locate(line, window)
        divide(line, "y", window.height, window.stride[0], "row", "in_row")
        divide(line, "x", window.width, window.stride[1], "column", "in_column")
        is_seen = (
            (line["row"] < window.down) & (line["column"] < window.across)
            & (line["in_row"] < window.kernel[0]) & (line["in_column"] < window.kernel[1])
        )  # fmt: skip
        line.put(is_spike=line["kind"] == EventKind.SPIKE)
        line.put(is_there=line["is_there"] & (~line["is_spike"] | is_seen))
        numbered(line, "channel", "row", "column", window.down, window.across, "feature")
        line.put(feature=narrowed(line["feature"], self.pool.outputs))
        if self.pool.kind == "max":
            self._keep_the_first(m, line, moves, is_held)
        m.d.comb += [
            buffer.input.valid.eq(line["is_there"] & ~is_held),
            buffer.input.payload.kind.eq(line["kind"]),
            buffer.input.payload.source.eq(line["feature"]),
        ]
        return m

    def _keep_the_first(self, m: Module, line: Pipeline, moves: Value, is_held: Signal) -> None:
        """Drop spikes of features that have fired in this step; an inference ends with an erased memory."""
        count, bits = self.pool.outputs, unsigned(self.steps.bit_length())
        m.submodules.fired = cells = memory.Memory(shape=bits, depth=count, init=[], attrs=NEVER_AT_ONCE)
        write, read = cells.write_port(), cells.read_port()
        step, erased = Signal(bits, init=1), Signal(range(max(2, count)))
        m.d.comb += [read.addr.eq(line["feature"]), read.en.eq(moves)]
        line.advance()
        # A spike directly behind another one of its feature reads the word before that one has written it.
        before, was_before = Signal.like(line["feature"]), Signal()
        is_spike = line["is_there"] & line["is_spike"]
        fired_already = (read.data == step) | (was_before & (before == line["feature"]))
        is_over = line["is_there"] & (line["kind"] == EventKind.END)
        with m.If(moves):
            m.d.sync += [before.eq(line["feature"]), was_before.eq(is_spike)]
            with m.If(line["is_there"] & (line["kind"] == EventKind.STEP)):
                m.d.sync += step.eq(step + 1)
            with m.Elif(is_over):
                m.d.sync += step.eq(1)
        m.d.comb += [
            write.addr.eq(Mux(is_held, erased, line["feature"])),
            write.data.eq(Mux(is_held, 0, step)),
            write.en.eq(is_held | (is_spike & moves)),
        ]
        with m.FSM(init="erase"):
            with m.State("erase"):
                m.d.comb += is_held.eq(1)
                m.d.sync += erased.eq(erased + 1)
                with m.If(erased == count - 1):
                    m.d.sync += erased.eq(0)
                    m.next = "run"
            with m.State("run"), m.If(is_over & moves):
                m.next = "erase"
        line.put(is_there=line["is_there"] & ~(line["is_spike"] & fired_already))


def pooled(m: Module, before: Any, pools: Sequence[Pool], steps: int) -> Any:
    """The stream behind pools of the stream ``before``."""
    for number, one in enumerate(pools):
        m.submodules[f"pool_{number}"] = pool = PoolUnit(one, steps)
        wiring.connect(m, before, pool.input)
        before = pool.output
    return before
