"""Memories that are filled from outside, a word at a time."""

from __future__ import annotations

from typing import Any

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
        second_address, second_data: another one, with two readers; not while the memory is filled.

    Attributes:
        latency: two cycles are a block's, see ``BlockMemory``. Of several blocks, which are far apart, words take one
            more to the place of choice, and a choice among up to four yet another.
    """

    def __init__(self, width: int, depth: int, readers: int = 1) -> None:
        self.width, self.depth = width, depth
        self._readers = ("", "second_")[:readers]
        self.blocks = ceil_div(depth, BLOCK)
        self.latency, left = 2 if self.blocks == 1 else 3, self.blocks
        while left > 1:
            self.latency, left = self.latency + 1, ceil_div(left, _CHOICE)
        super().__init__(
            {
                "fill": In(loading(width, depth)),
                **{f"{which}address": In(number_below(depth)) for which in self._readers},
                **{f"{which}data": Out(unsigned(width)) for which in self._readers},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        blocks = [self._block(m, number) for number in range(self.blocks)]
        for which in self._readers:
            address = getattr(self, f"{which}address")
            for number, block in enumerate(blocks):
                # A block rests while another is read.
                m.d.comb += [
                    getattr(block, f"{which}read_address").eq(address),
                    getattr(block, f"{which}read_enable").eq(_number(address) == number),
                ]
            words = [getattr(block, f"{which}data") for block in blocks]
            m.d.comb += getattr(self, f"{which}data").eq(self._chosen(m, words, address))
        return m

    def _block(self, m: Module, number: int) -> BlockMemory:
        block = BlockMemory(self.width, min(BLOCK, self.depth - number * BLOCK), len(self._readers))
        m.submodules[f"block_{number}"] = block
        m.d.comb += [
            block.write_address.eq(self.fill.address), block.write_data.eq(self.fill.word),
            block.write_enable.eq(self.fill.enable & (_number(self.fill.address) == number)),
        ]  # fmt: skip
        return block

    def _chosen(self, m: Module, words: list[Value], address: Signal) -> Value:
        """The word of that block which holds the address, from what each of them answers two cycles later."""
        if len(words) == 1:
            return words[0]
        place: Value = _number(address)
        for _ in range(3):
            place = _later(m, place, range(self.blocks))
        words = [_later(m, word, unsigned(self.width)) for word in words]
        while len(words) > 1:
            chosen: list[Value] = []
            for first in range(0, len(words), _CHOICE):
                word = Array(words[first : first + _CHOICE])[place[:_CHOICE_BITS]]
                chosen.append(_later(m, word, unsigned(self.width)))
            words, place = chosen, _later(m, place[_CHOICE_BITS:], max(1, len(place) - _CHOICE_BITS))
        return words[0]


def _later(m: Module, value: Value, shape: Any) -> Signal:
    """A cycle later."""
    register = Signal(shape, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def _number(address: Signal) -> Value:
    """The number of the block that holds an address; the lower bits are the place in it."""
    return address >> (BLOCK - 1).bit_length()
