"""The output of a layer: an event for each neuron that fired, to the next layer, and with feedback to itself."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.events import EventKind, event, events
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.core.skid_buffer import SkidBuffer


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
        self._fork(m, buffer)
        return m

    def _fork(self, m: Module, buffer: SkidBuffer) -> None:
        """Send an event to both outputs; it is done when each has accepted its copy."""
        out, sent, sent_back = buffer.output, Signal(), Signal()
        has_feedback = (out.payload.kind == EventKind.SPIKE) & int(self.shape.recurrent)
        m.d.comb += [
            self.output.payload.eq(out.payload),
            self.back.payload.eq(out.payload),
            self.output.valid.eq(out.valid & ~sent),
            self.back.valid.eq(out.valid & has_feedback & ~sent_back),
        ]
        is_sent = sent | self.output.ready
        is_sent_back = ~has_feedback | sent_back | self.back.ready
        m.d.comb += out.ready.eq(is_sent & is_sent_back)
        is_blocked = out.valid & ~out.ready
        m.d.sync += [sent.eq(is_blocked & is_sent), sent_back.eq(is_blocked & has_feedback & is_sent_back)]
