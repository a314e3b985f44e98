"""A neuron's step as equations in LaTeX."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from izhi.equation.equation import Equation, recorded
from izhi.equation.graph import Symbol, in_order, number_of

#: How tightly operations bind; operands that bind less are put in parentheses.
_SUM, _PRODUCT, _ATOM = 1, 2, 3
_GREEK = ("alpha", "beta", "gamma", "delta", "omega", "tau", "theta", "kappa", "rho", "mu", "sigma", "lambda")
_RELATIONS = {">=": r"\ge", ">": ">", "and": r"\land", "or": r"\lor"}


def _name(name: str) -> str:
    """A name; what is behind its first _ is a subscript."""
    first, *others = re.sub(r"^([a-z])(\d+)$", r"\1_\2", "theta" if name == "threshold" else name).split("_")
    symbol = f"\\{first}" if first in _GREEK else first if len(first) == 1 else rf"\mathrm{{{first}}}"
    return f"{symbol}_{{\\mathrm{{{' '.join(others)}}}}}" if others else symbol


class _Writer:
    """Expressions as text, with how tightly each binds."""

    def __init__(self, names: dict[Symbol, str]) -> None:
        self.names = names

    def __call__(self, node: Symbol, least: int = _SUM) -> str:
        text, binds = self._text(node)
        return text if binds >= least else rf"\left({text}\right)"

    def _text(self, node: Symbol) -> tuple[str, int]:
        if node in self.names:
            return self.names[node], _ATOM
        if node.op == "constant":
            value = number_of(node)
            return f"{value:g}", _ATOM if value >= 0 else _SUM
        return self.defined(node)

    def defined(self, node: Symbol) -> tuple[str, int]:
        """An operation, though it may have a name."""
        op, args = node.op, node.args
        if op in ("+", "-"):
            return f"{self(args[0])} {op} {self(args[1], _SUM if op == '+' else _PRODUCT)}", _SUM
        if op == "*":
            if args[0] is args[1]:
                return f"{self(args[0], _ATOM)}^2", _PRODUCT
            return rf"{self(args[0], _PRODUCT)} \, {self(args[1], _PRODUCT)}", _PRODUCT
        if op == "/":
            return rf"\frac{{{self(args[0])}}}{{{self(args[1])}}}", _ATOM
        if op == "negative":
            return f"-{self(args[0], _PRODUCT)}", _SUM
        if op in _RELATIONS:
            return f"{self(args[0], _PRODUCT)} {_RELATIONS[op]} {self(args[1], _PRODUCT)}", _SUM
        if op == "select":
            condition, a, b = map(self, args)
            return rf"\begin{{cases}} {a} & {condition} \\ {b} & \text{{otherwise}} \end{{cases}}", _ATOM
        if op == "spike":
            return rf"\left[{self(args[0])} {'>' if node.value == 'strict' else chr(92) + 'ge'} 0\right]", _ATOM
        if op in ("hold", "bounded"):  # they have no meaning forward
            return self(args[0], _ATOM), _ATOM
        if op == "not":
            return rf"\lnot {self(args[0], _ATOM)}", _PRODUCT
        if op == "clip":
            x, low, high = map(self, args)
            return rf"\min(\max({x},\, {low}),\, {high})", _ATOM
        inside = self(args[0])
        return (rf"e^{{{inside}}}", _PRODUCT) if op == "exp" else (rf"\left|{inside}\right|", _ATOM)


def latex(equation: Equation) -> str:
    """The states after a step and the spike s, as an ``aligned`` environment.

    What is used more than once is defined first, as x_1, x_2 and so on.
    """
    step = recorded(equation)
    *after, fires = roots = step.results
    names = {x: _name(name) for x, name in step.names.items()}
    write, lines = _Writer(names), list[str]()
    uses = Counter(x for node in in_order(roots) for x in node.args)
    shared = [x for x in in_order(roots) if x is fires or (uses[x] + (x in after) > 1 and len(x.args) > 1)]
    numbers = itertools.count(1)
    for node in shared:
        text, _ = write.defined(node) if node.args else (write(node), _ATOM)
        names[node] = "s" if node is fires else f"x_{{{next(numbers)}}}"
        lines.append(f"{names[node]} &= {text}")
    lines += [rf"{_name(name)} &\leftarrow {write(x)}" for name, x in zip(equation.states, after, strict=True)]
    body = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
