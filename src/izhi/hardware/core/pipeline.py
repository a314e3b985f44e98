"""A pipeline of named values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from operator import add

from amaranth.hdl import Module, Signal, Value, ValueLike

from izhi.hardware.core.arithmetic import partial_products


class Pipeline:
    """Values by name, which go on to the next stage together; those that nothing reads are optimised away.

    Args:
        moves: they go on where it is high.

    Attributes:
        stage: cycles from the first one to this.
    """

    def __init__(self, m: Module, moves: ValueLike = 1) -> None:
        self._m, self._moves, self._now = m, Value.cast(moves), dict[str, Value]()
        self.stage = 0

    def put(self, **values: ValueLike) -> None:
        """Values of this stage, in place of those of the same names."""
        self._now.update({name: Value.cast(value) for name, value in values.items()})

    def each(self, units: int, name: str, formula: Callable[[Callable[[str], Value]], ValueLike]) -> None:
        """One value for each of several units, ``name0`` …: a formula of the unit's other values, by name."""
        for k in range(units):
            self.put(**{f"{name}{k}": formula(partial(self._of_unit, k))})

    def _of_unit(self, k: int, name: str) -> Value:
        return self._now[f"{name}{k}"]

    def __getitem__(self, name: str) -> Value:
        return self._now[name]

    def multiply(self, units: int, **factors: tuple[str, str]) -> None:
        """Products of each unit's values, by name: a cycle later, or two where one takes several multipliers."""
        parts = {
            f"{name}{k}": partial_products(self[f"{a}{k}"], self[f"{b}{k}"])
            for name, (a, b) in factors.items()
            for k in range(units)
        }
        for name, of_one in parts.items():
            self.put(**{f"{name}_part{place}": part for place, part in enumerate(of_one)})
        self.advance()
        for name, of_one in parts.items():
            self.put(**{name: reduce(add, (self[f"{name}_part{place}"] for place in range(len(of_one))))})
        if any(len(of_one) > 1 for of_one in parts.values()):
            self.advance()

    def advance(self) -> None:
        """One clock cycle later."""
        self.stage += 1
        for name, value in self._now.items():
            # Only what says that a value counts needs a reset.
            register = Signal(value.shape(), name=f"{name}_{self.stage}", reset_less=not name.startswith("is_"))
            with self._m.If(self._moves):
                self._m.d.sync += register.eq(value)
            self._now[name] = register
