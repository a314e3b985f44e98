"""Steps in operations of torch, written from their equations; autograd differentiates them.

The words have gradients of their own: a spike that of the surrogate, ``bounded`` a limited slope, a clip lets gradients
through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor

from izhi.equation import Input, Names, StepGraph, Symbol
from izhi.equation.derivative import slope_of
from izhi.equation.emit import Dialect, function, statements
from izhi.equation.equation import Equation
from izhi.equation.graph import in_order, rewritten
from izhi.equation.integers import fixed_point_constants
from izhi.equation.synapse import exponential, exponential_in_fixed_point
from izhi.kernels.lane import constants_of, record
from izhi.kernels.ops import OpSet
from izhi.kernels.plan import Constants, StepForm
from izhi.kernels.tracing import is_in_trace, is_traced


def is_plain() -> bool:
    """Whether nobody can ask for gradients, as whoever runs a trace may do later."""
    return not torch.is_grad_enabled() and not is_in_trace()


#: A step, written from its equation; its first operand or state gives constants their format.
StepFunction: TypeAlias = Callable[..., tuple[Tensor, ...]]


class _OnlyGradient(torch.autograd.Function):
    """x → 0, with the gradient of factor·x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor | float) -> Tensor:
        ctx.factor = factor
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g * ctx.factor, None


def only_gradient(x: Tensor, factor: Tensor | float = 1.0) -> Tensor:
    """Zeros with the gradient of factor·x; x − x.detach() would be no number where x is infinite."""
    if is_traced():  # compilers and torch.func take operations of torch alone
        return (x - x.detach()) * factor
    return _OnlyGradient.apply(x, factor)  # type: ignore[no-any-return, no-untyped-call]


def spike(x: Tensor, surrogate: Callable[[Tensor], Tensor], *, strict: bool = False) -> Tensor:
    """1 where x ≥ 0 (x > 0 if ``strict``, as snnTorch does), with the surrogate's derivative."""
    fires = ((x > 0) if strict else (x >= 0)).to(x.dtype)
    return fires if is_plain() else fires + only_gradient(surrogate(x))


class _Rounded(torch.autograd.Function):
    """x rounded to a multiple of 1/scale, halves upwards; the gradient goes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        return torch.floor(x * scale + 0.5) / scale

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g, None


def rounded(x: Tensor, scale: float) -> Tensor:
    """x rounded to a multiple of 1/scale, halves upwards, with its gradient let through."""
    return _Rounded.apply(x, scale)  # type: ignore[no-any-return, no-untyped-call]


def _clamped(x: Tensor | float, low: float, high: float) -> Tensor | float:
    """x within limits."""
    return x.clamp(low, high) if isinstance(x, Tensor) else min(max(x, low), high)


def _clipped(x: Tensor | float, low: float, high: float) -> Tensor | float:
    """x within limits; a clipped x keeps its gradient, so that its neuron can still learn."""
    if not isinstance(x, Tensor):
        return _clamped(x, low, high)
    return x.detach().clamp(low, high) + only_gradient(x)


def as_double(x: Tensor | float) -> Tensor | float:
    return x.double() if isinstance(x, Tensor) else x


def _select(condition: Tensor | bool, a: Tensor | float, b: Tensor | float, like: Tensor) -> Tensor | float:
    if isinstance(condition, bool):
        return a if condition else b
    if not (isinstance(a, Tensor) or isinstance(b, Tensor)):
        a = torch.as_tensor(a, dtype=like.dtype, device=like.device)
    return torch.where(condition, a, b)


def _negated(condition: Tensor | bool) -> Tensor | bool:
    """Of a tensor, or of parameters that are numbers, whose ~ is none of conditions."""
    return not condition if isinstance(condition, bool) else ~condition


def _tensor(x: Tensor | float, like: Tensor) -> Tensor:
    """A number that depends on no state as one of each lane."""
    return x if isinstance(x, Tensor) and x.dim() else torch.zeros_like(like) + x


def _bounded(x: Tensor, of: Tensor | float, slope: Tensor | float, limit: float) -> Tensor:
    if not isinstance(of, Tensor):
        return x
    bound = slope.detach().clamp(-limit, limit) if isinstance(slope, Tensor) else min(max(slope, -limit), limit)
    return x + only_gradient(of, bound)


#: The ops of torch, on whose tensors autograd works.
OPS = OpSet(
    inlined=lambda function: function,
    constant=lambda value: value,
    number=float,
    select=torch.where,
    clip=_clipped,
    exp=torch.exp,
    absolute=torch.abs,
    wide=as_double,
    narrow=lambda x: x,
    rounded=lambda x, scale, unit: rounded(x, scale),
)


def _of_number(of_tensor: Callable[[Tensor], Tensor], of_float: Callable[[float], float]) -> Callable[[Any], Any]:
    return lambda x: of_tensor(x) if isinstance(x, Tensor) else of_float(x)


#: What words are where nobody can ask for gradients, and where somebody can.
_PLAIN: dict[str, Any] = {
    "tensor": _tensor, "negated": _negated, "select": _select, "exp": _of_number(torch.exp, math.exp),
    "absolute": _of_number(torch.abs, abs),
    "clip": _clamped, "double": as_double, "single": lambda x: x, "hold": lambda x: x,
    "rounded": lambda x, scale, unit: torch.floor(x * scale + 0.5) / scale, "bounded": lambda x, of, slope, limit: x,
    "spike": lambda x, scale, strict, surrogate, like: spike(
        _tensor(x, like) * scale, surrogate, strict=strict
    ),
}  # fmt: skip
_LEARNING: dict[str, Any] = {
    **_PLAIN,
    "clip": _clipped,
    "hold": lambda x: x.detach() if isinstance(x, Tensor) else x,
    "rounded": lambda x, scale, unit: rounded(x, scale),
    "bounded": _bounded,
}


def _word(node: Symbol, args: list[str]) -> str:
    if node.op == "not":
        return f"negated({args[0]})"
    if node.op == "select":
        return f"select({', '.join(args)}, z0)"
    if node.op == "spike":
        return f"spike({', '.join(args)}, {node.value == 'strict'}, surrogate, z0)"
    return f"{node.op}({', '.join(args)})"


_DIALECT = Dialect(number=repr, word=_word, transparent=())


def _with_slope(node: Symbol, args: tuple[Symbol, ...]) -> tuple[Symbol, ...]:
    """Operands, to which a bounded operation adds its slope."""
    if node.op != "bounded":
        return args
    inner, x, limit = args
    return inner, x, node.graph.lift(slope_of(inner, node.graph.node("hold", x))), limit


def _function(arguments: str, roots: Iterable[Symbol], reads: Iterable[str], learns: bool) -> Callable[..., Any]:
    """The function of a graph, with the words' gradients if somebody can ask for them."""
    roots = rewritten(roots, _with_slope) if learns else list(roots)
    names = {node: str(node.value) for node in in_order(roots) if node.op == "variable"}
    dialect = _DIALECT if learns else _DIALECT._replace(transparent=("hold", "bounded"))
    lines, results = statements(roots, dialect, names)
    fixed = roots[0].graph.fixed  # coefficients alone, which may be numbers
    results = [f"tensor({x}, z0)" if root in fixed else x for x, root in zip(results, roots, strict=True)]
    used = set(names.values())
    body = [*(line for line in reads if line.partition(" ")[0] in used), *lines, f"return {', '.join(results)},"]
    return function("step", arguments, body, _LEARNING if learns else _PLAIN)


_CONSTANTS = [f"k_{name} = k.{name}" for name in Constants._fields]


@cache
def neuron_step(form: StepForm, learns: bool) -> StepFunction:
    """(states, current, conductance, bias, coefficients, constants, surrogate, function of states) → spike, states.

    Args:
        form: of the step.
        learns: whether somebody can ask for gradients; without them it is faster.
    """
    lane = record(form)
    reads = [f"z{k} = states[{k}]" for k in range(form.states)]
    reads += [f"{x.value} = p[{k}]" for k, x in enumerate(lane.coefficients.values())]
    reads.append(f"{lane.bias.value} = bias")
    arguments = "states, current, conductance, bias, p, k, surrogate, state_quant"
    return _function(arguments, (lane.spike, *lane.after), [*reads, *_CONSTANTS], learns)


@cache
def constants_function(equation: Equation) -> Callable[..., tuple[Tensor, ...]]:
    """(coefficients, constants, bias) → the constants of the fixed-point step in their order, and the input's factor.

    ``z0`` gives those that are numbers their format.
    """
    reads = [f"p_{name} = p[{k}]" for k, name in enumerate(equation.coefficients)]
    step = fixed_point_constants(equation)
    roots = [x.expression for x in step.constants]
    factor = roots[0].graph.constant(1.0) if step.factor is None else step.factor
    return _function("p, k, bias, z0", [*roots, factor], [*reads, *_CONSTANTS], learns=True)


@cache
def synapse_step(coupled: bool, quantized: bool, learns: bool) -> StepFunction:
    """(current, conductance, traces, constants) → traces, current and conductance of the neuron."""
    graph = StepGraph()
    x, y, *traces = (graph.variable(name) for name in ("z0", "conductance", "a", "b"))
    k = Names(constants_of(graph))
    if quantized:
        trace = exponential_in_fixed_point(x, traces[0], k)
        roots: tuple[Symbol, ...] = trace, trace
    else:
        after, arriving = exponential(Input(x, y if coupled else None), tuple(traces[: 1 + coupled]), k)
        roots = (*after, *(x for x in arriving if x is not None))
    return _function("z0, conductance, traces, k", roots, ["a = traces[0]", "b = traces[1]", *_CONSTANTS], learns)
