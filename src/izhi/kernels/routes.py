"""Which kernels run a call, and why: ``choose_route`` decides, from descriptions of the call and of the machine.

with recorded() as routes:
    network(spikes).output.sum().backward()
print(*routes, sep="\\n")
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import torch

from izhi.deprecation import warn_renamed
from izhi.kernels.cpu import matrix_unit
from izhi.kernels.cpu.rows import OUTPUT_BLOCK, SMALL_OUTPUT
from izhi.kernels.cpu.samples import MOST_LANES

#: Spikes, and steps through which the weights stay in the cache, from which sums over spikes may be faster.
WORTH_PACKING, STEPS_WORTH_PACKING = 1 << 16, 4
#: The share of visits above which a dense product is faster than sums; lower where bfloat16 has units of its own.
DENSE = {torch.float32: 0.4, torch.bfloat16: 0.03}
#: The share of numbers that are not 0 from which torch's convolutions are faster than sums, forward and in the gradient
#: of the weights: in formats without a unit of their own, and with the ones of bfloat16.
DENSE_CONVOLUTION: Mapping[str | None, tuple[float, float]] = {
    None: (0.2, 0.5), "vectors of bfloat16": (0.1, 0.2), "matrix unit": (0.03, 0.03),
}  # fmt: skip
#: Channels of a group from which they fill vectors.
FEW_CHANNELS = 8
#: Inputs up to which their weights are multiplied where neurons take the currents.
FEW_INPUTS = 16
#: The share of inputs that fire at all in a sample above which the matrix unit is faster with all of them.
ACTIVE = 0.5

#: Whose kernels there are.
Device = Literal["cpu", "cuda"]
#: Formats in memory of the kernels of each; arithmetic is in float32. CUDA's autocast has float16.
FORMATS: Mapping[Device, tuple[torch.dtype, ...]] = {
    "cpu": (torch.float32, torch.bfloat16),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}
_OTHERS = {"cpu": "not float32 or bfloat16", "cuda": "not float32, bfloat16 or float16"}
_COMPILERS = {"cpu": "Numba", "cuda": "Triton"}


class Machine(NamedTuple):
    """What decides a route besides the call.

    Attributes:
        bf16_dot: what the CPU multiplies pairs of bfloat16 with; None if it cannot.
        has_triton: whether Triton is installed, in which kernels for GPUs are written.
        interprets_triton: whether Triton interprets kernels on a CPU.
    """

    bf16_dot: str | None = None
    has_triton: bool = False
    interprets_triton: bool = False


class SpikeStatistics(NamedTuple):
    """What was counted in spikes.

    Attributes:
        density: the share of 1 among them.
        visited: the share of inputs and steps that sums visit.
        active: the share of inputs that fire at all, of all samples together.
        is_binary: whether all are 0 or 1.
    """

    density: float = 0.0
    visited: float = 0.0
    active: float = 0.0
    is_binary: bool = True


class ProductCall(NamedTuple):
    """A product of spikes (T, B, I) with weights (O, I).

    Attributes:
        inputs, outputs: I and O.
        dtype: of the spikes.
        weight_dtype: of the weights.
        dense_dtype: in which torch would multiply, under autocast too.
        device: kind of device.
        source: a dense tensor, bits of an encoder, bits of a layer, or an image, which is convolved.
        rank: dimensions of the spikes.
        size, steps: how many spikes there are, 0 and 1 together, and T.
        is_traced: whether torch compiles, traces or transforms the call.
        statistics: of the spikes; None before they are counted.
        operation: what is computed.
        groups: of channels.
        is_dilated: whether inputs that a kernel sees lie apart.
        inputs_learn: whether the inputs need a gradient.
    """

    inputs: int
    outputs: int
    dtype: torch.dtype = torch.float32
    weight_dtype: torch.dtype = torch.float32
    dense_dtype: torch.dtype = torch.float32
    device: str = "cpu"
    source: Literal["dense", "encoded", "hidden", "image"] = "dense"
    rank: int = 3
    size: int = 1 << 30
    steps: int = 32
    is_traced: bool = False
    statistics: SpikeStatistics | None = None
    operation: str = "product"
    groups: int = 1
    is_dilated: bool = False
    inputs_learn: bool = False


class NeuronCall(NamedTuple):
    """A layer of neurons over time.

    Attributes:
        features: shape of one step of one sample.
        dtypes: of the current, the conductance and the state.
        device: kind of device.
        kernel: what the user asks for, see ``izhi.kernels.dispatch``.
        has_formula: whether the surrogate is a formula that kernels know.
        coupled: whether there is a conductance.
        feedback: the layer's own recurrence.
        quantized: whether states are fixed-point numbers.
        has_state_quant: whether a function of the user's rounds them.
        is_traced: whether torch compiles, traces or transforms the call.
        can_fuse: whether the product in front may be computed with the neurons, for what needs a gradient.
    """

    features: tuple[int, ...]
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    device: str = "cpu"
    kernel: str = "auto"
    has_formula: bool = True
    coupled: bool = False
    feedback: Literal["none", "matrix", "convolution"] = "none"
    quantized: bool = False
    has_state_quant: bool = False
    is_traced: bool = False
    can_fuse: bool = False


class CallDescription(NamedTuple):
    """A layer's call: a product, neurons, or both, one after the other."""

    product: ProductCall | None = None
    neurons: NeuronCall | None = None


class ProductChoice(NamedTuple):
    """The kernel of a product: ``"count"`` asks for statistics first, for all else see ``label``."""

    kernel: Literal["count", "dense", "sums", "gradient", "tiles", "few"]
    reason: str
    label: str = "dense product"


class NeuronChoice(NamedTuple):
    """The kernel of neurons: on which device, and which part of the layer it computes.

    Attributes:
        device: whose kernels run, or the reference in torch.
        kernel: all steps at once; with the product in front; or of whole samples, with feedback or few inputs.
        dtype: of currents and spikes within the kernel.
        reason: why.
        label: what is recorded.
        is_fallback: whether the reference was not asked for.
    """

    device: Literal["reference", "cpu", "cuda"]
    kernel: Literal["neurons", "layer", "samples"]
    dtype: torch.dtype
    reason: str
    label: str = "torch, step by step"
    is_fallback: bool = False


class Route(NamedTuple):
    """Which kernels run a call; None where it has no such part."""

    product: ProductChoice | None
    neurons: NeuronChoice | None


def choose_route(call: CallDescription, machine: Machine) -> Route:
    """Which kernels run a call on a machine, and why."""
    product = None if call.product is None else _choose_product(call.product, machine)
    if call.product is not None and call.neurons is not None and _has_few_inputs(call.product, call.neurons, machine):
        product = ProductChoice("few", f"it has {_number_of(call.product.inputs)}", "where neurons take the currents")
    neurons = None if call.neurons is None else _choose_neurons(call, call.neurons, product, machine)
    return Route(product, neurons)


def _has_few_inputs(product: ProductCall, c: NeuronCall, machine: Machine) -> bool:
    """Whether kernels of whole samples multiply the inputs themselves."""
    return (
        product.inputs <= FEW_INPUTS and SMALL_OUTPUT < product.outputs <= MOST_LANES
        and product.steps >= STEPS_WORTH_PACKING
        and (product.source, product.rank, product.device) == ("dense", 3, "cpu")
        and c.kernel != "reference" and _device_of_neurons(c, machine)[0] == "cpu"
        and product.dense_dtype in FORMATS["cpu"] and product.weight_dtype == torch.float32
        and not (product.is_traced or product.inputs_learn or c.coupled)
    )  # fmt: skip


def choose_product(call: ProductCall) -> ProductChoice:
    """The kernel of a product alone, on this machine."""
    choice = choose_route(CallDescription(call), this_machine()).product
    assert choice is not None
    return choice


def takes_bits(dtype: torch.dtype, device: str, machine: Machine | None = None) -> bool:
    """Whether products with encoded spikes of a format are faster where these are bits, on a kind of device."""
    machine = machine or this_machine()
    if device == "cuda":
        return dtype == torch.bfloat16 and machine.has_triton
    return device == "cpu" and (dtype == torch.float32 or (dtype == torch.bfloat16 and machine.bf16_dot is not None))


def _choose_product(c: ProductCall, machine: Machine) -> ProductChoice:
    if c.source == "image":
        return _choose_convolution(c, machine)
    if c.source != "dense" and c.rank == 3:
        choice = _choose_tiles(c, machine)
        if choice is not None:
            return choice
    reason = _reason_for_dense(c)
    if reason is not None:
        return ProductChoice("dense", reason)
    if c.statistics is None:
        return ProductChoice("count", "it depends on the spikes")
    if not c.statistics.is_binary:
        return ProductChoice("dense", "inputs are not 0 and 1 alone")
    visited = c.statistics.density if c.source == "dense" else c.statistics.visited
    reason = f"{c.statistics.density:.1%} of inputs are spikes"
    if visited < DENSE.get(c.dtype, 0.0):
        return ProductChoice("sums", reason, "sums over spikes, as bits along time")
    return ProductChoice("dense", reason)


def format_of_recurrence(
    dtype: torch.dtype, device: str, neurons: int, machine: Machine | None = None
) -> torch.dtype:  # fmt: skip
    """What kernels of recurrent neurons compute in: on a CPU bfloat16 where it multiplies that, for whole tiles."""
    has_unit = (machine or this_machine()).bf16_dot is not None and neurons % matrix_unit.TILE_PAIRS == 0
    return torch.float32 if device == "cpu" and not has_unit else dtype


def convolution_unit(dtype: torch.dtype, machine: Machine | None = None) -> str | None:
    """What torch multiplies images of a format with, if it has a unit of its own."""
    return (machine or this_machine()).bf16_dot if dtype == torch.bfloat16 else None


def _choose_convolution(c: ProductCall, machine: Machine) -> ProductChoice:
    """Sums over what is not 0 in images, or torch's."""
    reason = None
    if c.is_traced:
        reason = "torch compiles, traces or transforms it"
    elif c.device != "cpu":
        reason = f"it is on {c.device}"
    elif c.dense_dtype not in FORMATS["cpu"] or c.weight_dtype not in (torch.float32, c.dense_dtype):
        reason = f"it is in {_name(c.dense_dtype)}"
    elif c.outputs < FEW_CHANNELS * c.groups:
        reason = "so few channels leave vectors empty"
    elif c.is_dilated:
        reason = "its kernel is dilated"
    elif c.size < WORTH_PACKING:
        reason = "it is small"
    if reason is not None:
        return ProductChoice("dense", reason, "torch's")
    if c.statistics is None:
        return ProductChoice("count", "it depends on the spikes")
    reason = f"{c.statistics.density:.1%} of inputs are not 0"
    forward, of_weights = DENSE_CONVOLUTION[convolution_unit(c.dense_dtype, machine)]
    if c.statistics.density < forward:
        return ProductChoice("sums", reason, "sums over what is not 0")
    if c.statistics.density < of_weights:
        return ProductChoice("gradient", reason, "torch's, but for the gradient of the weights")
    return ProductChoice("dense", reason, "torch's")


def _choose_tiles(c: ProductCall, machine: Machine) -> ProductChoice | None:
    """Tiles of the matrix unit, or statistics for it; None where a product of another kind is faster."""
    if (c.dtype, c.weight_dtype) != (torch.bfloat16, torch.float32) or not takes_bits(c.dtype, c.device, machine):
        return None
    # To count the spikes on a GPU would be to wait for it. Of a hidden layer most neurons fire.
    if c.outputs > SMALL_OUTPUT and c.device != "cpu" and c.source == "hidden":
        return None
    if c.statistics is None and c.device == "cpu":
        return ProductChoice("count", "it depends on the spikes")
    if c.outputs > SMALL_OUTPUT and c.statistics is not None and c.statistics.active >= ACTIVE:
        return None
    reason = "spikes are bits" if c.statistics is None else f"{c.statistics.active:.0%} of inputs fire in a sample"
    unit = (machine.bf16_dot if c.device == "cpu" else None) or "matrix unit"
    return ProductChoice("tiles", reason, f"{unit}, spikes as bits along time")


def _reason_for_dense(c: ProductCall) -> str | None:
    """Why a product is dense whatever the spikes are; None where that depends on them."""
    if c.source != "encoded" and c.is_traced:
        return "torch compiles, traces or transforms it"
    if c.device != "cpu":
        return "sums over spikes are made on a CPU" if c.source == "encoded" else f"it is on {c.device}"
    if c.source != "encoded":
        if not c.dtype == c.dense_dtype == torch.float32:
            return f"it is in {_name(c.dtype if c.dense_dtype == torch.float32 else c.dense_dtype)}"
        if c.rank != 3:
            return "spikes have no single row of features"
        if c.size < WORTH_PACKING or c.steps < STEPS_WORTH_PACKING:
            return "it is small"
    fits = c.outputs <= SMALL_OUTPUT or c.outputs >= OUTPUT_BLOCK
    return None if fits else "so few outputs leave vectors empty"


def _choose_neurons(
    call: CallDescription, c: NeuronCall, product: ProductChoice | None, machine: Machine
) -> NeuronChoice:
    formats = set(c.dtypes[: 1 + c.coupled])
    dtype = formats.pop() if len(formats) == 1 and formats <= set(FORMATS["cuda"]) else torch.float32
    if c.kernel == "reference":
        return NeuronChoice("reference", "neurons", dtype, "kernel='reference' asks for that")
    device, reason = _device_of_neurons(c, machine)
    if device is None:
        is_silent = c.is_traced and c.kernel == "auto"
        return NeuronChoice("reference", "neurons", dtype, reason, is_fallback=not is_silent)
    compiler = _COMPILERS[device]
    if c.feedback != "none":
        dtype = format_of_recurrence(dtype, device, c.features[-1], machine)
        few = product is not None and product.kernel == "few"
        label = f"one kernel, {'product, ' if few else ''}recurrence and all ({compiler})"
        return NeuronChoice(device, "samples", dtype, f"recurrence in {_name(dtype)} has one", label)
    if product is not None and product.kernel == "few":
        label = f"one kernel, product and all ({compiler})"
        return NeuronChoice("cpu", "samples", dtype, product.reason, label)
    if _fuses(call, c, product, device, machine):
        label = f"one kernel, product and all ({compiler})"
        return NeuronChoice(device, "layer", dtype, "spikes are bits along time", label)
    label = f"one kernel through all steps ({compiler})"
    return NeuronChoice(device, "neurons", dtype, f"neuron, surrogate and {_name(dtype)} have one", label)


def _device_of_neurons(c: NeuronCall, machine: Machine) -> tuple[Device | None, str]:
    """Whose kernels run neurons; None and the reason if none do."""
    if c.is_traced:
        return None, "torch compiles, traces or transforms it"
    if c.has_state_quant:
        return None, "it quantises its state"
    if not c.has_formula:
        return None, "its surrogate has no closed form that kernels know"
    device, reason = device_of_kernels(c.kernel, c.device, machine)
    known = FORMATS[device or "cpu"]
    odd = next((x for x in c.dtypes if x not in known), None)
    if odd is not None:
        return None, f"it is in {_name(odd)}, {_OTHERS[device or 'cpu']}"
    if c.feedback == "convolution":
        return None, "its recurrence is a convolution"
    if c.feedback == "matrix" and device == "cpu" and c.features[-1] > MOST_LANES:
        return None, f"more than {MOST_LANES:,} neurons are recurrent"
    return device, reason


def device_of_kernels(kernel: str, device: str, machine: Machine) -> tuple[Device | None, str]:
    """Whose kernels take tensors of a kind of device; None and the reason if none do."""
    if device == "cpu" and kernel != "cuda":
        return "cpu", ""
    if kernel == "cpu" or device not in ("cpu", "cuda"):
        return None, f"it is on {device}"
    if not machine.has_triton:
        return None, "Triton is not installed"
    if device == "cpu" and not machine.interprets_triton:
        return None, "its tensors are on a CPU, which Triton only interprets (TRITON_INTERPRET=1)"
    return "cuda", ""


def _fuses(call: CallDescription, c: NeuronCall, product: ProductChoice | None, device: str, machine: Machine) -> bool:
    """Whether one kernel computes the product and the neurons."""
    if not c.can_fuse or c.coupled or call.product is None or call.product.outputs <= SMALL_OUTPUT or product is None:
        return False
    if product.kernel == "tiles":
        return not c.quantized and (device == "cuda" or machine.bf16_dot is not None)
    return product.kernel == "sums" and device == "cpu" and call.product.dtype == torch.float32


def _number_of(inputs: int) -> str:
    return "one input" if inputs == 1 else f"{inputs} inputs"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@cache
def has_triton() -> bool:
    """Whether Triton is installed, in which the kernels for GPUs are written."""
    return importlib.util.find_spec("triton") is not None


@cache
def _machine(has_bf16_dot: bool, has_triton: bool) -> Machine:
    bf16_dot = matrix_unit.name() if has_bf16_dot else None
    return Machine(bf16_dot, has_triton, os.environ.get("TRITON_INTERPRET") == "1")


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return _machine(matrix_unit.has_bf16_dot(), has_triton())


class RecordedRoute(NamedTuple):
    """The route of one operation.

    Attributes:
        operation: and its sizes, such as ``"product 784 → 512"``.
        kernel: that computes it.
        reason: why.
    """

    operation: str
    kernel: str
    reason: str

    @property
    def what(self) -> str:
        """Old name of ``operation``."""
        warn_renamed("RecordedRoute.what", "RecordedRoute.operation")
        return self.operation

    @property
    def way(self) -> str:
        """Old name of ``kernel``."""
        warn_renamed("RecordedRoute.way", "RecordedRoute.kernel")
        return self.kernel

    @property
    def why(self) -> str:
        """Old name of ``reason``."""
        warn_renamed("RecordedRoute.why", "RecordedRoute.reason")
        return self.reason

    def __str__(self) -> str:
        return f"{self.operation:32} {self.kernel:40} {self.reason}"


#: Routes by call and machine; those of counted spikes are seldom the same.
_known_route = lru_cache(maxsize=256)(choose_route)
#: Lists that are being written.
_open: list[list[RecordedRoute]] = []


def is_recording() -> bool:
    """Whether routes are recorded."""
    return bool(_open)


def decide(call: CallDescription) -> Route:
    """The route of a call on this machine, which ``recorded`` lists."""
    route = (_known_route if call.product is None else choose_route)(call, this_machine())
    for records in _open:
        if call.product is not None and route.product is not None:
            c, choice = call.product, route.product
            sizes = f"{c.inputs} → {c.outputs}" + (" channels" if c.source == "image" else "")
            records.append(RecordedRoute(f"{c.operation} {sizes}", choice.label, choice.reason))
        if call.neurons is not None and route.neurons is not None:
            sizes = " × ".join(map(str, call.neurons.features))
            records.append(RecordedRoute(f"neurons {sizes}", route.neurons.label, route.neurons.reason))
    return route


@contextmanager
def recorded() -> Iterator[list[RecordedRoute]]:
    """The routes of everything that runs inside, in its order, each once."""
    records: list[RecordedRoute] = []
    _open.append(records)
    try:
        yield records
    finally:
        # By identity: lists of the same content are equal.
        _open[:] = [other for other in _open if other is not records]
        records[:] = dict.fromkeys(records)
