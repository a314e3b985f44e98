"""Memories that are filled from outside, a word at a time."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.block_memory import BLOCK, BlockMemory
from izhi.hardware.core.shape import ceil_div

#: Blocks among which one cycle chooses.
_CHOICE_BITS = 2
_CHOICE = 1 << _CHOICE_BITS


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
        latency: two cycles are a block's, see ``BlockMemory``; a choice among up to four blocks takes one more.
    """

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        self.blocks = ceil_div(depth, BLOCK)
        self.latency, left = 2, self.blocks
        while left > 1:
            self.latency, left = self.latency + 1, ceil_div(left, _CHOICE)
        super().__init__(
            {
                "fill": In(loading(width, depth)),
                "address": In(number_below(depth)),
                "data": Out(unsigned(width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words: list[Value] = [self._word(m, number) for number in range(self.blocks)]
        block, which = Signal(range(max(2, self.blocks))), Signal(range(max(2, self.blocks)))
        m.d.sync += [block.eq(_block(self.address)), which.eq(block)]
        place: Value = which
        while len(words) > 1:
            chosen: list[Value] = []
            for first in range(0, len(words), _CHOICE):
                word = Signal(unsigned(self.width), reset_less=True)
                m.d.sync += word.eq(Array(words[first : first + _CHOICE])[place[:_CHOICE_BITS]])
                chosen.append(word)
            words, rest = chosen, Signal(max(1, len(place) - _CHOICE_BITS))
            m.d.sync += rest.eq(place[_CHOICE_BITS:])
            place = rest
        m.d.comb += self.data.eq(words[0])
        return m

    def _word(self, m: Module, number: int) -> Value:
        """A word of a block, two cycles after its address; the block rests while another is read."""
        block = BlockMemory(self.width, min(BLOCK, self.depth - number * BLOCK))
        m.submodules[f"block_{number}"] = block
        m.d.comb += [
            block.write_address.eq(self.fill.address), block.write_data.eq(self.fill.word),
            block.write_enable.eq(self.fill.enable & (_block(self.fill.address) == number)),
            block.read_address.eq(self.address), block.read_enable.eq(_block(self.address) == number),
        ]  # fmt: skip
        return block.data


def _block(address: Signal) -> Value:
    """The number of the block that holds an address; the lower bits are the place in it."""
    return address >> (BLOCK - 1).bit_length()
