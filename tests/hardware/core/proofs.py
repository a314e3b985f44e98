"""Proofs that assertions of a design hold, whatever comes in, by the SAT solver of yosys."""

import tempfile
from pathlib import Path

from amaranth.hdl import Assert, Assume, Mux, Signal

from izhi.hardware.core import yosys

#: To a netlist without hierarchy and memories, whose registers have one clock; the reset stays low.
_PASSES = "prep -flatten -top izhi; memory_map; async2sync; chformal -lower; setundef -init -zero; opt_clean"


def prove(design, cycles, *, device=None, models=""):
    """That all assertions hold in the first ``cycles``.

    Args:
        device: what the design is for, see ``izhi.hardware.core.memories``.
        models: Verilog of its cells.

    Raises:
        AssertionError: with the inputs of a counterexample, as yosys shows it.
    """
    show = "-show-inputs -show-regs"
    solve = f"sat -prove-asserts -set-assumes -set \\rst 0 {show} -tempinduct-baseonly -maxsteps {cycles}"
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "design.il").write_text(yosys.rtlil_of(design, "izhi", device))
        (Path(place) / "models.v").write_text(models)
        said = yosys.run(f"read_rtlil design.il; read_verilog models.v; {_PASSES}; {solve}", place)
    said = said[said.rindex("Executing SAT pass") :]
    # Without assertions nothing is proved.
    assert "Import proof for assert" in said
    assert "SUCCESS!" in said, said[said.rindex("Solving problem") :]


class Numbered:
    """The item of a stream that a free input chooses by its number: what was sent under it has to be what comes.

    Args:
        chosen: a free input, held steady.
    """

    def __init__(self, m, name, chosen, shape):
        self.m, self.chosen = m, chosen
        self.sent, self.come = (Signal(6, name=f"{name}_{what}") for what in ("sent", "come"))
        self.item, self.is_sent = Signal(shape, name=f"{name}_item"), Signal(name=f"{name}_is_sent")

    def sends(self, condition, item):
        """It is sent in this cycle."""
        self.m.d.sync += self.sent.eq(self.sent + condition)
        with self.m.If(condition & (self.sent == self.chosen)):
            self.m.d.sync += [self.item.eq(item), self.is_sent.eq(1)]

    def comes(self, condition, item):
        """It comes in this cycle: never before it was sent, and as it was."""
        self.m.d.sync += self.come.eq(self.come + condition)
        with self.m.If(condition):
            self.m.d.comb += Assert(self.come < self.sent)
            with self.m.If(self.come == self.chosen):
                self.m.d.comb += Assert(self.is_sent & (self.item == item))


def steady(m, value):
    """The value stays as it was in the first cycle."""
    is_first, before = Signal(init=1, name=f"{value.name}_is_first"), Signal.like(value, name=f"{value.name}_before")
    m.d.sync += [is_first.eq(0), before.eq(value)]
    with m.If(~is_first):
        m.d.comb += Assume(value == before)


def offered(m, stream):
    """What a stream offers stays until it is taken."""
    waits, payload = Signal(), Signal.like(stream.payload, name="payload_before")
    m.d.sync += [waits.eq(stream.valid & ~stream.ready), payload.eq(stream.payload)]
    with m.If(waits):
        m.d.comb += Assert(stream.valid & (stream.payload == payload))


def for_cycles(m, condition, cycles):
    """Whether a condition has held in each of so many cycles before this one."""
    count = Signal(range(cycles + 1), name=f"held_{cycles}")
    m.d.sync += count.eq(Mux(condition, Mux(count == cycles, count, count + 1), 0))
    return count == cycles


__all__ = ["Numbered", "for_cycles", "offered", "prove", "steady"]
