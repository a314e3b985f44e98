"""Updates the neurons of a layer at the end of a step, several at once, in a pipeline."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import fitting, number_below
from izhi.hardware.core.datapaths import neurons
from izhi.hardware.core.memories import LoadableMemory, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.fixed import FixedPoint

#: Most stages of a pipeline of neurons.
MOST_STAGES = 64
#: Ports for the states of the units after an update.
STATES = ("is_valid", "number", "after")


class NeuronPipeline(wiring.Component):
    """States and constants of a layer's neurons, around the datapath of their kind.

    Ports:
        constants: fills the memory of constants: a word holds those of ``units`` neurons, the first lowest,
            each as the constants of ``LayerShape.names``, the first lowest; they are the same at every position.
        start, is_ready: begin a step; one can begin, though updates of the step before may be in the pipeline.
        is_idle: no step is running.
        end: the inference is over: the next step begins at v0 and u0.
        reads, sums: see Accumulator.
        is_valid, fired, number: a result of each update: which of the units fired, and the number of the first
            unit's neuron; those of the others are ``places`` apart.
        is_last: whether it is the step's last.
        after: the states after it, each of all units, the first state lowest.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "constants": In(loading(*shape.constant_memory)),
                **dict.fromkeys(("start", "end"), In(1)),
                **dict.fromkeys(("is_ready", "is_idle", "reads", "is_valid", "is_last"), Out(1)),
                "sums": In(data.ArrayLayout(signed(shape.accumulator_bits), shape.units)),
                "fired": Out(shape.units),
                "number": Out(number_below(shape.outputs)),
                "after": Out(shape.units * sum(number.width for number in shape.states.values())),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, s = Module(), self.shape
        m.submodules.constants = constants = LoadableMemory(*s.constant_memory)
        wiring.connect(m, wiring.flipped(self.constants), constants.fill)
        m.submodules.states = states = LoadableMemory(s.units * sum(x.width for x in s.kept.values()), s.updates)
        # The counter of updates is stage 0; sums follow in stage 1, constants and states by their memories' latency.
        update, is_running, is_first = Signal(range(s.updates)), Signal(), Signal(init=1)
        row, place, number = Signal(range(max(2, s.rows))), Signal(number_below(s.places)), Signal.like(self.number)
        is_last, is_end_of_place = update == s.updates - 1, row == s.rows - 1
        m.d.comb += [constants.address.eq(row), states.address.eq(update), self.reads.eq(is_running)]
        with m.If(is_running):
            m.d.sync += [
                update.eq(Mux(is_last, 0, update + 1)), is_running.eq(~is_last),
                row.eq(Mux(is_end_of_place, 0, row + 1)), number.eq(number + s.units * s.places),
            ]  # fmt: skip
            with m.If(is_end_of_place):
                next_place = Mux(is_last, 0, place + 1)
                m.d.sync += [place.eq(next_place), number.eq(next_place)]
        with m.If(self.start):
            m.d.sync += is_running.eq(1)
        line = Pipeline(m)
        line.put(
            update=update, number=number, is_end_of_place=is_end_of_place, is_valid=is_running,
            is_last=is_last & is_running, is_first=is_first,
        )  # fmt: skip
        line.later(1, **{f"sum{k}": self.sums[k] for k in range(s.units)})
        line.later(constants.latency, constants=constants.data)
        line.later(states.latency, states=states.data)
        line.advance(max(constants.latency, states.latency))
        self._arrive(line)
        line.advance()
        neurons(line, s)
        self._finish(m, line, states)
        for event, value in ((is_running & is_last, 0), (self.end, 1)):
            with m.If(event):
                m.d.sync += is_first.eq(value)
        self._count_steps(m, is_running, line)
        return m

    def _finish(self, m: Module, line: Pipeline, states: LoadableMemory) -> None:
        """Write the states, and put out the results."""
        s, units = self.shape, range(self.shape.units)
        after = {name: Cat(line[f"{name}_after{k}"] for k in units) for name in s.kept}
        left = s.channels - (s.rows - 1) * s.units
        is_there = Cat(~line["is_end_of_place"] | int(k < left) for k in units)
        m.d.comb += [
            self.is_valid.eq(line["is_valid"]),
            self.is_last.eq(line["is_last"]),
            self.number.eq(line["number"]),
            self.fired.eq(Cat(line[f"fired{k}"] for k in units) & is_there),
            self.after.eq(Cat(after[name] for name in s.states)),
            states.fill.address.eq(line["update"]),
            states.fill.word.eq(Cat(*after.values())),
            states.fill.enable.eq(line["is_valid"]),
        ]

    def _count_steps(self, m: Module, is_running: Signal, line: Pipeline) -> None:
        """A step can begin when all updates of the one before have begun, and each state is written before it is read.

        The first update writes its state as many cycles later as there are stages.
        """
        if line.stage > MOST_STAGES:
            raise ValueError(f"neurons take {line.stage} stages, expected at most {MOST_STAGES}")
        running, wait = Signal(2), Signal(range(MOST_STAGES + 1))
        with m.If(self.start):
            m.d.sync += wait.eq(max(0, line.stage - self.shape.updates))
        with m.Elif(~is_running & (wait != 0)):
            m.d.sync += wait.eq(wait - 1)
        m.d.sync += running.eq(running + self.start - line["is_last"])
        m.d.comb += [self.is_ready.eq(~is_running & (wait == 0)), self.is_idle.eq(running == 0)]

    def _arrive(self, line: Pipeline) -> None:
        """Constants and state of each unit."""
        s, constants, states = self.shape, line["constants"], line["states"]
        each = sum(s.constants)
        for k in range(s.units):
            at = k * each
            for name, width in zip(s.names, s.constants, strict=True):
                line.put(**{f"{name}{k}": constants[at : at + width].as_signed()})
                at += width
            place = 0
            for state, width in ((name, x.width) for name, x in s.kept.items()):
                value = states[place + k * width : place + (k + 1) * width].as_signed()
                first = line[f"{state}0{k}"] if f"{state}0" in s.names else Const(0)
                line.put(**{f"{state}{k}": fitting(Mux(line["is_first"], first, value), FixedPoint(width, 0))})
                place += s.units * width
