"""Adds up the weights of the spikes that arrive in a step, several neurons in each cycle."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.events import Kind, events
from izhi.hardware.core.memories import filled, loading
from izhi.hardware.core.shape import LayerShape


class Accumulator(wiring.Component):
    """Weights, and two banks of sums: one is added to while the neurons read the other.

    A spike takes a cycle for each word of weights of its source; spikes follow each other without a gap.
    The end of a step waits until the neurons are ready, swaps the banks and starts them.

    Ports:
        input: events of the layer before.
        feedback: the layer's own spikes, which count in the next step.
        weights: fills the memory of weights: word source · groups + group holds the weights of a group's
            lanes, the lowest first.
        is_ready, start, end: the neurons are idle; begin a step; the inference is over.
        group, sums, erase: the neurons' read of a group, its sums a cycle later, and whether that group
            is set to 0 in that cycle.
        spike: high in each cycle in which a spike of ``input`` is taken.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "input": In(events(shape.inputs)),
                "feedback": In(events(shape.outputs)),
                "weights": In(loading(*shape.weight_memory)),
                "is_ready": In(1),
                "start": Out(1),
                "end": Out(1),
                "group": In(number_below(shape.groups)),
                "sums": Out(data.ArrayLayout(signed(shape.accumulator_bits), shape.lanes)),
                "erase": In(1),
                "spike": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, s = Module(), self.shape
        groups = s.groups
        fetch = filled(m, "weights", self.weights, *s.weight_memory)
        banks = [self._bank(m, number) for number in range(2)]

        # What is being added: a source's words, one after the other.
        is_adding, base, group = Signal(), Signal.like(fetch.addr), Signal(range(groups))
        bank = Signal()
        m.d.comb += fetch.addr.eq(base + group)
        is_last = group == groups - 1
        can_take = Signal()
        m.d.comb += can_take.eq(~is_adding | is_last)
        with m.If(is_adding):
            m.d.sync += group.eq(Mux(is_last, 0, group + 1))
        was_adding, group_then = Signal(), Signal.like(group)
        m.d.sync += [was_adding.eq(is_adding), group_then.eq(group)]

        source, take = Signal(range(max(2, s.sources))), Signal()
        m.d.comb += take.eq(0)
        with m.If(take):
            m.d.sync += [is_adding.eq(1), base.eq(source * groups)]
        with m.Elif(is_last):
            m.d.sync += is_adding.eq(0)

        arriving = self.input.payload
        is_still = ~is_adding & ~was_adding
        comes_back = self.feedback.valid if s.recurrent else Const(0)
        with m.FSM(init="erase"):
            with m.State("erase"):
                for bank_ports in banks:
                    m.d.comb += [bank_ports.address.eq(group), bank_ports.enable.eq(1)]
                m.d.sync += group.eq(Mux(is_last, 0, group + 1))
                with m.If(is_last):
                    m.next = "run"
            with m.State("run"):
                with m.If(comes_back):
                    m.d.comb += [
                        self.feedback.ready.eq(can_take),
                        source.eq(self.feedback.payload.source + s.inputs),
                        take.eq(can_take),
                    ]
                with m.Elif(self.input.valid), m.Switch(arriving.kind):
                    with m.Case(Kind.SPIKE):
                        m.d.comb += [
                            self.input.ready.eq(can_take),
                            source.eq(arriving.source),
                            take.eq(can_take),
                            self.spike.eq(can_take),
                        ]
                    with m.Case(Kind.STEP), m.If(is_still & self.is_ready):
                        m.d.comb += [self.input.ready.eq(1), self.start.eq(1)]
                        m.d.sync += bank.eq(~bank)
                    with m.Case(Kind.END), m.If(is_still & self.is_ready):
                        m.d.comb += [self.input.ready.eq(1), self.end.eq(1)]
                        m.next = "erase"
                self._connect(m, bank, banks, group, group_then, was_adding, fetch.data)
        return m

    def _bank(self, m: Module, number: int) -> _Bank:
        """A memory for each lane: sums are added lane by lane, and never moved as one wide word."""
        s = self.shape
        bank = _Bank(s)
        for lane in range(s.lanes):
            cells = memory.Memory(shape=signed(s.accumulator_bits), depth=s.groups, init=[])
            m.submodules[f"bank_{number}_{lane}"] = cells
            write = cells.write_port()
            # Only a source of one word reads what the one before it is just writing.
            read = cells.read_port(transparent_for=(write,) if s.groups == 1 else ())
            m.d.comb += [
                read.addr.eq(bank.read_address),
                bank.old[lane].eq(read.data),
                write.addr.eq(bank.address),
                write.data.eq(bank.new[lane]),
                write.en.eq(bank.enable),
            ]
        return bank

    def _connect(
        self, m: Module, bank: Signal, banks: list[_Bank], group: Signal, group_then: Signal,
        was_adding: Signal, weights: Value,
    ) -> None:  # fmt: skip
        """One bank to the sums, the other to the neurons."""
        s, w = self.shape, self.shape.weight_bits
        group_read = Signal.like(self.group)
        m.d.sync += group_read.eq(self.group)
        for number, ports in enumerate(banks):
            with m.If(bank == number):
                m.d.comb += [
                    ports.read_address.eq(group),
                    ports.address.eq(group_then),
                    ports.enable.eq(was_adding),
                ]
                m.d.comb += [
                    ports.new[k].eq(ports.old[k] + weights[k * w : (k + 1) * w].as_signed()) for k in range(s.lanes)
                ]
            with m.Else():
                m.d.comb += [
                    ports.read_address.eq(self.group),
                    ports.address.eq(group_read),
                    ports.enable.eq(self.erase),
                ]
                m.d.comb += [self.sums[k].eq(ports.old[k]) for k in range(s.lanes)]


class _Bank:
    """Signals to and from the memories of a bank."""

    def __init__(self, shape: LayerShape) -> None:
        address = range(max(2, shape.groups))
        self.read_address, self.address = Signal(address), Signal(address)
        self.enable = Signal()
        bits = signed(shape.accumulator_bits)
        self.old, self.new = ([Signal(bits) for _ in range(shape.lanes)] for _ in range(2))


__all__ = ["Accumulator"]
