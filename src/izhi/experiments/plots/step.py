"""The operations of a neuron's step as a graph."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from matplotlib.figure import Figure

from izhi.equation import Equation, Symbol
from izhi.equation.equation import recorded
from izhi.equation.graph import in_order
from izhi.experiments.plots.figure import COLOURS

_SIGNS = {"*": "·", "negative": "−", "-": "−", "/": "÷", ">=": "≥"}


def step_graph(equation: Equation, title: str = "") -> Figure:
    """The operations of a step from left to right: states and input, what is computed of them, and the results.

    Parameters are written beside the operation that takes them.
    """
    step = recorded(equation)
    results, names, fixed = step.results, step.names, step.current.graph.fixed
    shown = [x for x in in_order(results) if x not in fixed]
    places = _placed(shown)
    columns = Counter(x for x, _ in places.values())
    last = 1 + max(columns)
    figure = Figure(figsize=(1.5 + 0.95 * last, 1.2 + 0.62 * max(columns.values())), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    for node in shown:
        for other in node.args:
            if other in places:
                is_far = places[node][0] > 1 + places[other][0]  # passes other operations in an arc
                axes.annotate("", places[node], places[other], arrowprops={
                    "arrowstyle": "-|>", "color": "0.6", "shrinkA": 13, "shrinkB": 13, "lw": 0.8,
                    "connectionstyle": f"arc3,rad={0.18 if is_far else 0}",
                })  # fmt: skip
    for node, place in places.items():
        is_result = node in results
        colour = COLOURS[1] if is_result else COLOURS[0] if node.op == "variable" else "0.25"
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": colour, "lw": 1.4 if is_result else 0.8}
        axes.text(*place, _label(node, names), ha="center", va="center", fontsize=8, color=colour, bbox=box)
    for name, node in zip((*equation.states, "spike"), results, strict=True):
        if node in places:
            x, y = places[node]
            axes.text(x, y - 0.42, f"→ {name}", ha="center", va="center", fontsize=8, color=COLOURS[1])
    axes.set_xlim(-0.6, last - 0.3)
    axes.set_ylim(*(sign * (max(abs(y) for _, y in places.values()) + 0.7) for sign in (1, -1)))
    figure.suptitle(title or equation.name, fontsize=11)
    return figure


def _placed(shown: list[Symbol]) -> dict[Symbol, tuple[int, float]]:
    """Where each node stands: behind all that it is made of, and about as high as they."""
    column: dict[Symbol, int] = {}
    row = defaultdict[int, list[Symbol]](list)
    for node in shown:
        column[node] = 1 + max((column[x] for x in node.args if x in column), default=-1)
        row[column[node]].append(node)
    places = dict[Symbol, tuple[int, float]]()
    for x, nodes in row.items():
        middle = {n: [places[y][1] for y in n.args if y in places] or [0.0] for n in nodes}
        nodes.sort(key=lambda n: sum(middle[n]) / len(middle[n]))
        places |= {node: (x, k - (len(nodes) - 1) / 2) for k, node in enumerate(nodes)}
    return places


def _label(node: Symbol, names: Mapping[Symbol, str]) -> str:
    """An operation, and the parameters and numbers that it takes."""
    if node.op == "variable":
        return str(node.value)
    own = [_text(x, names) for x in node.args if x in node.graph.fixed]
    return node.op if node.op == "spike" else " ".join([_SIGNS.get(node.op, node.op), *own])


def _text(x: Symbol, names: Mapping[Symbol, str]) -> str:
    """An expression of parameters."""
    if not x.args:
        return f"{x.value:g}" if isinstance(x.value, float) else names[x]
    sign, args = _SIGNS.get(x.op, x.op), [_text(y, names) for y in x.args]
    return f"({args[0]} {sign} {args[1]})" if len(args) == 2 else f"{sign}({args[0]})"
