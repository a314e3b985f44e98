"""Events between the blocks of a core: spikes, and the ends of steps and inferences; those of a layer in a row."""

from __future__ import annotations

from enum import IntEnum

from amaranth.hdl import Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.buffers import SkidBuffer, fork
from izhi.hardware.core.shape import LayerShape


class EventKind(IntEnum):
    """The kind of an event."""

    SPIKE = 0
    STEP = 1  #: the step is over
    END = 2  #: the inference is over
    PAIR = 3  #: two spikes


def event(sources: int, spikes: int = 1, times: int = 1) -> data.StructLayout:
    """An event of spikes of one source or two: its kind, the number of each source, and how often a source fired if it
    may be more than once."""
    names = ("source", "other")[:spikes]
    return data.StructLayout({"kind": EventKind, **dict.fromkeys(names, number_below(sources)), **counted(times)})


def counted(times: int) -> dict[str, Shape]:
    """The field of an event that says how often its source fired, if that may be more than once."""
    return {"times": unsigned(times.bit_length())} if times > 1 else {}


def events(sources: int, spikes: int = 1, times: int = 1) -> stream.Signature:
    """A stream of events of that many sources, see ``event``."""
    return stream.Signature(event(sources, spikes, times))


def entry(shape: LayerShape) -> data.StructLayout:
    """The result of an update: a kind of event, which of the units fired, and the number of the first unit's neuron."""
    return data.StructLayout({"kind": EventKind, "fired": unsigned(shape.units), "number": number_below(shape.outputs)})


class EventSerializer(wiring.Component):
    """Entries in, events out, one in each cycle, the lowest neuron of an entry first.

    Entries and events are held in registers: finding the lowest neuron takes a cycle of its own.

    Ports:
        input: entries.
        output: events.
        back: the spikes among them, with feedback.
        is_empty: the registers are.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "input": In(stream.Signature(entry(shape))),
                "output": Out(events(shape.outputs)),
                "back": Out(events(shape.outputs)),
                "is_empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, s, update = Module(), self.shape, self.input.payload
        m.submodules.buffer = buffer = SkidBuffer(event(s.outputs))
        kind, number, left = Signal(EventKind), Signal.like(update.number), Signal(s.units)
        is_held, lowest = Signal(), Signal(range(max(2, s.units)))
        for k in reversed(range(s.units)):
            with m.If(left[k]):
                m.d.comb += lowest.eq(k)
        rest = left & (left - 1)[: s.units]
        is_done = is_held & buffer.input.ready
        m.d.comb += [
            buffer.input.valid.eq(is_held),
            buffer.input.payload.kind.eq(kind),
            buffer.input.payload.source.eq(number + lowest * s.places),
            self.input.ready.eq(~is_held | (is_done & ~rest.any())),
            self.is_empty.eq(~is_held & buffer.is_empty),
        ]
        with m.If(self.input.ready):
            m.d.sync += [
                is_held.eq(self.input.valid), kind.eq(update.kind), number.eq(update.number),
                left.eq(Mux(update.kind == EventKind.SPIKE, update.fired, 0)),
            ]  # fmt: skip
        with m.Elif(is_done):
            m.d.sync += left.eq(rest)
        is_spike = buffer.output.payload.kind == EventKind.SPIKE
        fork(m, buffer.output, (self.output, 1), (self.back, is_spike & int(s.recurrent)))
        return m
