"""Addresses of a spike in a convolution: the positions whose windows cover it, and the weights there."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Const, Module, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.events import EventKind, events
from izhi.hardware.core.features import locate, narrowed, numbered
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.core.skid_buffer import SkidBuffer


def reached(shape: LayerShape) -> data.StructLayout:
    """The addresses of a spike: its first word of weights, its first word of sums, and further rows and columns.

    With two spikes at once, also the first word of the other's weights.
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
        super().__init__({"input": In(events(shape.features)), "output": Out(stream.Signature(reached(shape)))})

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
