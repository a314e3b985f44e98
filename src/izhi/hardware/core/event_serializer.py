"""How a layer's spikes leave: an event for each neuron that fired, to the next layer, and back where they come back."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.events import EventKind, event, events
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.core.skid_buffer import SkidBuffer


def entry(shape: LayerShape) -> data.StructLayout:
    """What the neurons leave: a kind of event, which of several fired, and the number of the first of these."""
    return data.StructLayout(
        {"kind": EventKind, "fired": unsigned(shape.units), "number": number_below(shape.outputs)}
    )  # fmt: skip


class EventSerializer(wiring.Component):
    """Entries in, events out, one in each cycle, the lowest neuron of an entry first.

    Entries and events are held in registers: to find the lowest takes a cycle of its own.

    Ports:
        input: entries.
        output: events.
        back: of them the spikes, if they come back.
        is_empty: nothing is held.
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
        m, s, came = Module(), self.shape, self.input.payload
        m.submodules.relay = relay = SkidBuffer(event(s.outputs))
        kind, number, left = Signal(EventKind), Signal.like(came.number), Signal(s.units)
        is_held, lowest = Signal(), Signal(range(max(2, s.units)))
        for k in reversed(range(s.units)):
            with m.If(left[k]):
                m.d.comb += lowest.eq(k)
        rest = left & (left - 1)[: s.units]
        goes = is_held & relay.input.ready
        m.d.comb += [
            relay.input.valid.eq(is_held),
            relay.input.payload.kind.eq(kind),
            relay.input.payload.source.eq(number + lowest * s.places),
            self.input.ready.eq(~is_held | (goes & ~rest.any())),
            self.is_empty.eq(~is_held & relay.is_empty),
        ]
        with m.If(self.input.ready):
            m.d.sync += [
                is_held.eq(self.input.valid), kind.eq(came.kind), number.eq(came.number),
                left.eq(Mux(came.kind == EventKind.SPIKE, came.fired, 0)),
            ]  # fmt: skip
        with m.Elif(goes):
            m.d.sync += left.eq(rest)
        self._fork(m, relay)
        return m

    def _fork(self, m: Module, relay: SkidBuffer) -> None:
        """An event is gone when both have taken what is meant for them."""
        out, went, came_back = relay.output, Signal(), Signal()
        goes_back = (out.payload.kind == EventKind.SPIKE) & int(self.shape.recurrent)
        m.d.comb += [
            self.output.payload.eq(out.payload),
            self.back.payload.eq(out.payload),
            self.output.valid.eq(out.valid & ~went),
            self.back.valid.eq(out.valid & goes_back & ~came_back),
        ]
        has_gone = went | self.output.ready
        has_come_back = ~goes_back | came_back | self.back.ready
        m.d.comb += out.ready.eq(has_gone & has_come_back)
        is_waiting = out.valid & ~out.ready
        m.d.sync += [went.eq(is_waiting & has_gone), came_back.eq(is_waiting & goes_back & has_come_back)]


__all__ = ["EventSerializer", "entry"]
