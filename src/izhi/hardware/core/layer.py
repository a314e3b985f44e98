"""A layer: sums, neurons, and the queue of its spikes."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.accumulator import Accumulator
from izhi.hardware.core.buffers import Queue
from izhi.hardware.core.delays import DelayLine
from izhi.hardware.core.events import EventKind, EventSerializer, entry, events
from izhi.hardware.core.memories import loading
from izhi.hardware.core.neurons import MOST_STAGES, STATES, NeuronPipeline
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.core.windows import pooled


class CoreLayer(wiring.Component):
    """Events in, events out; the sums of a step are computed while the neurons run the step before.

    Ports:
        input: events of the layer before.
        output: events of this layer.
        weights, constants, delays: fill its memories; delays only in a layer that has them.
        spikes: of ``input`` that are accepted in this cycle.
        is_valid, number, v, u: the states of ``units`` neurons after each update, for tests.
    """

    def __init__(self, shape: LayerShape, steps: int) -> None:
        self.shape, self.steps = shape, steps
        self.accumulator, self.neurons = Accumulator(shape), NeuronPipeline(shape)
        super().__init__(
            {
                "input": In(events(shape.inputs, shape.spikes)),
                "output": Out(events(shape.outputs)),
                **{name: In(loading(*memory)) for name, memory in shape.memories},
                "spikes": Out(range(shape.spikes + 1)),
                **{name: Out(getattr(self.neurons, name).shape()) for name in STATES},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator, m.submodules.neurons = self.accumulator, self.neurons
        wiring.connect(m, wiring.flipped(self.weights), self.accumulator.weights)
        wiring.connect(m, wiring.flipped(self.constants), self.neurons.constants)
        # The layer's input arrives through pools and delays.
        before = pooled(m, wiring.flipped(self.input), self.shape.pools, self.steps)
        if self.shape.delay:
            m.submodules.delay_line = line = DelayLine(self.shape)
            wiring.connect(m, before, line.input)
            wiring.connect(m, wiring.flipped(self.delays), line.delays)
            before = line.output
        wiring.connect(m, before, self.accumulator.input)
        self._queue(m)
        return m

    def _queue(self, m: Module) -> None:
        """Queue the results of the neurons for the serializer, and let a step begin when its results have room."""
        s, accumulator, neurons = self.shape, self.accumulator, self.neurons
        # Most entries that may follow of the step before, and of the step itself, each with the end of the step.
        before, own = min(s.updates, MOST_STAGES) + 1, s.updates + 1
        depth = before + 2 * own
        m.submodules.queue = queue = Queue(entry(s), depth)
        m.submodules.serializer = serializer = EventSerializer(s)
        entry_ = queue.input.payload
        # The end of a step follows its last update.
        step_is_over = Signal()
        m.d.sync += step_is_over.eq(neurons.is_valid & neurons.is_last)
        fires = neurons.is_valid & neurons.fired.any()
        is_idle, is_ready, has_room = neurons.is_idle & ~step_is_over, neurons.is_ready, Signal()
        m.d.sync += has_room.eq(queue.level <= depth - before - own)
        if s.recurrent:  # a step ends when the feedback of the one before has been added
            is_ready = is_idle
            m.d.sync += has_room.eq(queue.is_empty & serializer.is_empty)
        m.d.comb += [
            entry_.kind.eq(Mux(step_is_over, EventKind.STEP, Mux(accumulator.end, EventKind.END, EventKind.SPIKE))),
            entry_.fired.eq(neurons.fired),
            entry_.number.eq(neurons.number),
            queue.input.valid.eq(fires | step_is_over | accumulator.end),
            accumulator.is_ready.eq(is_ready & has_room),
            accumulator.is_idle.eq(is_idle & has_room),
            neurons.start.eq(accumulator.start),
            neurons.end.eq(accumulator.end),
            accumulator.reads.eq(neurons.reads),
            neurons.sums.eq(accumulator.sums),
            self.spikes.eq(accumulator.spikes),
            *(getattr(self, name).eq(getattr(neurons, name)) for name in STATES),
        ]
        wiring.connect(m, queue.output, serializer.input)
        wiring.connect(m, serializer.output, wiring.flipped(self.output))
        if s.recurrent:
            wiring.connect(m, serializer.back, accumulator.feedback)
