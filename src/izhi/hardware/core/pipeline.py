"""A pipeline of named values, and its multipliers.

A multiplier has a latency of one cycle. Like its memory, ECP5's multiplier has an output register that open synthesis
leaves unused.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value, ValueLike, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import MULTIPLIER_BITS, partial_products
from izhi.hardware.core.memories import ECP5


class Pipeline:
    """Values by name, which move to the next stage together; a register is made only for a value that is read later.

    Args:
        m: the module to which the registers are added, in a submodule.
        moves: enables the registers.

    Attributes:
        stage: cycles since the first stage.
    """

    def __init__(self, m: Module, moves: ValueLike = 1) -> None:
        self._registers, self._moves = Module(), Value.cast(moves)
        m.submodules += self._registers
        #: For each name the stage of its value, and the value there and in the stages since.
        self._line = dict[str, tuple[int, list[Value]]]()
        self.stage = 0

    def put(self, **values: ValueLike) -> None:
        """Set values of this stage, which replace those of the same names."""
        self.later(0, **values)

    def later(self, cycles: int, **values: ValueLike) -> None:
        """Set values that appear so many cycles behind this stage by themselves."""
        self._line.update({name: (self.stage + cycles, [Value.cast(value)]) for name, value in values.items()})

    def put_at(self, stage: int, name: str, value: ValueLike) -> None:
        """Set a value of some stage."""
        self._line[name] = stage, [Value.cast(value)]

    def __getitem__(self, name: str) -> Value:
        return self.at(name, self.stage)

    def at(self, name: str, stage: int) -> Value:
        """The value of a name in some stage."""
        first, stages = self._line[name]
        for number in range(first + len(stages), stage + 1):
            # Only registers that say whether other values are valid need a reset.
            register = Signal(stages[-1].shape(), name=f"{name}_{number}", reset_less=not name.startswith("is_"))
            with self._registers.If(self._moves):
                self._registers.d.sync += register.eq(stages[-1])
            stages.append(register)
        return stages[stage - first]

    def multiply(self, **factors: tuple[str, str]) -> None:
        """Products of values, by name: a cycle later, or two if one needs several multipliers."""
        products = {
            name: [self.product(*pair) for pair in partial_products(self[a], self[b])]
            for name, (a, b) in factors.items()
        }
        self.advance()
        for name, terms in products.items():
            self.put(**{name: reduce(add, terms)})
        if any(len(terms) > 1 for terms in products.values()):
            self.advance()

    def product(self, a: Value, b: Value, shift: int) -> Value:
        """a·b·2^shift, in the stage behind that of the factors."""
        multiplier = Multiplier(len(a), len(b))
        self._registers.submodules += multiplier
        self._registers.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b), multiplier.moves.eq(self._moves)]
        return multiplier.product << shift

    def advance(self, cycles: int = 1) -> None:
        """Go to the next stage, or several stages further."""
        self.stage += cycles

    def flags(self, name: str, cycles: int) -> list[Value]:
        """Go some stages further; returns a value of each of them on the way."""
        values = list[Value]()
        for _ in range(cycles):
            self.advance()
            values.append(self[name])
        return values


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
