"""A layer: delays, sums, neurons, and the queue of its spikes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.accumulator import Accumulator
from izhi.hardware.core.arithmetic import following
from izhi.hardware.core.buffers import Queue
from izhi.hardware.core.events import EventKind, EventSerializer, entry, events
from izhi.hardware.core.memories import LoadableMemory, loading
from izhi.hardware.core.neurons import MOST_STAGES, STATES, NeuronPipeline
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.core.windows import pooled

#: Spikes in the queue before the layer at which the search for more pauses.
_QUEUED = 8


class DelayLine(wiring.Component):
    """Spikes in; in each step the spikes out that arrive in it, and then the end of the step.

    A memory has a cell for each source in each of the next steps: the number of its spikes that arrive then. At the end
    of a step its cells are read, a source in a cycle, and the spikes of each are sent as one event.

    Ports:
        input, output: events.
        delays: fills the memory of delays: a word for each source, its delay in steps.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.count, self.slots, self.most = shape.features, shape.delay + 1, shape.most_at_once
        self.is_counted = shape.largest_input > 1
        self.delays_of = dict(shape.memories)["delays"]
        arriving, leaving = (events(self.count, times=times) for times in (shape.largest_input, self.most))
        # A spike is accepted; the cells of a source are read, the end of a step or inference is sent, cells are erased.
        self._takes, self._reads, self._marks, self._erases = Signal(), Signal(), Signal(), Signal()
        self._slot, self._cell = Signal(range(self.slots)), Signal(range(self.slots * self.count))
        super().__init__({"input": In(arriving), "output": Out(leaving), "delays": In(loading(*self.delays_of))})

    def elaborate(self, platform: object) -> Module:
        m, cell, kind, sent = Module(), self._cell, self.input.payload.kind, self.output.payload.shape()
        m.submodules.delays = delays = LoadableMemory(*self.delays_of)
        m.submodules.cells = memory = LoadableMemory(self.most.bit_length(), self.slots * self.count)
        wiring.connect(m, wiring.flipped(self.delays), delays.fill)
        depth = _QUEUED + memory.latency + 2
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=sent.size, depth=depth)
        spikes, mark, source = Signal(sent), Signal(sent), Signal(range(max(2, self.count)))
        arrival, counted, is_pending = self._count(m, delays, memory)
        is_arrival, total = arrival["is_spike"], memory.data + arrival["times"] if self.most > 1 else Const(1)
        # A cell that is read is erased, and its spikes are sent.
        line = Pipeline(m)
        line.put(is_read=self._reads, source=source, cell=cell)
        is_reading = Cat(self._reads, *line.flags("is_read", memory.latency)).any()
        m.d.comb += [
            memory.address.eq(Mux(self._reads, cell, counted)),
            memory.fill.address.eq(Mux(self._erases, cell, Mux(is_arrival, arrival["cell"], line["cell"]))),
            memory.fill.word.eq(Mux(self._erases | ~is_arrival, 0, total)),
            memory.fill.enable.eq(self._erases | is_arrival | line["is_read"]),
            mark.kind.eq(kind),
            spikes.kind.eq(EventKind.SPIKE),
            spikes.source.eq(line["source"]),
            *([spikes.times.eq(memory.data)] if self.most > 1 else []),
            queue.w_data.eq(Mux(self._marks, mark, spikes)),
            queue.w_en.eq(self._marks | (line["is_read"] & (memory.data != 0))),
        ]
        wiring.connect(m, queue.r_stream, wiring.flipped(self.output))
        self._run(m, queue, source, is_pending, is_reading)
        return m

    def _count(self, m: Module, delays: LoadableMemory, memory: LoadableMemory) -> tuple[Pipeline, Value, Value]:
        """Count arriving spikes in the cells of their sources in later steps.

        Returns:
            the pipeline, the cell that is read, and whether a spike is in the pipeline.
        """
        event, line = self.input.payload, Pipeline(m)
        m.d.comb += delays.address.eq(event.source)
        line.put(is_spike=self._takes, source=event.source, times=event.times if self.is_counted else 1)
        flags = line.flags("is_spike", delays.latency)
        line.put(due=self._slot + delays.data)
        flags += line.flags("is_spike", 1)
        due = line["due"]
        line.put(due=Mux(due < self.slots, due, due - self.slots)[: len(self._slot)])
        flags += line.flags("is_spike", 1)
        line.put(cell=line["due"] * self.count)
        flags += line.flags("is_spike", 1)
        line.put(cell=(line["cell"] + line["source"])[: len(self._cell)])
        flags += line.flags("is_spike", 1)
        counted = line["cell"]
        if self.most > 1:
            flags += line.flags("is_spike", memory.latency)
        return line, counted, Cat(*flags).any()

    def _run(self, m: Module, queue: Any, source: Signal, is_pending: Value, is_reading: Value) -> None:
        """Erase the cells before an inference; then accept spikes, and at the end of a step read its cells."""
        event, cell, slot, ready = self.input.payload, self._cell, self._slot, self.input.ready
        with m.FSM(init="erase"):
            with m.State("erase"):
                m.d.comb += self._erases.eq(1)
                m.d.sync += cell.eq(following(cell, self.slots * self.count))
                with m.If(cell == self.slots * self.count - 1):
                    m.next = "take"
            with m.State("take"), m.If(self.input.valid):
                with m.If(event.kind == EventKind.SPIKE):
                    # Where a cell is read before it counts one more, spikes follow one another without overlap.
                    m.d.comb += [self._takes.eq(~is_pending if self.most > 1 else 1), ready.eq(self._takes)]
                with m.Elif(event.kind == EventKind.STEP), m.If(~is_pending):
                    m.next = "read"
                with m.Elif(~is_pending & queue.w_rdy):
                    m.d.comb += [ready.eq(1), self._marks.eq(1)]
                    m.d.sync += [cell.eq(0), slot.eq(0)]
                    m.next = "erase"
            with m.State("read"), m.If(queue.level < _QUEUED):
                m.d.comb += self._reads.eq(1)
                m.d.sync += cell.eq(following(cell, self.slots * self.count))
                m.d.sync += source.eq(following(source, self.count))
                with m.If(source == self.count - 1):
                    m.next = "end"
            with m.State("end"), m.If(~is_reading & queue.w_rdy):
                m.d.comb += [ready.eq(1), self._marks.eq(1)]
                m.d.sync += slot.eq(following(slot, self.slots))
                m.next = "take"


class CoreLayer(wiring.Component):
    """Events in, events out; the sums of a step are computed while the neurons run the step before.

    Ports:
        input: events of the layer before.
        output: events of this layer.
        weights, constants, delays: fill its memories; delays only in a layer that has them.
        spikes: of ``input`` that are accepted in this cycle.
        is_valid, number, after: the states of ``units`` neurons after each update, for tests.
    """

    def __init__(self, shape: LayerShape, steps: int) -> None:
        self.shape, self.steps = shape, steps
        self.accumulator, self.neurons = Accumulator(shape), NeuronPipeline(shape)
        super().__init__(
            {
                "input": In(events(shape.inputs, shape.spikes, shape.largest_input)),
                "output": Out(events(shape.outputs)),
                **{name: In(loading(*memory)) for name, memory in shape.memories},
                "spikes": Out(self.accumulator.spikes.shape()),
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
