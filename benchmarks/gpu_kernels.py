"""Every kernel for GPUs, compiled without a GPU: registers, shared memory, spills and instructions of each variant.

    python benchmarks/gpu_kernels.py --targets sm_90,gfx942 --cases chosen --json build/gpu.json
    python benchmarks/gpu_kernels.py --table build/gpu.json     # variants × targets, as a table

Calls of the library, on a CPU that plays a GPU, record what Triton would compile for each launch: formats, arguments
that are 1 or divisible by 16, options. Nothing is run. Each variant is then compiled for each target.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast
from unittest import mock

if __name__ == "__main__":
    os.environ.pop("TRITON_INTERPRET", None)  # the interpreter compiles nothing

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from triton.compiler.compiler import make_backend
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction, create_function_from_signature

from izhi import LIF, Izhikevich, kernels, preset
from izhi.kernels import (
    Memory,
    PackedSpikes,
    SpikeGradient,
    Synapse,
    SynapticInput,
    WeightedSpikes,
    cuda,
    delay,
    device,
    dispatch,
    packed,
    products,
    routes,
)
from izhi.kernels.cuda import events
from izhi.kernels.plan import Formats, Grid, PoolKind, step_form
from izhi.kernels.routes import Machine, NeuronCall, ProductCall
from izhi.neurons import surrogate
from izhi.neurons.neuron import NeuronLayer as _NeuronLayer
from izhi.spec import COEFFICIENTS, ORDERS, ResetMode

TARGETS = {f"sm_{arch}": GPUTarget("cuda", arch, 32) for arch in (75, 80, 90)}
TARGETS["gfx942"] = GPUTarget("hip", "gfx942", 64)
#: What Triton takes the arguments of a launch apart by; the same for every target here.
_HOST = make_backend(TARGETS["sm_80"])
#: T, B, N: lanes that are divisible by 16.
SHAPE = (40, 16, 32)
#: The same with N as an image, of which spikes are bits.
IMAGES = (40, 16, 1, 4, 8)
NeuronLayer: TypeAlias = _NeuronLayer[Any, Any]
LIF_RESETS = ("subtract", "soft", "zero", "value", "none")
IZHIKEVICH_RESETS = ("subtract", "none", "smooth")


@contextmanager
def played_gpu() -> Iterator[None]:
    """Calls on CPU tensors choose the kernels that they would choose on a GPU."""

    def product(*arguments: Any, **named: Any) -> ProductCall:
        return ProductCall(*arguments, **named)._replace(device="cuda")

    def neurons(*arguments: Any, **named: Any) -> NeuronCall:
        return NeuronCall(*arguments, **named)._replace(device="cuda")

    with ExitStack() as stack:
        for module in (packed, products):
            stack.enter_context(mock.patch.object(module, "bits_on", return_value=cuda.BITS))
        stack.enter_context(mock.patch.object(products, "ProductCall", product))
        stack.enter_context(mock.patch.object(dispatch, "NeuronCall", neurons))
        stack.enter_context(mock.patch.object(device, "device_of_kernels", return_value=("cuda", "")))
        stack.enter_context(mock.patch.object(delay, "_waits", return_value=True))
        for module in (dispatch, routes):
            machine = Machine(None, has_triton=True)
            stack.enter_context(mock.patch.object(module, "this_machine", return_value=machine))
        yield


@dataclasses.dataclass(frozen=True)
class Variant:
    """What Triton compiles once.

    Attributes:
        kernel: its module and name.
        case: the first call that launches it.
        source: the function, with formats and constants.
        options: of the compiler.
    """

    kernel: str
    case: str
    source: ASTSource
    options: dict[str, Any]


class NoDriver:
    """The driver of a GPU that does nothing."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return TARGETS["sm_80"]


class NoKernel:
    """A compiled kernel that does nothing but count its launches."""

    function = packed_metadata = None

    def __init__(self, name: str, launches: list[str]) -> None:
        self.name, self.launches = name, launches

    def launch_metadata(self, *_: Any) -> None:
        return None

    def run(self, *_: Any) -> None:
        """Launch it."""
        self.launches.append(self.name)


class Recorder:
    """Variants of all launches; those with one key of Triton's cache are one."""

    def __init__(self) -> None:
        self.variants: dict[tuple[str, ...], Variant] = {}
        self.launches: list[str] = []
        self.case = ""

    def install(self) -> None:
        """Record launches from now on, in place of them."""
        driver.set_active(NoDriver())
        recorder = self

        def run(self: Any, *arguments: Any, grid: Any, warmup: bool, **named: Any) -> NoKernel:
            return recorder.record(self, arguments, named)

        mock.patch.object(JITFunction, "run", run).start()

    def record(self, function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> NoKernel:
        """Take the arguments of a launch apart as Triton does."""
        binder = create_function_from_signature(function.signature, function.params, _HOST)
        bound, specialization, given = binder(*arguments, **named)
        for name, x in bound.items():
            if isinstance(x, Tensor) and not x.is_contiguous():
                raise SystemExit(f"{function.__name__}: {name} is not contiguous")
        options = {**named, "debug": False, "instrumentation_mode": "", "fpsan_homomorphic_casts": False}
        _, signature, constants, attributes = function._pack_args(_HOST, options, bound, specialization, None)
        key = (function.cache_key, str(signature), str(constants), str(attributes), str(given))
        kernel = f"{function.__module__.rpartition('.')[2]}.{function.__name__.lstrip('_')}"
        source = ASTSource(function, signature, constants, attributes)
        self.variants.setdefault(key, Variant(kernel, self.case, source, dict(given)))
        return NoKernel(kernel, self.launches)


def _neuron(kind: str, learn: str = "none", size: int | None = None, of: SpikeGradient | None = None) -> NeuronLayer:
    """A neuron by its name: an event order, "RS", an Izhikevich reset, or LIF's reset and whether it is delayed."""
    family, _, form = kind.partition(" ")
    if family == "LIF":
        reset, _, delay = form.partition("/")
        names: tuple[str, ...] = ("beta", "threshold", *(["v_reset"] if reset == "value" else []))
        return LIF(
            0.9, reset=cast(ResetMode, reset), v_reset=-0.2 if reset == "value" else 0.0,
            reset_delay=delay == "delayed", learn=() if learn == "none" else names, parameter_shape=size,
            kernel="cuda", surrogate=of,
        )  # fmt: skip
    p = preset("RS") if form == "RS" else preset("normalized")
    p = p.replace(order=form) if form in ORDERS else p.replace(reset=form) if form in IZHIKEVICH_RESETS else p
    every = tuple(name for name in COEFFICIENTS if name in p.coefficients and name not in p.unused)
    learned = {"none": (), "gain": ("gain",), "all": every}[learn]
    return Izhikevich(p, learn=learned, parameter_shape=size, kernel="cuda", surrogate=of)


def _back(spikes: Tensor) -> None:
    """The backward pass."""
    spikes.float().sum().backward()  # type: ignore[no-untyped-call]


class Beside(NamedTuple):
    """What there is beside neurons and currents."""

    coupled: bool = False
    filtered: bool = False
    biased: bool = False
    feedback: bool = False
    learns_tau: bool = False


ALL = Beside(True, True, True)


def _run(
    kind: str, learn: str = "none", size: int | None = None, shape: tuple[int, ...] = SHAPE,
    dtype: torch.dtype = torch.float32, beside: Beside = Beside(), of: SpikeGradient | None = None,  # noqa: B008
) -> None:  # fmt: skip
    """Neurons under currents, forward and backward."""
    n = shape[-1]

    def leaf(*sizes: int) -> Tensor:
        return torch.zeros(sizes, dtype=dtype, requires_grad=True)

    decay = torch.tensor(0.8, requires_grad=beside.learns_tau)
    drive = SynapticInput(
        leaf(*shape), leaf(*shape) if beside.coupled else None,
        torch.zeros(n, requires_grad=True) if beside.biased else None,
        Synapse(decay, 1.5 if beside.coupled else 0.0) if beside.filtered else None,
        leaf(n, n) if beside.feedback else None,
    )  # fmt: skip
    _back(_neuron(kind, learn, size, of)(drive)[0])


def _layer(
    kind: str, learn: str = "none", size: int | None = None, sizes: tuple[int, int, int, int] = (100, 16, 784, 512),
    full: bool = False, grads: bool = True,
) -> None:  # fmt: skip
    """A product of bits and the neurons behind it in one kernel: T, B, inputs and outputs."""
    steps, batch, inputs, outputs = sizes
    words = torch.zeros(batch, -(-steps // 32), inputs, dtype=torch.int32)
    weight = torch.zeros(outputs, inputs, requires_grad=grads)
    bias = torch.zeros(outputs, requires_grad=grads) if full else None
    synapse = Synapse(torch.tensor(0.8), 0.0) if full else None
    with torch.set_grad_enabled(grads):
        spikes = PackedSpikes(words, steps, torch.bfloat16, checked=True)
        out, _ = _neuron(kind, learn, size)(WeightedSpikes(spikes, weight, bias, synapse))
    if grads:
        _back(out)


def _quantized(kind: str, dtype: torch.dtype, full: bool, learn: str) -> None:
    """Neurons whose states are fixed-point numbers."""
    grid, settings, n = Grid(2.0**9, -4.0, 4.0), _neuron(kind).settings, SHAPE[-1]
    states = len(settings.equation.states)
    settings = dataclasses.replace(settings, formats=Formats(grid, (grid,) * states))
    rows = len(step_form(settings.equation, quantized=True).coefficients)
    learned = {"none": (), "gain": (rows - 1,), "all": range(rows)}[learn]
    p = tuple(torch.zeros(n, requires_grad=k in learned) for k in range(rows))
    synapse = Synapse(torch.tensor(0.8), 0.0, Grid(256.0, -128.0, 128.0)) if full else None
    bias = torch.zeros(n, requires_grad=True) if full else None
    drive = SynapticInput(torch.zeros(SHAPE, dtype=dtype, requires_grad=True), None, bias, synapse)
    state = tuple(torch.zeros(SHAPE[1:]) for _ in range(states))
    _back(kernels.run(drive, Memory(), state, p, settings, "cuda")[0])


def _bits(steps: int, batch: int, inputs: int, outputs: int) -> None:
    """Lists, products and dense spikes of bits."""
    words = torch.zeros(batch, -(-steps // 32), inputs, dtype=torch.int32)
    found = events.listed(words, steps)
    events.product(found, torch.zeros(outputs, inputs))
    events.weight_gradient(found, torch.zeros(steps, batch, outputs, dtype=torch.bfloat16))
    for dtype in (torch.bfloat16, torch.float32):
        events.dense(words, steps, dtype)


def _rate(dtype: torch.dtype | None, batch: int, inputs: int, steps: int) -> None:
    """Encoded spikes."""
    cuda.rate(torch.zeros(batch, inputs), steps, 1, dtype)


def _delayed(dtype: torch.dtype, steps: int, batch: int, width: int) -> None:
    """Delayed spikes, forward and backward."""
    x, past = torch.zeros(steps, batch, width, dtype=dtype), torch.zeros(9, batch, width, dtype=dtype)
    whole = torch.zeros(width, dtype=torch.int64)
    cuda.DELAYS.forward(x, past, torch.zeros(width), whole)
    cuda.DELAYS.backward(x, past, whole, x)


def _pooled(dtype: torch.dtype, kind: PoolKind, window: tuple[int, int]) -> None:
    """Pooled images, forward and backward."""
    x = torch.zeros(3200, 24, 24, dtype=dtype)
    out, place = cuda.POOLS.forward(x, kind, window)
    cuda.POOLS.backward(out, place, kind, window, x.shape)


def _pooled_bits(dtype: torch.dtype, window: tuple[int, int]) -> None:
    """Pooled images of bits, forward and backward."""
    words = torch.zeros(3200, 24, 24, dtype=torch.int32)
    out, first = cuda.POOLS.forward_of_bits(words, window)
    g = torch.zeros(100, 25, 32, *out.shape[1:], dtype=dtype)
    cuda.POOLS.backward_of_bits(g, first.view(25, 4, 32, 24, 24), window)


def _step_and_trace(kind: str) -> None:
    """One step, forward and backward, and a trace."""
    neuron = _neuron(kind)
    state, p = tuple(torch.zeros(SHAPE[1:]) for _ in neuron.settings.equation.states), tuple(neuron.coefficients())
    _back(kernels.step(torch.zeros(SHAPE[1:], requires_grad=True), state, p, neuron.settings, "cuda")[0])
    kernels.trace(torch.zeros(SHAPE), state, p, neuron.settings, "cuda")


NORMALIZED, SUBTRACTING = "Izhikevich fpga-ip", "LIF subtract/delayed"
NEURONS = (
    *(f"Izhikevich {order}" for order in ORDERS), *(f"Izhikevich {reset}" for reset in IZHIKEVICH_RESETS),
    "Izhikevich RS", *(f"LIF {reset}/{delay}" for reset in LIF_RESETS for delay in ("delayed", "now")),
)  # fmt: skip
#: A function, and its arguments, which name the case.
Case: TypeAlias = tuple[Callable[..., None], tuple[Any, ...]]


def _one() -> Iterator[Case]:
    """Neurons alone."""
    yield _run, (NORMALIZED,)


def _few() -> Iterator[Case]:
    """One of each kernel of a layer."""
    yield from _one()
    yield _run, (SUBTRACTING, "all", SHAPE[-1], SHAPE, torch.bfloat16, ALL)
    yield _run, (NORMALIZED, "none", None, SHAPE, torch.bfloat16, Beside(feedback=True))
    yield _layer, (NORMALIZED,)
    yield _delayed, (torch.float32, *SHAPE)
    yield _pooled, (torch.float32, "max", (2, 2))
    yield _pooled_bits, (torch.float32, (2, 2))
    yield _run, (NORMALIZED, "none", None, IMAGES)


def _chosen() -> Iterator[Case]:
    """Every neuron with nothing and with everything beside it, every format, and shapes of every kind."""
    for kind in NEURONS:
        yield _run, (kind,)
        yield _run, (kind, "all", SHAPE[-1], SHAPE, torch.bfloat16, ALL)
        yield _layer, (kind,)
        yield _layer, (kind, "all", 512, (100, 16, 784, 512), True)
    yield from _quantized_cases(torch.float32)
    yield from _other_shapes()
    for kind in (NORMALIZED, SUBTRACTING):
        yield _run, (kind, "all", None, (5, 16, 32), torch.float32, Beside(feedback=True))
        yield _step_and_trace, (kind,)
        yield _run, (kind, "none", None, SHAPE, torch.float16)
        yield _run, (kind, "none", None, SHAPE, torch.float32, Beside(filtered=True, learns_tau=True))
    for one in vars(surrogate).values():
        if isinstance(one, type) and issubclass(one, surrogate.ClosedForm) and one is not surrogate.ClosedForm:
            yield _run, (NORMALIZED, "none", None, SHAPE, torch.float32, Beside(), one())


def _some() -> Iterator[Case]:
    """A fourth of the chosen ones, of each kind and neuron."""
    yield from itertools.islice(_chosen(), 0, None, 4)


def _quantized_cases(dtype: torch.dtype) -> Iterator[Case]:
    for kind in (NORMALIZED, *(f"LIF {reset}/delayed" for reset in LIF_RESETS[:4])):
        for full, learn in itertools.product((False, True), ("none", "gain", "all")):
            yield _quantized, (kind, dtype, full, learn)


def _other_shapes() -> Iterator[Case]:
    """One step, one lane, one of all, odd lanes; layers of other sizes, bits, encoders."""
    for kind, shape in itertools.product((NORMALIZED, SUBTRACTING), ((1, 16, 32), (40, 1, 1), (1, 1, 1), (40, 3, 7))):
        yield _run, (kind, "none", None, shape)
        yield _run, (kind, "all", None, shape, torch.bfloat16, ALL)
    for sizes in ((25, 16, 784, 512), (1, 1, 784, 512), (100, 3, 785, 100), (100, 16, 784, 17)):
        for grads in (True, False):
            yield _layer, (NORMALIZED, "none", None, sizes, False, grads)
    for sizes in ((100, 16, 512, 10), (25, 1, 512, 10), (100, 3, 33, 17), (1, 1, 1, 1), (100, 16, 784, 64)):
        yield _bits, sizes
    for dtype, (batch, inputs), steps in itertools.product(
        (torch.float32, torch.bfloat16, None), ((16, 784), (3, 7)), (25, 1)
    ):
        yield _rate, (dtype, batch, inputs, steps)
    for dtype, shape in itertools.product((torch.float32, torch.bfloat16, torch.float16), (SHAPE, (1, 3, 7))):
        yield _delayed, (dtype, *shape)
    for dtype, kind, window in itertools.product(
        (torch.float32, torch.bfloat16, torch.float16), ("max", "mean"), ((2, 2), (1, 3))
    ):
        yield _pooled, (dtype, kind, window)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        yield _pooled_bits, (dtype, (2, 2))
        for kind in (NORMALIZED, SUBTRACTING):
            yield _run, (kind, "none", None, IMAGES, dtype)
            yield _run, (kind, "all", None, IMAGES, dtype)


def _every() -> Iterator[Case]:
    """Every plan of the neurons: all that stands beside them, all that is learned, every format."""
    yield from _chosen()
    for kind, flags in itertools.product(NEURONS, itertools.product((False, True), repeat=3)):
        yield _run, (kind, "none", None, SHAPE, torch.float16, Beside(*flags))
        learns = ["none", "all"] + (["gain"] if kind.startswith("Izhikevich") else [])
        for learn, size, dtype in itertools.product(learns, (None, SHAPE[-1]), (torch.float32, torch.bfloat16)):
            yield _run, (kind, learn, size, SHAPE, dtype, Beside(*flags))
    yield from _quantized_cases(torch.bfloat16)
    for kind in NEURONS:
        yield _run, (kind, "none", None, (5, 16, 32), torch.float32, Beside(feedback=True))
        yield _run, (kind, "all", None, (5, 16, 32), torch.bfloat16, Beside(True, True, True, True))
        yield _layer, (kind, "all", None, (100, 16, 784, 512), True)


CASES = {"one": _one, "few": _few, "some": _some, "chosen": _chosen, "every": _every}


def variants(cases: str) -> list[Variant]:
    """The variants that all launches of some cases need."""
    recorder = Recorder()
    recorder.install()
    with played_gpu():
        for function, arguments in CASES[cases]():
            recorder.case = f"{function.__name__.lstrip('_')} {' '.join(map(str, arguments))}"
            function(*arguments)
    return list(recorder.variants.values())


#: Instructions of assembly that are counted.
_PTX = {
    "approximate divisions": r"\bdiv\.(?:full|approx)[\w.]*f32",
    "contractions": r"\bfma\.rn\.f(?:32|64)",
    "matrix products": r"\bmma\.sync|\bwgmma\.mma_async",
    "atomics": r"\batom\.|\bred\.global",
}
#: In LLVM's words, of which AMD's assembly makes divisions of integers as well.
_LLVM = {
    "approximate divisions": r"\bfdiv (?:\w+ )*(?:afn|arcp|fast)\b|call .*@llvm\.amdgcn\.(?:rcp|fdiv\.fast)",
    "contractions": r"\bf(?:mul|add|sub) (?:\w+ )*(?:contract|fast)\b|call .*@llvm\.fma",
    "matrix products": r"call .*@llvm\.amdgcn\.mfma",
    "atomics": r"\batomicrmw\b",
}


def compiled(variant: Variant, target: str) -> dict[str, Any]:
    """Compile a variant for a target: registers, bytes of shared memory, and instructions, spills among them."""
    found = compile(variant.source, target=TARGETS[target], options=variant.options)
    row: dict[str, Any] = {
        "kernel": variant.kernel, "case": variant.case, "target": target, "shared": found.metadata.shared,
        "warps": found.metadata.num_warps,
    }  # fmt: skip
    if "amdgcn" in found.asm:
        row |= {name: len(re.findall(pattern, found.asm["llir"])) for name, pattern in _LLVM.items()}
        text = found.asm["amdgcn"]
        counts = {name: int(value) for name, value in re.findall(r"\.(vgpr_count|vgpr_spill_count):\s+(\d+)", text)}
        return row | {"registers": counts["vgpr_count"], "spills": counts["vgpr_spill_count"]}
    row |= {name: len(re.findall(pattern, found.asm["ptx"])) for name, pattern in _PTX.items()}
    cubin = next(path for name, path in found.metadata_group.items() if name.endswith("cubin"))
    usage = {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", _read("-res-usage", cubin))}
    # A stack may hold return addresses alone, of the division's slow path.
    spills = len(re.findall(r"\bSTL\b", _read("-sass", cubin))) if usage["STACK"] + usage["LOCAL"] else 0
    return row | {"registers": usage["REG"], "spills": spills}


def _read(option: str, cubin: str) -> str:
    """What the CUDA toolkit reads in a binary."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    return subprocess.run([tool, option, cubin], capture_output=True, text=True, check=True).stdout


def table(rows: list[dict[str, Any]]) -> str:
    """Variants × targets: of each kernel how many, its registers, stores of spills and shared memory."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["kernel"], row["target"]].append(row)
    lines = [
        "| kernel | target | variants | registers | spills, at most | shared memory, bytes |",
        "|---|---|---|---|---|---|",
    ]
    for (kernel, target), of in sorted(groups.items(), key=lambda x: (x[0][0], list(TARGETS).index(x[0][1]))):
        few, most = (f([row["registers"] for row in of]) for f in (min, max))
        low, high = (f([row["shared"] for row in of]) for f in (min, max))
        shared = f"{low}" if low == high else f"{low} to {high}"
        spilled = max(row["spills"] for row in of)
        lines.append(f"| `{kernel}` | {target} | {len(of)} | {few} to {most} | {spilled} | {shared} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default=",".join(TARGETS), help="names of targets, separated by commas")
    parser.add_argument("--cases", choices=CASES, default="chosen", help="the calls whose launches are compiled")
    parser.add_argument("--json", type=Path, help="file of the rows")
    parser.add_argument("--table", type=Path, help="file of rows to print as a table; nothing is compiled")
    options = parser.parse_args(arguments)
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    warnings.simplefilter("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache
        every = variants(options.cases)
        for target in options.targets.split(","):
            rows += [compiled(variant, target) for variant in every]
            print(f"{target}: {len(every)} variants", file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
