"""Memories that are filled from outside, a word at a time."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.shape import ceil_div

#: For memories in which no word is read in the cycle in which it is written: yosys builds what a block memory does
#: not do by itself, and what takes its time behind it, unless it is told so.
NEVER_AT_ONCE = {"no_rw_check": 1}
#: Words of a part of a memory that answers by itself. Larger ones would be put together from block memories by the
#: tools, with a wide choice in the cycle in which they answer.
BLOCK = 2048


def loading(width: int, depth: int) -> wiring.Signature:
    """What fills a memory: a word of that width is written where ``enable`` is high."""
    return wiring.Signature(
        {
            "address": Out(number_below(depth)),
            "word": Out(unsigned(width)),
            "enable": Out(1),
        }
    )


class Filled(wiring.Component):
    """A memory that is filled from outside, a word at a time.

    Ports:
        fill: what fills it.
        address, data: a word, ``latency`` cycles after its address.

    Attributes:
        latency: one cycle is the memory's, one that of a register behind it, since block memories answer late in
            their cycle; a memory of several blocks takes one more for the choice among them.
    """

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        self.blocks = ceil_div(depth, BLOCK)
        self.latency = 2 if self.blocks == 1 else 3
        super().__init__(
            {
                "fill": In(loading(width, depth)),
                "address": In(number_below(depth)),
                "data": Out(unsigned(width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = [self._word(m, number) for number in range(self.blocks)]
        if self.blocks == 1:
            m.d.comb += self.data.eq(words[0])
            return m
        block, block_then = Signal(range(self.blocks)), Signal(range(self.blocks))
        m.d.sync += [block.eq(_block(self.address)), block_then.eq(block), self.data.eq(Array(words)[block_then])]
        return m

    def _word(self, m: Module, number: int) -> Signal:
        """A word of a block, two cycles after its address; the block rests while another is read."""
        depth = min(BLOCK, self.depth - number * BLOCK)
        cells = memory.Memory(shape=unsigned(self.width), depth=depth, init=[], attrs=NEVER_AT_ONCE)
        m.submodules[f"block_{number}"] = cells
        write, read = cells.write_port(), cells.read_port()
        was_read, word = Signal(), Signal(unsigned(self.width), name=f"word_{number}", reset_less=True)
        m.d.comb += [
            write.addr.eq(self.fill.address), write.data.eq(self.fill.word),
            write.en.eq(self.fill.enable & (_block(self.fill.address) == number)),
            read.addr.eq(self.address), read.en.eq(_block(self.address) == number),
        ]  # fmt: skip
        m.d.sync += was_read.eq(read.en)
        with m.If(was_read):
            m.d.sync += word.eq(read.data)
        return word


def _block(address: Signal) -> Value:
    """The number of the block that holds an address; the lower bits are the place in it."""
    return address >> (BLOCK - 1).bit_length()
