"""What Triton compiles for GPUs, ahead of time, of recorded launches: benchmarks/gpu_kernels.py; no GPU is needed.

FakeTensors on a second GPU, and tensors without memory, show shapes, formats and devices of what kernels are given.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from izhi import LIF, Izhikevich, preset
from izhi.kernels.plan import KEEP_EVERY, Call, Constants, LayerCall, Plan, PoolKind, SampleCall, step_form
from tiers import long_but

if not importlib.util.find_spec("triton"):
    pytest.skip("Triton is not installed", allow_module_level=True)

from izhi.kernels import cuda
from izhi.kernels.cuda import events, samples, weighted

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_kernels.py"
TARGETS = ("sm_75", "sm_80", "sm_90", "gfx942")
#: Registers of a thread, at most: of 65,536 of a multiprocessor three blocks of 128 threads have 168 each.
REGISTERS = 168
#: Stores of spills, at most: a few values around the slow path of a division.
SPILLS = 4


def compiled(target: str, cases: str, folder: Path) -> list[dict[str, Any]]:
    """A row of each variant."""
    own = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    words = ("--targets", target, "--cases", cases, "--json", folder / "rows.json")
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)], env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows: list[dict[str, Any]] = json.loads((folder / "rows.json").read_text())
    return rows


def check(row: dict[str, Any]) -> None:
    """Raise AssertionError for assembly with other numbers than a CPU's, or that wastes a GPU."""
    has_units = row["target"] != "sm_75"  # which has none of bfloat16
    assert not row["approximate divisions"]
    assert not row["atomics"]
    if row["kernel"].startswith("recurrence") or (row["kernel"] == "weighted.forward" and has_units):
        assert not row["contractions"]
    if row["kernel"].startswith("recurrence") and row["target"] in ("sm_80", "sm_90"):
        assert row["shared"]  # where loads of later steps arrive
    if row["kernel"].startswith("samples"):  # without tensor cores, products are contractions, which adds exactly
        assert row["contractions"] in (0, samples.ROWS * samples.BLOCK**2 // (32 * row["warps"]))
    if has_units and row["kernel"] in ("events.product", "events.gradient", "weighted.forward"):
        assert row["matrix products"]
    if has_units:
        assert row["registers"] <= REGISTERS
    assert row["spills"] <= SPILLS


#: Rows at least of many launches. Of one target some are in make test-all; all of each take minutes.
LEAST = {"some": 50, "chosen": 200, "every": 800}
MANY = [
    ("some", "sm_90"),
    *(pytest.param(cases, x, marks=pytest.mark.long) for cases in ("chosen", "every") for x in TARGETS),
]


@pytest.mark.slow
def test_neurons_compile(tmp_path: Path) -> None:
    rows = compiled("sm_90", "one", tmp_path)
    assert [row["kernel"] for row in rows] == ["recurrence.forward", "recurrence.backward"]
    for row in rows:
        check(row)


@pytest.mark.slow
@pytest.mark.parametrize("target", long_but(["sm_75", "gfx942"], TARGETS))
def test_each_kernel_of_a_layer_compiles(target: str, tmp_path: Path) -> None:
    rows = compiled(target, "few", tmp_path)
    kernels = {
        *(f"{of}.{way}" for of in ("recurrence", "samples") for way in ("forward", "backward")), "weighted.forward",
        "delay.move", "delay.back", "pool.pool", "pool.spread", "pool.any", "pool.to_first",
    }  # fmt: skip
    assert {row["kernel"] for row in rows} == kernels | {"events.list", "events.gradient", "events.expand"}
    for row in rows:
        check(row)


@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize(("cases", "target"), MANY)
def test_every_launch_compiles(cases: str, target: str, tmp_path: Path) -> None:
    rows = compiled(target, cases, tmp_path)
    assert len(rows) >= LEAST[cases]
    odd = []
    for row in rows:
        try:
            check(row)
        except AssertionError as error:
            odd.append((row["kernel"], row["case"], str(error)))
    assert not odd


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of each launch, which launches nothing."""
    arguments: list[tuple[Any, ...]] = []
    for module in ("delay", "events", "pool", "rate", "recurrence", "samples", "weighted"):
        monkeypatch.setattr(
            sys.modules[f"izhi.kernels.cuda.{module}"],
            "launch",
            lambda kernel, grid, *given, **_: arguments.append(given),
        )
    return arguments


#: torch without CUDA has no views of FakeTensors there, as bits need them.
SECOND, META = torch.device("cuda", 1), torch.device("meta")
T, B, N, I = 40, 4, 24, 100
NEURONS = {
    "lif": LIF().settings, "izhikevich": Izhikevich().settings,
    "smooth": Izhikevich(preset("normalized").replace(reset="smooth")).settings,
}  # fmt: skip


def plan_of(kind: str, dtype: torch.dtype, full: bool) -> Plan:
    s = NEURONS[kind]
    form = step_form(s.equation, coupled=full, filtered=full, biased=full)
    every = tuple(range(len(form.coefficients) + 1))
    return Plan(form, type(s.surrogate), dtype, not full, every if full else ())


def check_tensors(arguments: list[tuple[Any, ...]], device: torch.device) -> None:
    """Every tensor is contiguous, and on the device."""
    tensors = [x for given in arguments for x in given if isinstance(x, torch.Tensor)]
    assert tensors
    assert all(x.device == device and x.is_contiguous() for x in tensors)


@pytest.mark.parametrize("kind", NEURONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("full", [False, True])
def test_shapes_formats_and_devices_of_neurons(
    kind: str, dtype: torch.dtype, full: bool, launches: list[tuple[Any, ...]]
) -> None:
    plan = plan_of(kind, dtype, full)
    constants = torch.zeros(len(Constants._fields))
    with FakeTensorMode(), torch.device(SECOND):
        current, y = (
            torch.empty(T, B * N, dtype=dtype),
            torch.empty(T if full else 1, B * N if full else 0, dtype=dtype),
        )
        p = torch.empty(plan.rows, N if full else 1)
        call = Call(current, y, torch.empty(N if full else 0), p, constants, torch.empty(()))
        spikes, kept, last = cuda.forward(plan, call, torch.empty(plan.states, B * N), KEEP_EVERY)
        assert (spikes.shape, spikes.dtype) == (current.shape, dtype)
        assert (kept.shape, kept.dtype) == ((2, plan.states, B * N), torch.float32)
        g = cuda.backward(plan, call, kept, KEEP_EVERY, torch.empty_like(spikes), last)
        assert (g.current.shape, g.current.dtype) == (current.shape, dtype)
        assert g.state.shape == last.shape == (plan.states, B * N)
        if full:
            assert g.conductance is not None
            assert (g.conductance.shape, g.conductance.dtype) == (y.shape, dtype)
            assert g.bias is not None
            assert (g.bias.shape, g.bias.dtype) == ((B * N,), torch.float32)
            assert g.coefficients is not None
            assert (g.coefficients.shape, g.coefficients.dtype) == ((plan.rows + 1, B * N), torch.float32)
        else:
            assert g.conductance is g.bias is g.coefficients is None
    assert len(launches) == 2
    check_tensors(launches, SECOND)


@pytest.mark.parametrize("kind", NEURONS)
def test_shapes_formats_and_devices_of_bits(kind: str, launches: list[tuple[Any, ...]]) -> None:
    plan = plan_of(kind, torch.bfloat16, False)
    constants = torch.zeros(len(Constants._fields))
    with META:
        words = cuda.rate(torch.empty(B, I), T, 0, None)
        assert (words.shape, words.dtype) == ((B, 2, I), torch.int32)
        found = events.listed(words, T)
        assert events.dense(words, T, torch.bfloat16).shape == (T, B, I)
        out = events.product(found, torch.empty(N, I))
        assert (out.shape, out.dtype) == ((T, B, N), torch.bfloat16)
        gradient = events.weight_gradient(found, out)
        assert (gradient.shape, gradient.dtype) == ((N, I), torch.float32)
        call = LayerCall(
            found, torch.empty(N, I), torch.empty(0), torch.empty(plan.rows, 1), constants, torch.empty(())
        )
        fired, currents, kept, last = weighted.forward(plan, call, torch.empty(plan.states, B * N), keep=True)
        assert (fired.shape, fired.dtype) == ((B, 2, N), torch.int32)
        assert (currents.shape, currents.dtype) == ((T, B * N), torch.bfloat16)
        g = weighted.backward(plan, call, currents, kept, torch.empty(T, B, N), last, True, True)
        assert g.state is not None
        assert g.current is not None
        assert (g.weight.shape, g.state.shape, g.current.shape) == ((N, I), (plan.states, B * N), (T, B, N))
    assert len(launches) == 8
    check_tensors(launches, META)


@pytest.mark.parametrize("kind", NEURONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("full", [False, True])
def test_shapes_formats_and_devices_of_recurrence(
    kind: str, dtype: torch.dtype, full: bool, launches: list[tuple[Any, ...]]
) -> None:
    plan = plan_of(kind, dtype, full)
    constants = torch.zeros(len(Constants._fields))
    with META:
        current, y = torch.empty(T, B * N, dtype=dtype), torch.empty(T, B * N if full else 0, dtype=dtype)
        p, feedback = torch.empty(plan.rows, N if full else 1), torch.empty(N, N, dtype=dtype)
        of_first, bias = torch.empty(B * N) if full else None, torch.empty(N if full else 0)
        call = SampleCall(current, None, y, bias, p, constants, torch.empty(()), feedback, of_first)
        words, currents, kept, last = samples.forward(plan, call, torch.empty(plan.states, B * N), B, keep=True)
        assert (words.shape, words.dtype) == ((B, 2, N), torch.int32)
        assert (currents.shape, currents.dtype) == (current.shape, dtype)
        assert (kept.shape, kept.dtype) == ((2, plan.states, B * N), torch.float32)
        g = samples.backward(plan, call, words, currents, kept, torch.empty(T, B, N, dtype=dtype), last)
        assert g.current is not None
        assert g.feedback is not None
        assert (g.current.shape, g.current.dtype) == (current.shape, dtype)
        assert g.feedback.shape == (N, N)
        assert (g.of_first.shape, g.of_first.dtype) == ((B * N,), torch.float32)
        assert g.state.shape == last.shape == (plan.states, B * N)
        assert (g.bias is None, g.coefficients is None) == (not full, not full)
        of_inference = samples.forward(plan, call, last, B, keep=False)
        assert of_inference[1].numel() == of_inference[2].numel() == 0
    assert len(launches) == 5  # of which the gradients of all else, and spikes from bits, are one each
    check_tensors(launches, META)


@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shapes_formats_and_devices_of_pools(
    dtype: torch.dtype, kind: PoolKind, launches: list[tuple[Any, ...]]
) -> None:
    with FakeTensorMode(), torch.device(SECOND):
        x = torch.empty(T * B, 9, 7, dtype=dtype)
        out, place = cuda.POOLS.forward(x, kind, (2, 3))
        assert (out.shape, out.dtype) == ((T * B, 4, 2), dtype)
        assert (place.shape, place.dtype) == (out.shape if kind == "max" else (0,), torch.uint8)
        grad = cuda.POOLS.backward(out, place, kind, (2, 3), x.shape)
        assert (grad.shape, grad.dtype) == (x.shape, dtype)
    assert len(launches) == 2
    check_tensors(launches, SECOND)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shapes_formats_and_devices_of_pools_of_bits(dtype: torch.dtype, launches: list[tuple[Any, ...]]) -> None:
    with FakeTensorMode(), torch.device(SECOND):
        out, first = cuda.POOLS.forward_of_bits(torch.empty(B * 2 * 3, 9, 7, dtype=torch.int32), (2, 3))
        assert (out.shape, out.dtype) == ((B * 2 * 3, 4, 2), torch.int32)
        assert (first.shape, first.dtype) == ((B * 2 * 3, 9, 7), torch.int32)
        g = torch.empty(T, B, 3, 4, 2, dtype=dtype)
        grad = cuda.POOLS.backward_of_bits(g, first.view(B, 2, 3, 9, 7), (2, 3))
        assert (grad.shape, grad.dtype) == ((T, B, 3, 9, 7), dtype)
    assert len(launches) == 2
    check_tensors(launches, SECOND)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shapes_formats_and_devices_of_delays(dtype: torch.dtype, launches: list[tuple[Any, ...]]) -> None:
    with FakeTensorMode(), torch.device(SECOND):
        x, past = torch.empty(T, B, N, dtype=dtype), torch.empty(9, B, N, dtype=dtype)
        whole = torch.empty(N, dtype=torch.int64)
        out = cuda.DELAYS.forward(x, past, torch.empty(N), whole)
        assert (out.shape, out.dtype) == (x.shape, dtype)
        of_x, of_past, of_delays = cuda.DELAYS.backward(x, past, whole, out)
        assert (of_x.shape, of_x.dtype, of_past.shape, of_past.dtype) == (x.shape, dtype, past.shape, dtype)
        assert (of_delays.shape, of_delays.dtype) == ((N,), torch.float32)
    assert len(launches) == 2
    check_tensors(launches, SECOND)
