"""A recorded step as statements of Python, one for each operation that results depend on."""

from __future__ import annotations

import linecache
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from izhi.equation.graph import Symbol, in_order, number_of

#: Operations that stand between their operands in Python.
INFIX: Mapping[str, str] = {**{op: op for op in ("+", "-", "*", "/", ">=", ">")}, "and": "&", "or": "|"}


class Dialect(NamedTuple):
    """How executors write operations in Python.

    Attributes:
        number: a constant.
        word: an operation that Python has no infix for.
        transparent: operations whose result is their first operand.
        infix: operations that stand between their operands.
    """

    number: Callable[[float], str]
    word: Callable[[Symbol, list[str]], str]
    transparent: tuple[str, ...] = ("hold", "bounded")
    infix: Mapping[str, str] = INFIX


def python_word(node: Symbol, args: list[str]) -> str:
    """A call of a function of the same name; a spike compares its first operand alone."""
    if node.op == "not":
        return f"~{args[0]}"
    if node.op == "spike":
        return f"select({args[0]} {'>' if node.value == 'strict' else '>='} {ZERO}, {ONE}, {ZERO})"
    return f"{node.op}({', '.join(args)})"


ZERO, ONE = "zero", "one"
_NAMED = {0.0: ZERO, 1.0: ONE}
#: Python in the functions of ``izhi.kernels.ops.OpSet``; numbers are those of the compiler.
PYTHON = Dialect(lambda x: _NAMED.get(x, f"number({x!r})"), python_word)


def statements(roots: Iterable[Symbol], dialect: Dialect, names: Mapping[Symbol, str]) -> tuple[list[str], list[str]]:
    """Statements in order, and the expressions that are the roots after them.

    Args:
        roots: results.
        dialect: of the executor.
        names: of nodes that have one already, the variables among them.
    """
    roots = list(roots)
    lines: list[str] = []
    expressions = dict(names)
    for node in in_order(roots):
        if node in expressions:
            continue
        args = [expressions[x] for x in node.args]
        if node.op == "constant":
            expressions[node] = dialect.number(number_of(node))
        elif node.op in dialect.transparent:
            expressions[node] = args[0]
        else:
            expressions[node] = f"t{len(lines)}"
            lines.append(f"{expressions[node]} = {_expression(node, args, dialect)}")
    return lines, [expressions[root] for root in roots]


def _expression(node: Symbol, args: list[str], dialect: Dialect) -> str:
    if node.op == "negative":
        return f"-{args[0]}"
    return f"{args[0]} {dialect.infix[node.op]} {args[1]}" if node.op in dialect.infix else dialect.word(node, args)


def tuple_of(values: Iterable[str]) -> str:
    """The expression of a tuple."""
    return f"({''.join(f'{value}, ' for value in values)})"


def operations(roots: Iterable[Symbol]) -> Counter[str]:
    """How often each operation is in a step."""
    skipped = ("variable", "constant", "hold", "bounded", "single", "double")
    return Counter(node.op for node in in_order(roots) if node.op not in skipped)


def function(name: str, arguments: str, body: Iterable[str], environment: Mapping[str, Any]) -> Callable[..., Any]:
    """A function of Python from its statements, which debuggers and compilers can read.

    Its file is named by its content: the same text is the same function in every process. What it calls are variables
    of a function around it, as compilers expect that find no module of that name.
    """
    text = "".join(f"        {line}\n" for line in body)
    source = f"def around({', '.join(environment)}):\n    def {name}({arguments}):\n{text}    return {name}\n"
    file = f"<izhi.equation {sha256(source.encode()).hexdigest()[:16]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope: dict[str, Any] = {"__name__": __name__}
    exec(compile(source, file, "exec"), scope)
    made: Callable[..., Any] = scope["around"](**environment)
    return made
