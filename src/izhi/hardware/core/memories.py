"""Memories that the host fills, a word at a time."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.block_memory import BLOCK, BlockMemory, later
from izhi.hardware.core.shape import ceil_div

#: Blocks among which one cycle chooses.
_CHOICE_BITS = 2
_CHOICE = 1 << _CHOICE_BITS


def loading(width: int, depth: int) -> wiring.Signature:
    """The port that fills a memory: a word of that width is written while ``enable`` is high."""
    return wiring.Signature({"address": Out(number_below(depth)), "word": Out(unsigned(width)), "enable": Out(1)})


class LoadableMemory(wiring.Component):
    """A memory that the host fills, a word at a time.

    Ports:
        fill: see ``loading``.
        address, data: a word, ``latency`` cycles after its address.
        second_address, second_data: of the second reader; not while the memory is filled.

    Attributes:
        latency: two cycles of a block, see ``BlockMemory``. With several blocks, which are far apart, words take one
            more to the multiplexer, and each choice among four takes another. With two readers addresses take one.
    """

    def __init__(self, width: int, depth: int, readers: int = 1) -> None:
        self.width, self.depth = width, depth
        self._readers = ("", "second_")[:readers]
        self.blocks = ceil_div(depth, BLOCK)
        self.latency, left = 2 + (self.blocks > 1) + (readers > 1), self.blocks
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
        addresses: list[Value] = [self.address]
        fill: list[Value] = [self.fill.address, self.fill.word, self.fill.enable]
        if len(self._readers) == 2:
            # The second reader shares the port that writes; its address is multiplexed once for all blocks.
            fill[0] = Mux(self.fill.enable, self.fill.address, self.second_address)
            fill = [later(m, value) for value in fill]
            addresses = [later(m, self.address), fill[0]]
        blocks = [self._block(m, number, fill, addresses) for number in range(self.blocks)]
        for which, address in zip(self._readers, addresses, strict=True):
            words = [getattr(block, f"{which}data") for block in blocks]
            m.d.comb += getattr(self, f"{which}data").eq(self._chosen(m, words, address))
        return m

    def _block(self, m: Module, number: int, fill: list[Value], addresses: list[Value]) -> BlockMemory:
        """A block, which is disabled while another is read."""
        block = BlockMemory(self.width, min(BLOCK, self.depth - number * BLOCK), len(addresses))
        m.submodules[f"block_{number}"] = block
        address, word, enable = fill
        m.d.comb += [
            block.write_address.eq(address), block.write_data.eq(word),
            block.write_enable.eq(enable & (_number(address) == number)),
            block.read_address.eq(addresses[0]), block.read_enable.eq(_number(addresses[0]) == number),
        ]  # fmt: skip
        if len(addresses) == 2:
            m.d.comb += block.second_read_enable.eq(_number(addresses[1]) == number)
        return block

    def _chosen(self, m: Module, words: list[Value], address: Value) -> Value:
        """The word of the block that holds the address, among those that the blocks give two cycles later."""
        if len(words) == 1:
            return words[0]
        block: Value = _number(address)
        for _ in range(3):
            block = later(m, block, range(self.blocks))
        words = [later(m, word, unsigned(self.width)) for word in words]
        while len(words) > 1:
            chosen: list[Value] = []
            for first in range(0, len(words), _CHOICE):
                word = Array(words[first : first + _CHOICE])[block[:_CHOICE_BITS]]
                chosen.append(later(m, word, unsigned(self.width)))
            words, block = chosen, later(m, block[_CHOICE_BITS:], max(1, len(block) - _CHOICE_BITS))
        return words[0]


def _number(address: Value) -> Value:
    """The number of the block that holds an address, whose lower bits are the address in it."""
    return address >> (BLOCK - 1).bit_length()
