"""Every plan in NumPy, and an array of plans with every pair of their settings compiled, against the reference."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, product
from typing import Any

import pytest
import torch
from test_fused import SURROGATES, assert_same, drive_of

import numpy_kernels
from izhi import LIF, Izhikevich, IzhikevichParameters, preset
from izhi.hardware.fixed import FixedPoint
from izhi.kernels import SynapticInput
from izhi.kernels.plan import Plan
from izhi.neurons.surrogate import ATan, Sigmoid, Triangular
from izhi.quantization.neurons import QuantizedNeuron, StateFormats
from izhi.spec import ORDERS

RESONATOR = IzhikevichParameters(
    a1=0.05, a2=-0.04, a3=-0.4, a4=0.02, b1=0.4, b2=-0.04, b3=0.01, c=-0.2, d=0.1, threshold=0.5, surrogate_span=0.6,
    q_damping=0.05,
)  # fmt: skip
PARAMETERS = {"value": preset("normalized"), **dict.fromkeys(("subtract", "none", "smooth"), RESONATOR)}
#: Neurons of every equation, by name: (what is learned, and other settings) → a neuron.
NEURONS: dict[str, Callable[..., Any]] = {
    **{
        f"{order} {reset}": partial(Izhikevich, parameters.replace(order=order, reset=reset))
        for order, (reset, parameters) in product(ORDERS, PARAMETERS.items())
    },
    **{
        f"lif {reset} {'late' if delay else 'now'}": partial(
            LIF, 0.9, reset=reset, reset_delay=delay, v_reset=-0.2 if reset == "value" else 0.0
        )
        for reset, delay in product(("subtract", "soft", "zero", "value", "none"), (True, False))
    },
}
FORMATS = StateFormats(*[FixedPoint(16, 11)] * 2, trace=FixedPoint(16, 4))
BOOLEANS = (False, True)
LEARN = ("none", "some", "all")


def names_of(neuron: str) -> tuple[str, ...]:
    """Coefficients that a neuron can learn together."""
    made = NEURONS[neuron]()
    unused = made.base_parameters.unused if isinstance(made, Izhikevich) else ()
    return tuple(x for x in made.coefficients()._fields if x not in unused)


def learned_of(name: str, learn: str) -> tuple[str, ...]:
    """The coefficients that a neuron of a plan learns."""
    names = names_of(name)
    return {"none": (), "some": names[1::2], "all": names}[learn]


def neuron_of(name: str, learn: str, shared: bool, quantized: bool, width: int, surrogate: Any, kernel: str) -> Any:
    """A neuron of a plan, whose coefficients differ by neuron unless they are shared."""
    learned, options = learned_of(name, learn), {"surrogate": surrogate, "kernel": kernel}
    if shared:
        neuron = NEURONS[name](learn=learned, **options)
    else:
        neuron = NEURONS[name](learn=learned or names_of(name), parameter_shape=width, **options)
        draw = torch.Generator().manual_seed(1)
        for x in neuron.learned.values():
            x.data *= 1 + 0.02 * torch.randn(width, generator=draw)
        neuron.requires_grad_(learn != "none")
    return QuantizedNeuron(neuron, FORMATS) if quantized else neuron


def input_of(
    shape: tuple[int, ...], coupled: bool, filtered: bool, biased: bool, quantized: bool, shared: bool, size: float
) -> Any:
    """The synaptic input of a plan, about as large as makes some neurons fire."""
    current = (torch.randn(shape) + 0.4) * size
    drive = drive_of(current, torch.rand(shape) * 0.2 if coupled else None, filtered, biased)
    if not quantized:
        return drive
    gain = torch.linspace(0.8, 1.2, 1 if shared else shape[-1]) * size / 16
    return drive._replace(current=(current * 16 / size).round(), gain=gain)


def in_format(drive: SynapticInput, dtype: torch.dtype) -> SynapticInput:
    """The same with current and conductance in a format."""
    conductance = None if drive.conductance is None else drive.conductance.to(dtype)
    return drive._replace(current=drive.current.to(dtype), conductance=conductance)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans of all calls, which NumPy computes."""
    numpy_kernels.use(monkeypatch)
    found: list[Plan] = []
    forward = numpy_kernels.DEVICE.forward

    def noted(plan: Plan, *rest: Any, **named: Any) -> Any:
        found.append(plan)
        return forward(plan, *rest, **named)

    monkeypatch.setattr(numpy_kernels.DEVICE, "forward", noted)
    return found


def cases_of(name: str) -> list[dict[str, Any]]:
    """What plans of a neuron differ in.

    The bias of a quantised neuron is one of its constants, and of half steps, of several.
    """
    found = []
    for quantized, learn, shared, filtered in product(BOOLEANS, LEARN, BOOLEANS, BOOLEANS):
        for coupled, biased in product(BOOLEANS, BOOLEANS) if not quantized else [(False, "s2nn" not in name)]:
            found.append({"quantized": quantized, "learn": learn, "shared": shared, "filtered": filtered,
                          "coupled": coupled, "biased": biased})  # fmt: skip
    return found


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("which", ["every pair of settings", pytest.param("all", marks=pytest.mark.slow)])
def test_every_plan_is_the_reference_without_a_compiler(which: str, name: str, plans: list[Plan]) -> None:
    """All but the loops: a step and its backward pass, for every coefficient and with every input."""
    width, cases = 12, cases_of(name)
    for k, case in enumerate(cases if which == "all" else of_every_pair(cases, len(cases)), 1):
        quantized, learn, shared, filtered, coupled, biased = case.values()
        torch.default_generator.manual_seed(k)  # torch.manual_seed takes a millisecond
        size = 2.0 if "lif" in name else 0.8
        drive = input_of((6, 3, width), coupled, filtered, biased, quantized, shared, size)
        surrogate = SURROGATES[k % len(SURROGATES)]
        make = partial(neuron_of, name, learn, shared, quantized, width, surrogate)
        spikes = assert_same(make, drive, "cpu", 1e-4, learns_decay=learn == "all")
        assert 0.01 < spikes.mean() < 0.9
        plan, form = plans[-1], plans[-1].form
        assert (form.coupled, form.filtered, form.quantized) == (coupled, filtered, quantized)
        assert (plan.biased, plan.shared, bool(plan.learn)) == (biased, shared, learn != "none")
        if not quantized:  # whose constants are made of several coefficients
            learned = learned_of(name, learn)
            every = [x in learned for x in form.coefficients] + [filtered and learn == "all"]
            assert plan.learn == tuple(k for k, is_learned in enumerate(every) if is_learned)


#: What compiled plans are made of. ``test_ops.py`` compiles the formulas of other surrogates.
SETTINGS: dict[str, Sequence[Any]] = {
    "name": ("fpga-ip value", "izhikevich-2004 subtract", "s2nn none", "simultaneous smooth", "lif subtract late"),
    "surrogate": (ATan(2.0), Sigmoid(4.0), Triangular(0.7)),
    "learn": LEARN,
    "dtype": (torch.float32, torch.bfloat16),
    **dict.fromkeys(("shared", "coupled", "filtered", "biased", "quantized", "recurrent"), BOOLEANS),
}


def is_plan(plan: Mapping[str, Any]) -> bool:
    """Whether there are such neurons; recurrence in bfloat16 has tests of its own, of CPUs that multiply it."""
    if plan["recurrent"] and plan["dtype"] == torch.bfloat16:
        return False
    fits = plan["biased"] != plan["name"].startswith("s2nn") and not plan["coupled"] and not plan["recurrent"]
    return not plan["quantized"] or fits


def pairs_of(plan: Mapping[str, Any]) -> set[Any]:
    """Every pair of a plan's settings."""
    return set(combinations(plan.items(), 2))


def of_every_pair(plans: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Some plans with every pair of settings that any has: of ``most`` random ones the best, one after another."""
    draw = random.Random(0)
    left, chosen = set[Any]().union(*map(pairs_of, plans)), list[Mapping[str, Any]]()
    while left:
        chosen.append(max(draw.sample(plans, most), key=lambda plan: len(pairs_of(plan) & left)))
        left -= pairs_of(chosen[-1])
    return chosen


COMPILED = of_every_pair(
    [plan for plan in (dict(zip(SETTINGS, x, strict=True)) for x in product(*SETTINGS.values())) if is_plan(plan)], 400
)


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def check_extremes(make: Callable[[str], Any], drive: SynapticInput) -> None:
    """Currents that are huge, infinite or no numbers give what the reference gives, and spikes stay 0 and 1."""
    odd = torch.tensor([math.nan, math.inf, -math.inf, 1e10, -1e19, 3e38, -3e38, 30.0, 0.5], dtype=drive.current.dtype)
    current, results = torch.stack([odd.roll(2 * t) for t in range(5)])[:, None], []
    for kernel in ("reference", "cpu"):
        leaf = current.clone().requires_grad_()
        spikes, last = make(kernel)(drive._replace(current=leaf))
        (gradient,) = torch.autograd.grad(spikes.float().sum() + last.v.sum(), leaf)
        results.append([spikes, *(x for x in last if isinstance(x, torch.Tensor)), *last.memory.synapse, gradient])
    assert set(results[1][0].unique().tolist()) == {0.0, 1.0}
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("plan", COMPILED, ids=lambda plan: "-".join(str(x) for x in plan.values()))
def test_compiled_plans_are_the_reference(plan: dict[str, Any], two_threads: None) -> None:
    """Loops, blocks, threads and memory: from one lane to more than a block, over more steps than a state is kept."""
    name, surrogate, learn, dtype, shared, coupled, filtered, biased, quantized, recurrent = plan.values()
    size = 2.0 if "lif" in name else 0.8
    for k, shape in enumerate(((1, 1, 1), (37, 3, 7), (9, 5, 700), (6, 2, 33))):
        if recurrent and shape[2] == 700:
            continue
        torch.manual_seed(k)
        drive = input_of(shape, coupled, filtered, biased, quantized, shared, size)
        # Whole parts of 64, whose sums are exact in any order.
        feedback = torch.randint(-8, 9, (shape[2],) * 2) / 64 if recurrent else None
        drive = in_format(drive._replace(current=(drive.current * 64).round() / 64, feedback=feedback), dtype)
        make = partial(neuron_of, name, learn, shared, quantized, shape[2], surrogate)
        spikes = assert_same(make, drive, "cpu", 1e-4 if dtype == torch.float32 else 1e-2, learns_decay=learn == "all")
        assert k == 0 or 0.01 < spikes.float().mean() < 0.9
    if not quantized:
        feedback = torch.eye(9) if recurrent else None
        drive = input_of((5, 1, 9), coupled, filtered, biased, False, shared, size)._replace(feedback=feedback)
        check_extremes(partial(neuron_of, name, learn, shared, False, 9, surrogate), in_format(drive, dtype))
