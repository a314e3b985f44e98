"""A pipeline of named values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from amaranth.hdl import Module, Signal, Value, ValueLike


class Pipeline:
    """Values by name, which go on to the next stage together; those that nothing reads are optimised away."""

    def __init__(self, m: Module) -> None:
        self._m, self._now = m, dict[str, Value]()
        self._stage = 0

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

    def advance(self) -> None:
        """One clock cycle later."""
        self._stage += 1
        for name, value in self._now.items():
            register = Signal(value.shape(), name=f"{name}_{self._stage}")
            self._m.d.sync += register.eq(value)
            self._now[name] = register
