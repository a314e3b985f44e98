"""A multiplier with a latency of one cycle, for simulation and most devices, and for Lattice's ECP5.

Like its memory, ECP5's multiplier has an output register that open synthesis leaves unused.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import MULTIPLIER_BITS
from izhi.hardware.core.block_memory import ECP5


class Multiplier(wiring.Component):
    """Product of two signed factors of at most MULTIPLIER_BITS bits.

    Ports:
        a, b: the factors.
        moves: enables the register of the product.
        product: the last one.
    """

    def __init__(self, a: int, b: int) -> None:
        if max(a, b) > MULTIPLIER_BITS:
            raise ValueError(f"factors have {a} and {b} bits, expected at most {MULTIPLIER_BITS}")
        ports = {"a": In(signed(a)), "b": In(signed(b)), "moves": In(1), "product": Out(signed(a + b))}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if platform == ECP5:
            self._of_ecp5(m)
            return m
        product = Signal.like(self.product, reset_less=True)
        with m.If(self.moves):
            m.d.sync += product.eq(self.a * self.b)
        m.d.comb += self.product.eq(product)
        return m

    def _of_ecp5(self, m: Module) -> None:
        """A MULT18X18D whose output register alone is used (Lattice FPGA-TN-02205)."""
        factors = [Signal(signed(18), name=f"factor_{name}") for name in "ab"]
        product = Signal(36)
        m.d.comb += [factors[0].eq(self.a), factors[1].eq(self.b), self.product.eq(product[: len(self.product)])]
        options: dict[str, Any] = {
            "p_REG_OUTPUT_CLK": "CLK0", "p_REG_OUTPUT_CE": "CE0", "p_REG_OUTPUT_RST": "RST0",
            "i_CLK0": ClockSignal(), "i_CE0": self.moves, "i_RST0": Const(0),
            "i_SIGNEDA": Const(1), "i_SIGNEDB": Const(1), "i_SOURCEA": Const(0), "i_SOURCEB": Const(0),
        }  # fmt: skip
        for name, factor in zip("AB", factors, strict=True):
            options |= {f"i_{name}{k}": factor[k] for k in range(18)}
        options |= {f"i_C{k}": Const(0) for k in range(18)} | {f"o_P{k}": product[k] for k in range(36)}
        m.submodules.multiplier = Instance("MULT18X18D", **options)
