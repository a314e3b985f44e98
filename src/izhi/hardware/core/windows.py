"""Windows in gates: the feature of a spike, the pool to which it belongs, and the positions whose kernels cover it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.buffers import SkidBuffer
from izhi.hardware.core.events import EventKind, counted, event, events
from izhi.hardware.core.memories import NEVER_AT_ONCE
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.fixed import Pool, Window


def divide(line: Pipeline, name: str, count: int, divisor: int, quotient: str, rest: str) -> None:
    """A value of a pipeline below ``count`` divided by a constant: quotient and rest, three cycles later.

    The quotient is a product with 2^k / divisor, rounded up, whose lower k bits are left out: exact for k bits of
    count · divisor, as in Granlund & Montgomery, "Division by invariant integers using multiplication" (1994).
    """
    if divisor == 1:
        line.put(**{quotient: line[name], rest: Value.cast(0)})
        return
    bits = max(1, (count * divisor - 1).bit_length())
    line.put(**{quotient: line[name] * -(-(1 << bits) // divisor)})
    line.advance()
    line.put(**{quotient: line[quotient][bits:]})
    line.put(**{rest: line[quotient] * divisor})
    line.advance()
    line.put(**{rest: narrowed(line[name] - line[rest], divisor)})
    line.advance()


def locate(line: Pipeline, window: Window) -> None:
    """From ``source``, the number of a feature, its ``channel``, ``y`` and ``x``."""
    plane = window.height * window.width
    divide(line, "source", window.inputs, plane, "channel", "within")
    divide(line, "within", plane, window.width, "y", "x")


def numbered(line: Pipeline, channel: str, row: str, column: str, rows: int, columns: int, name: str) -> None:
    """(channel·rows + row)·columns + column of values of a pipeline, two cycles later."""
    line.put(**{name: line[channel] * rows + line[row]})
    line.advance()
    line.put(**{name: line[name] * columns + line[column]})
    line.advance()


def narrowed(value: Value, count: int) -> Value:
    """The lowest bits of a value, which is below count."""
    return value[: number_below(count).width].as_unsigned()


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


def reached(shape: LayerShape) -> data.StructLayout:
    """The addresses of a spike: its first word of weights, its first word of sums, and further rows and columns.

    With two spikes at once, also the first word of the other's weights; with several of a feature, their number.
    """
    window = shape.window
    down, across = (1, 1) if window is None else (window.down, window.across)
    return data.StructLayout(
        {
            "kind": EventKind,
            "address": number_below(shape.weight_memory[1]),
            "sums": number_below(shape.sums),
            "rows": number_below(down),
            "columns": number_below(across),
            **({"other": number_below(shape.weight_memory[1])} if shape.spikes == 2 else {}),
            **counted(shape.most_at_once),
        }
    )


class WindowAddressing(wiring.Component):
    """Events of features in, their addresses out. A spike that no window covers is dropped.

    A feature at y, with padding p above it, is covered at the positions r with 0 ≤ y + p − r·stride < kernel: from the
    first of them, where its row of the kernel is the lowest, to the last.

    Ports:
        input: events.
        output: see ``reached``.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        arriving = events(shape.features, times=shape.most_at_once)
        super().__init__({"input": In(arriving), "output": Out(stream.Signature(reached(shape)))})

    def elaborate(self, platform: object) -> Module:
        m, s, window = Module(), self.shape, self.shape.window
        assert window is not None
        layout = reached(s)
        m.submodules.buffer = buffer = SkidBuffer(layout)
        wiring.connect(m, buffer.output, wiring.flipped(self.output))
        arriving, moves = self.input.payload, buffer.input.ready
        line = Pipeline(m, moves)
        m.d.comb += self.input.ready.eq(moves)
        line.put(is_there=self.input.valid, kind=arriving.kind, source=narrowed(arriving.source, s.features))
        if s.most_at_once > 1:
            line.put(times=arriving.times)
        locate(line, window)
        for k, (name, size, places) in enumerate(
            (("y", window.height, window.down), ("x", window.width, window.across))
        ):
            axis = _axis(size, places, window.kernel[k], window.stride[k], window.padding[k])
            for quantity, values in zip(("first", "kernel", "count"), zip(*axis, strict=True), strict=True):
                line.put(**{f"{name}_{quantity}": _looked_up(line[name], values)})
        line.advance()
        is_seen = line["y_count"].any() & line["x_count"].any()
        line.put(is_there=line["is_there"] & ((line["kind"] != EventKind.SPIKE) | is_seen))
        numbered(line, "channel", "y_kernel", "x_kernel", *window.kernel, "row")
        line.put(place=line["y_first"] * window.across + line["x_first"])
        line.advance()
        line.put(row=line["row"] * s.groups, place=line["place"] * s.groups)
        line.advance()
        m.d.comb += buffer.input.valid.eq(line["is_there"])
        addresses: Any = buffer.input.payload
        if s.most_at_once > 1:
            m.d.comb += addresses.times.eq(line["times"])
        m.d.comb += [
            addresses.kind.eq(line["kind"]),
            addresses.address.eq(line["row"]),
            addresses.sums.eq(line["place"]),
            addresses.rows.eq(line["y_count"] - 1),
            addresses.columns.eq(line["x_count"] - 1),
        ]
        return m


def _axis(size: int, places: int, kernel: int, stride: int, padding: int) -> list[tuple[int, int, int]]:
    """Of each feature along an axis: the first position that covers it, its index in that kernel, and how many do."""
    positions = []
    for at in range(size):
        covering = [r for r in range(places) if 0 <= at + padding - r * stride < kernel]
        positions.append((covering[0], at + padding - covering[0] * stride, len(covering)) if covering else (0, 0, 0))
    return positions


def _looked_up(index: Value, values: tuple[int, ...]) -> Value:
    """One of some constants."""
    shape = unsigned(max(1, max(values).bit_length()))
    return Array(Const(value, shape) for value in values)[narrowed(index, len(values))]
