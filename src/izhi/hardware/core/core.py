"""The whole core behind two streams of 32-bit words: packets in, packets out."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, ResetInserter, Signal, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.buffers import SkidBuffer, fork
from izhi.hardware.core.decoder import WORD, Decoder
from izhi.hardware.core.events import EventKind, event, events
from izhi.hardware.core.layer import CoreLayer
from izhi.hardware.core.neurons import STATES
from izhi.hardware.core.protocol import ABORTED, Error
from izhi.hardware.core.scores import ReadoutUnit, scores_of
from izhi.hardware.core.shape import CoreShape

#: An event of a layer as a word of an answer.
_TAP = data.StructLayout({"source": 24, "layer": 4, "kind": 4})


class Core(wiring.Component):
    """Layers in a row between a decoder of packets and an encoder.

    A packet is one or several inferences, or one write to a memory. If a packet is malformed, the rest of it is
    discarded, the states are cleared, and ``error`` holds the reason until ``acknowledge`` is high.

    Memories are numbered in the order of ``CoreShape.memories``.

    The answer to a packet of inferences is one packet of their scores, one word each. While ``sends_spikes`` is high
    the events of every layer precede an inference's scores: bits 28 to 31 the kind of event, 24 to 27 the layer, 0 to
    23 the neuron. The word ABORTED ends the answer to a malformed packet.

    Ports:
        input, output: packets.
        clear: discards everything in the core but the contents of its memories.
        acknowledge: of an error.
        expected: steps of an inference; another number is an error, unless this is 0.
        sends_spikes: see above.
        error: see Error.
        is_busy: an inference is running.
        is_answering: words of an answer have not been fetched, or its end has not been sent.
        events, spikes, inferences: in each cycle, the number of input spikes accepted, whether each layer sent a spike,
            and whether an inference's last score was sent.
        is_valid_k, number_k, after_k: states of layer k after each update, for tests.
    """

    def __init__(self, shape: CoreShape) -> None:
        self.shape = shape
        self.layers = [CoreLayer(layer, shape.steps) for layer in shape.layers]
        self.scores = scores_of(shape)
        # The inference is discarded; its answer ends with ABORTED; an inference is the last one of its packet.
        self._discard, self._aborts, self._is_packet_over = Signal(), Signal(), Signal()
        super().__init__(
            {
                "input": In(stream.Signature(WORD)),
                "output": Out(stream.Signature(WORD)),
                "expected": In(32),
                "error": Out(Error),
                "events": Out(self.layers[0].spikes.shape()),
                "spikes": Out(len(shape.layers)),
                **dict.fromkeys(("clear", "acknowledge", "sends_spikes"), In(1)),
                **dict.fromkeys(("is_busy", "is_answering", "inferences"), Out(1)),
                **self.states(),
            }
        )

    def states(self) -> dict[str, Any]:
        """Ports of the states of each layer k."""
        return {
            f"{name}_{k}": Out(getattr(layer, name).shape()) for k, layer in enumerate(self.layers) for name in STATES
        }

    def elaborate(self, platform: object) -> Module:
        m, discard = Module(), self._discard
        for number, layer in enumerate(self.layers):
            m.submodules[f"layer_{number}"] = ResetInserter(discard)(layer)
            m.d.comb += [getattr(self, f"{name}_{number}").eq(getattr(layer, name)) for name in STATES]
        m.submodules.scores = ResetInserter(discard)(self.scores)
        m.submodules.taps = taps = ResetInserter(discard)(_Taps(self.shape))
        m.submodules.decoder = decoder = self._decoder(m)
        head = self.shape.layers[0]
        arriving = event(head.inputs, head.spikes, head.largest_input)
        m.submodules.first = first = ResetInserter(discard)(SkidBuffer(arriving))
        wiring.connect(m, decoder.output, first.input)
        wiring.connect(m, first.output, self.layers[0].input)
        following = [layer.input for layer in self.layers[1:]] + [self.scores.input]
        for number, (layer, after) in enumerate(zip(self.layers, following, strict=True)):
            out = layer.output
            fork(m, out, (after, 1), (getattr(taps, f"input_{number}"), self.sends_spikes), discards=discard)
            is_spike = out.payload.kind == EventKind.SPIKE
            m.d.comb += self.spikes[number].eq(out.valid & out.ready & is_spike)
        self._encode(m, taps, decoder.aborts)
        return m

    def _encode(self, m: Module, taps: Any, aborts_now: Signal) -> None:
        """Send events, then scores; a packet of inferences ends even if they are discarded.

        A buffer keeps the words that are offered to the outside, also when the inference is discarded.
        """
        scores, offered, aborts, discard = self.scores, Signal(WORD), self._aborts, self._discard
        has_ended = scores.output.valid & scores.is_last
        m.submodules.buffer = buffer = fifo.SyncFIFOBuffered(width=33, depth=2)
        is_open, is_offered = Signal(), Signal()
        can_take = buffer.w_rdy & ~aborts & ~discard
        with m.If(aborts):
            m.d.comb += [offered.word.eq(ABORTED), offered.last.eq(1), is_offered.eq(1)]
        with m.Elif(taps.output.valid & ~discard):
            m.d.comb += [offered.word.eq(taps.output.payload), is_offered.eq(1), taps.output.ready.eq(can_take)]
        with m.Elif(taps.is_empty & ~discard):
            m.d.comb += [
                offered.word.eq(scores.output.payload),
                offered.last.eq(has_ended & self._is_packet_over),
                is_offered.eq(scores.output.valid),
                scores.output.ready.eq(can_take),
                self.inferences.eq(has_ended & can_take),
            ]
        is_accepted = is_offered & buffer.w_rdy
        with m.If(is_accepted):
            m.d.sync += is_open.eq(~offered.last)
        # In the cycle of ``discard`` no word is offered, and the signals are those of the cycle before.
        was_aborted, was_cleared = Signal(), Signal()
        m.d.sync += [was_aborted.eq(aborts_now), was_cleared.eq(self.clear)]
        with m.If(is_accepted & aborts):
            m.d.sync += aborts.eq(0)
        with m.Elif(was_aborted | (was_cleared & is_open)):
            m.d.sync += aborts.eq(1)
        m.d.comb += [
            buffer.w_data.eq(offered),
            buffer.w_en.eq(is_offered),
            self.is_answering.eq(is_open | aborts | (buffer.level != 0)),
        ]
        wiring.connect(m, buffer.r_stream, wiring.flipped(self.output))

    def _decoder(self, m: Module) -> Any:
        """The decoder, connected to memories and control ports."""
        head = self.shape.layers[0]
        memories = [(bits, words) for _, bits, words in self.shape.memories]
        decoder = Decoder(head.inputs, self.shape.steps, memories, head.spikes, head.largest_input)
        ports = [getattr(layer, name) for layer in self.layers for name, _ in layer.shape.memories]
        if isinstance(self.scores, ReadoutUnit):
            ports += [self.scores.weights, self.scores.constants]
        for port, enable in zip(ports, decoder.enable, strict=True):
            m.d.comb += [port.address.eq(decoder.address), port.word.eq(decoder.word), port.enable.eq(enable)]
        # One inference at a time: packets wait for the scores of the one before, or for the word ABORTED.
        m.submodules.arrival = arrival = ResetInserter(self.clear)(SkidBuffer(WORD))
        wiring.connect(m, wiring.flipped(self.input), arrival.input)
        m.d.sync += self._discard.eq(decoder.fault | self.clear)
        wiring.connect(m, arrival.output, decoder.input)
        is_finishing, out = Signal(), decoder.output
        with m.If(self._discard | self.inferences):
            m.d.sync += is_finishing.eq(0)
        with m.Elif(out.valid & out.ready & (out.payload.kind == EventKind.END)):
            m.d.sync += [is_finishing.eq(1), self._is_packet_over.eq(decoder.ends_packet)]
        m.d.comb += [
            decoder.holds.eq(is_finishing | self._discard | self._aborts),
            decoder.acknowledge.eq(self.acknowledge),
            decoder.expected.eq(self.expected),
            self.error.eq(decoder.error),
            self.is_busy.eq(is_finishing | decoder.is_inside),
            self.events.eq(self.layers[0].spikes),
        ]
        return ResetInserter(self.clear)(decoder)


class _Taps(wiring.Component):
    """Events of every layer as words, one in each cycle, of the first layer that has one."""

    def __init__(self, shape: CoreShape) -> None:
        self.layers = shape.layers
        inputs = {f"input_{k}": In(events(layer.outputs)) for k, layer in enumerate(shape.layers)}
        super().__init__({**inputs, "output": Out(stream.Signature(unsigned(32))), "is_empty": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=32, depth=16)
        wiring.connect(m, queue.r_stream, wiring.flipped(self.output))
        is_used, is_empty, word = Const(0), queue.level == 0, Signal(_TAP)
        m.d.comb += queue.w_data.eq(word)
        for number, layer in enumerate(self.layers):
            m.submodules[f"buffer_{number}"] = buffer = SkidBuffer(event(layer.outputs))
            wiring.connect(m, wiring.flipped(getattr(self, f"input_{number}")), buffer.input)
            tap = buffer.output
            is_empty &= buffer.is_empty
            m.d.comb += tap.ready.eq(queue.w_rdy & ~is_used)
            with m.If(tap.valid & ~is_used):
                m.d.comb += [queue.w_en.eq(1), word.source.eq(tap.payload.source), word.layer.eq(number)]
                m.d.comb += word.kind.eq(tap.payload.kind)
            is_used = is_used | tap.valid
        # A cycle later: scores follow some cycles behind the last event.
        m.d.sync += self.is_empty.eq(is_empty)
        return m
