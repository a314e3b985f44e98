"""Block memories with a latency of two cycles, and memories of several of them that the host fills, a word at a time.

ECP5's block memory has an output register that open synthesis leaves unused. In a register elsewhere its word arrives
so late that no other logic fits into that cycle.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.shape import ceil_div

#: The platform of ``elaborate`` for a design for ECP5.
ECP5 = "ecp5"
#: Words of a block at most; those of ECP5's DP16KD have then 9 bits.
BLOCK = 2048
#: Attribute of memories in which no word is read in the cycle in which it is written: without it yosys adds logic for
#: that case, which costs time behind the memory.
NEVER_AT_ONCE = {"no_rw_check": 1}
#: Blocks among which one cycle chooses.
_CHOICE_BITS = 2
_CHOICE = 1 << _CHOICE_BITS


class BlockMemory(wiring.Component):
    """A memory of at most BLOCK words, in which none is read while it is written.

    Ports:
        write_address, write_data, write_enable: a word is written while enabled.
        read_address, read_enable: a word is requested while enabled.
        data: that word, two cycles later, until the next one is requested.
        second_read_enable, second_data: with two readers, the same for the port that writes: a word is requested at
            write_address while none is written.

    Args:
        width, depth: bits of a word, and words.
        readers: 1 or 2.
    """

    def __init__(self, width: int, depth: int, readers: int = 1) -> None:
        self.width, self.depth = width, depth
        address = number_below(depth)
        self._has_second = readers > 1
        second = {"second_read_enable": In(1), "second_data": Out(unsigned(width))} if self._has_second else {}
        super().__init__(
            {
                "write_address": In(address),
                "write_data": In(unsigned(width)),
                "write_enable": In(1),
                "read_address": In(address),
                "read_enable": In(1),
                "data": Out(unsigned(width)),
                **second,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if platform == ECP5:
            self._of_ecp5(m)
            return m
        cells = memory.Memory(shape=unsigned(self.width), depth=self.depth, init=[], attrs=NEVER_AT_ONCE)
        m.submodules.cells = cells
        write, readers = cells.write_port(), [(self.read_address, self.read_enable, self.data)]
        if self._has_second:
            readers.append((self.write_address, self.second_read_enable & ~self.write_enable, self.second_data))
        m.d.comb += [write.addr.eq(self.write_address), write.data.eq(self.write_data), write.en.eq(self.write_enable)]
        for address, enable, word in readers:
            read = cells.read_port()
            m.d.comb += [read.addr.eq(address), read.en.eq(enable), word.eq(later(m, read.data))]
        return m

    def _of_ecp5(self, m: Module) -> None:
        """As many DP16KD as the width needs; port A writes, or is the second reader, and port B reads.

        See Lattice's FPGA-TN-02204.

        Addresses count nibbles. Of a port of 18 bits the two lowest address bits are the bytes that are written.
        """
        width = 9 if self.depth > BLOCK // 2 else 18
        zeros, bytes_ = (3, Const(0, 3)) if width == 9 else (4, Const(0b0011, 4))
        written, requested = (
            Cat(first, address, Const(0, 14))[:14]
            for first, address in ((bytes_, self.write_address), (Const(0, zeros), self.read_address))
        )
        used = self.write_enable | self.second_read_enable if self._has_second else self.write_enable
        words: dict[str, list[Value]] = {"A": [], "B": []}
        for block in range(ceil_div(self.width, width)):
            into = Cat(self.write_data[block * width : (block + 1) * width], Const(0, 18))[:18]
            options: dict[str, Any] = {"p_GSR": "AUTO", "p_RESETMODE": "SYNC", "p_ASYNC_RESET_RELEASE": "SYNC"}
            for port, address, enable, writes, is_read in (
                ("A", written, used, self.write_enable, self._has_second),
                ("B", requested, self.read_enable, Const(0), True),
            ):
                options |= {
                    f"p_DATA_WIDTH_{port}": width, f"p_WRITEMODE_{port}": "NORMAL", f"p_CSDECODE_{port}": "0b000",
                    f"p_REGMODE_{port}": "OUTREG" if is_read else "NOREG",
                    f"p_CLK{port}MUX": f"CLK{port}", f"i_CLK{port}": ClockSignal(), f"i_CE{port}": enable,
                    f"i_OCE{port}": Const(1), f"i_WE{port}": writes, f"i_RST{port}": Const(0),
                    **{f"i_CS{port}{k}": Const(0) for k in range(3)},
                    **{f"i_AD{port}{k}": address[k] for k in range(14)},
                    **{f"i_DI{port}{k}": into[k] if port == "A" else Const(0) for k in range(18)},
                }  # fmt: skip
                if is_read:
                    out = Signal(18, name=f"out_{port.lower()}_{block}")
                    options |= {f"o_DO{port}{k}": out[k] for k in range(18)}
                    words[port].append(out[:width])
            m.submodules[f"block_{block}"] = Instance("DP16KD", **options)
        m.d.comb += self.data.eq(Cat(*words["B"])[: self.width])
        if self._has_second:
            m.d.comb += self.second_data.eq(Cat(*words["A"])[: self.width])


def later(m: Module, value: Value, shape: Any = None) -> Signal:
    """A register of a value, of its own shape or another one."""
    register = Signal(value.shape() if shape is None else shape, reset_less=True)
    m.d.sync += register.eq(value)
    return register


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
