"""A layer's step in gates: the operations of its neurons' step, each in the clock cycle in which it can run.

A cycle has an addition, a comparison or a saturation, and selections; a product takes a cycle of its own, or two where
it needs several multipliers. Sums add first what is ready first, and so does the half that rounds a shift.
"""

from __future__ import annotations

import heapq
import operator
from collections import Counter
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import count
from typing import NamedTuple

from amaranth.hdl import Const, Mux, Value, ValueLike, signed

from izhi.equation.graph import Symbol, in_order
from izhi.equation.integers import bits_gained
from izhi.hardware.core.arithmetic import fitting, partial_products, saturated
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape, step_of

_LOGIC: dict[str, Callable[..., Value]] = {"not": operator.invert, "and": operator.and_, "or": operator.or_}


def _clamped(x: Value, low: Value, high: Value) -> Value:
    """x within limits; the upper one where they cross, as in every executor."""
    return Mux((x > high) | (low > high), high, Mux(x < low, low, x))


class _Timed(NamedTuple):
    """A value in the cycle in which it is computed.

    Attributes:
        stage: of the pipeline.
        level: additions and the like in a row that it takes in that stage, 0 for one from a register.
        name: in the pipeline.
    """

    stage: int
    level: int
    name: str


class _Scheduler:
    """Puts the operations of one neuron's step into a pipeline."""

    def __init__(self, line: Pipeline, shape: LayerShape, results: dict[str, Symbol], unit: int) -> None:
        self._line, self._unit, self._first, self._numbers = line, unit, line.stage, count()
        self._formats, self._fractions = shape.numbers, shape.fractions
        self._uses = Counter(x for node in in_order(results.values()) for x in node.args)
        self._uses.update(results.values())
        self._of: dict[Symbol, _Timed] = {}
        self._inner: set[Symbol] = set()
        for node in in_order(results.values()):
            if node.op in ("+", "-", "negative", "shift"):
                self._inner.update(x for x in node.args if x.op in ("+", "-", "negative") and self._uses[x] == 1)
        for node in in_order(results.values()):
            if node not in self._inner:
                self._of[node] = self._timed(node)

    def __getitem__(self, node: Symbol) -> _Timed:
        return self._of[node]

    def value(self, timed: _Timed, stage: int | None = None) -> Value:
        """A value in a stage, by default its own."""
        return self._line.at(timed.name, timed.stage if stage is None else stage)

    def _put(self, stage: int, level: int, value: ValueLike, name: str = "value") -> _Timed:
        name = f"{name}_{next(self._numbers)}_{self._unit}"
        self._line.put_at(stage, name, value)
        return _Timed(stage, level, name)

    def _timed(self, node: Symbol) -> _Timed:
        if node.op == "variable":
            return _Timed(self._first, 0, f"{node.value}{self._unit}")
        if node.op == "constant":
            return self._put(self._first, 0, Const(0))
        if node.op == "*":
            return self._product(*(self._of[x] for x in node.args))
        if node.op in ("+", "-", "negative", "shift"):
            return self._sum(node)
        args = [self._of[x] for x in node.args]
        if node.op == "aligned":
            return self._put(args[0].stage, args[0].level, self.value(args[0]) << bits_gained(node, self._fractions))
        if node.op == "saturated":
            number = self._formats[str(node.value)]
            fits = len(self.value(args[0])) <= number.width
            return self._next(args, not fits, lambda x: saturated(x, number))
        if node.op == "select":
            return self._next(args, False, lambda c, a, b: Mux(c, a, b))
        if node.op in (">=", ">"):
            return self._next(args, True, lambda a, b: a >= b if node.op == ">=" else a > b)
        if node.op == "clip":
            return self._next(args, True, _clamped)
        if node.op == "absolute":
            return self._next(args, True, lambda x: Mux(x < 0, -x, x))
        return self._next(args, False, _LOGIC[node.op])

    def _next(self, args: list[_Timed], is_long: bool, formula: Callable[..., ValueLike]) -> _Timed:
        """A formula of values, in the first stage that has room for it."""
        stage = max(x.stage for x in args)
        level = max(x.level for x in args if x.stage == stage)
        if is_long and level:
            stage, level = stage + 1, 0
        return self._put(stage, level + is_long, formula(*(self.value(x, stage) for x in args)))

    def _product(self, a: _Timed, b: _Timed) -> _Timed:
        stage = max(x.stage + (x.level > 0) for x in (a, b))
        pairs = partial_products(self.value(a, stage), self.value(b, stage))
        terms = [self._line.product(*pair) for pair in pairs]
        return self._put(stage + 1, int(len(terms) > 1), reduce(operator.add, terms), "product")

    def _sum(self, node: Symbol) -> _Timed:
        """The operands of a sum, and the half of a shift, in pairs of those that are ready first."""
        shift = -bits_gained(node, self._fractions) if node.op == "shift" else 0
        terms = [(self._of[x], sign) for x, sign in self._terms(node.args[0] if node.op == "shift" else node)]
        if shift:
            terms.append((self._put(self._first, 0, Const(1 << (shift - 1), signed(shift + 1))), 1))
        heapq.heapify(terms)
        while len(terms) > 1:
            (a, of_a), (b, of_b) = heapq.heappop(terms), heapq.heappop(terms)
            if of_a < of_b:
                a, b, of_a, of_b = b, a, of_b, of_a
            both = self._next([a, b], True, operator.add if of_a == of_b else operator.sub)
            heapq.heappush(terms, (both, of_a))
        total, sign = terms[0]
        if sign < 0:
            total = self._next([total], True, operator.neg)
        return self._put(total.stage, total.level, self.value(total) >> shift, "sum") if shift else total

    def _terms(self, node: Symbol, sign: int = 1) -> Iterator[tuple[Symbol, int]]:
        """The operands of a sum and of the sums within it that nothing else uses, with their signs."""
        is_root = node.op in ("+", "-", "negative") and (node in self._inner or node not in self._of)
        if not is_root:
            yield node, sign
            return
        first, *others = node.args
        yield from self._terms(first, -sign if node.op == "negative" else sign)
        for x in others:
            yield from self._terms(x, -sign if node.op == "-" else sign)


def neurons(line: Pipeline, shape: LayerShape) -> None:
    """Add a layer's step to a pipeline, for each of its units.

    It reads constants, states, ``sum`` and the ``trace`` of a synapse, each with the number of the unit behind its
    name, and adds ``fired`` and the values after the step, such as ``v_after``.
    """
    results, last = step_of(shape), line.stage
    for unit in range(shape.units):
        scheduler = _Scheduler(line, shape, results, unit)
        for name, node in results.items():
            number = shape.kept.get(name)
            timed = scheduler[node]
            value, after = scheduler.value(timed), f"{name}{unit}" if number is None else f"{name}_after{unit}"
            line.put_at(timed.stage, after, value if number is None else fitting(value, number))
            last = max(last, timed.stage + (timed.level > 0))
    line.advance(last - line.stage)
