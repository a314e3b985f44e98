"""A block memory with a latency of two cycles, for simulation and most devices, and for Lattice's ECP5.

ECP5's block memory has an output register that open synthesis leaves unused. In a register elsewhere its word arrives
so late that no other logic fits into that cycle.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, unsigned
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
        write, read = cells.write_port(), cells.read_port()
        m.d.comb += [
            write.addr.eq(self.write_address), write.data.eq(self.write_data), write.en.eq(self.write_enable),
            read.addr.eq(self.read_address), read.en.eq(self.read_enable), self.data.eq(later(m, read.data)),
        ]  # fmt: skip
        if self._has_second:
            second = cells.read_port()
            m.d.comb += [
                second.addr.eq(self.write_address), second.en.eq(self.second_read_enable & ~self.write_enable),
                self.second_data.eq(later(m, second.data)),
            ]  # fmt: skip
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
