"""One function for neurons of every equation, whichever kernel computes it.

``kernel`` is ``"auto"`` (the fastest that covers the call), ``"reference"`` (torch, differentiable in
everything, any device), ``"cpu"`` (Numba) or ``"cuda"`` (Triton). What no kernel covers goes to the
reference, which gives the same numbers, and is said once.
"""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor

from izhi.errors import SettingError, SlowKernelWarning, unknown
from izhi.kernels import fused, operators, reference, routes
from izhi.kernels.device import Device, kernels_on
from izhi.kernels.ops import has_formula
from izhi.kernels.packed import PackedSpikes
from izhi.kernels.products import AnyInput, WeightedSpikes
from izhi.kernels.routes import (
    CallDescription,
    NeuronCall,
    NeuronChoice,
    choose_route,
    decide,
    device_of_kernels,
    this_machine,
)
from izhi.kernels.synaptic_input import Memory, StepSettings, SynapticInput
from izhi.kernels.tracing import is_compiled, is_traced

KERNELS = ("auto", "reference", "cpu", "cuda")
#: Reasons of which users were warned.
_warned: set[str] = set()


def _describe(
    dtypes: tuple[torch.dtype, ...], features: tuple[int, ...], device: torch.device, drive: AnyInput | None,
    s: StepSettings, kernel: str, is_traced: bool,
) -> NeuronCall:  # fmt: skip
    """Neurons under a drive, or under a current alone."""
    recurrence: Literal["none", "matrix", "convolution"] = "none"
    if drive is not None and drive.feedback is not None:
        recurrence = "matrix" if drive.feedback.dim() == 2 else "convolution"
    learns = not isinstance(drive, WeightedSpikes) or drive.weight.requires_grad or drive.learning_spikes is None
    return NeuronCall(
        features, dtypes, device.type, kernel, has_formula(s.surrogate),
        drive is not None and drive.conductance is not None, recurrence, s.formats is not None,
        s.state_quant is not None, is_traced, isinstance(drive, WeightedSpikes) and learns,
    )  # fmt: skip


def _device(choice: NeuronChoice, kernel: str, stacklevel: int) -> Device | None:
    """The kernels of a choice, or None for the reference; ``stacklevel`` is that of whoever called the layer.

    Raises:
        SettingError: for an unknown kernel, or one that does not cover the call.
    """
    if kernel not in KERNELS:
        raise unknown("kernel", kernel, KERNELS)
    if choice.device != "reference":
        return kernels_on(choice.device)
    if choice.is_fallback and kernel != "auto":
        raise SettingError(
            f"kernel {kernel!r} does not cover this call: {choice.reason}; use 'auto' or kernel=\"reference\""
        )
    if choice.is_fallback and choice.reason not in _warned:
        _warned.add(choice.reason)
        warnings.warn(
            f"a layer runs step by step in torch, since {choice.reason}; kernel='reference' asks for that",
            SlowKernelWarning,
            stacklevel=stacklevel,
        )
    return None


def run(
    drive: AnyInput, memory: Memory, state: tuple[Tensor, ...], p: tuple[Tensor | float, ...], s: StepSettings,
    kernel: str = "auto",
) -> tuple[Tensor, Memory, tuple[Tensor, ...]]:  # fmt: skip
    """Run neurons over drive (T, B, …): spikes (T, B, …), memory and state after the last step."""
    traced = is_traced()
    is_free = traced and kernel in ("auto", "reference") and not routes.is_recording()
    if is_free and isinstance(drive, SynapticInput):
        if kernel == "auto" and is_compiled() and operators.covers(drive, state, s):
            return operators.run(drive, memory, state, p, s)
        return reference.over_time(drive, memory, state, p, s)  # of which compilers take operations of torch alone
    product, of_state = None, tuple(x.dtype for x in state)
    if isinstance(drive, WeightedSpikes):
        if (few := _few_inputs(drive, of_state, s, kernel)) is not None:
            return fused.run_samples(kernels_on("cpu"), s, p, drive, memory, state, few)
        counted = drive.counted()
        product, whole = counted.call, drive
        if counted.choice.kernel == "dense":  # in a format that torch decides
            decide(CallDescription(product))
            product, drive = None, drive.multiplied(counted)
    formats = (drive.dtype,) if drive.conductance is None else (drive.dtype, drive.conductance.dtype)
    neurons = _describe((*formats, *of_state), drive.shape[2:], drive.device, drive, s, kernel, traced)
    call = CallDescription(product, neurons)
    choice = decide(call).neurons
    assert choice is not None
    device = _device(choice, kernel, stacklevel=7)
    if device is not None and choice.kernel == "layer":
        return fused.run_layer(device, s, p, whole, counted, memory, state)
    if isinstance(drive, WeightedSpikes):
        drive = drive.multiplied(counted)
    if device is None:
        return reference.over_time(drive, memory, state, p, s)
    if choice.kernel == "samples":
        return fused.run_samples(device, s, p, drive, memory, state, choice)
    return fused.run(device, s, p, drive, memory, state, choice)


def _few_inputs(
    drive: WeightedSpikes, of_state: tuple[torch.dtype, ...], s: StepSettings, kernel: str
) -> NeuronChoice | None:
    """The kernel of neurons with few inputs, which multiplies these itself; None where that is not the way."""
    if drive.weight.shape[1] > routes.FEW_INPUTS:
        return None  # before anything else: most layers have more
    product = drive.described()
    neurons = _describe(
        (product.dense_dtype, *of_state), drive.shape[2:], drive.device, drive, s, kernel, product.is_traced
    )  # fmt: skip
    call = CallDescription(product, neurons)
    found = choose_route(call, this_machine())
    if found.product is None or found.product.kernel != "few" or found.neurons is None:
        return None
    return decide(call).neurons if found.neurons.kernel == "samples" else None


def step(
    current: Tensor, state: tuple[Tensor, ...], p: tuple[Tensor | float, ...], s: StepSettings, kernel: str = "auto"
) -> tuple[Tensor, ...]:
    """One step of neurons under current (B, …): spikes (B, …) in its format, and the state."""
    device, traced = None, is_traced()
    if not traced or kernel not in ("auto", "reference") or routes.is_recording():
        formats = (current.dtype, *(x.dtype for x in state))
        call = _describe(formats, current.shape[1:], current.device, None, s, kernel, traced)
        choice = decide(CallDescription(neurons=call)).neurons
        assert choice is not None
        device = _device(choice, kernel, stacklevel=7)
    if device is not None:
        return fused.step(device, s, p, current, state)
    spikes, *after = reference.step(SynapticInput(current), state, p, s)
    return spikes.to(current.dtype), *after


def trace(
    current: Tensor,
    state: tuple[Tensor, ...],
    p: tuple[Tensor | float, ...],
    s: StepSettings,
    kernel: str = "auto",
) -> tuple[Tensor, ...] | None:
    """Spikes and every variable of the state after each step, (T, B, …) each, without gradients.

    Returns:
        None where no kernel covers the call, which the reference does step by step.
    """
    formats = (current.dtype, *(x.dtype for x in state))
    call = _describe(formats, current.shape[2:], current.device, None, s, kernel, is_traced())
    choice = choose_route(CallDescription(neurons=call), this_machine()).neurons
    if choice is None or choice.device == "reference":
        return None
    return fused.trace(kernels_on(choice.device), s, p, current, state)


def rate(values: Tensor, steps: int, seed: int, dtype: torch.dtype, kernel: str = "auto") -> Tensor:
    """Bernoulli spikes (T, B, N) with probability values (B, N), the same from every kernel.

    Only where there is no kernel for the device or format do torch's own random numbers stand in.
    """
    device, _ = device_of_kernels(kernel, values.device.type, this_machine())
    if device is not None and dtype in routes.FORMATS[device]:
        return kernels_on(device).rate(values, steps, seed, dtype)
    generator = torch.Generator(values.device).manual_seed(seed % 2**63)
    random = torch.rand((steps, *values.shape), generator=generator, device=values.device)
    return (random < values).to(dtype)


def rate_packed(values: Tensor, steps: int, seed: int, dtype: torch.dtype) -> PackedSpikes:
    """The spikes of ``rate``, one bit each, where the values are, or on the CPU if no kernel makes them there."""
    device, _ = device_of_kernels("auto", values.device.type, this_machine())
    if device is None:
        device, values = "cpu", values.cpu()
    return PackedSpikes(kernels_on(device).rate(values, steps, seed, None), steps, dtype, checked=True)
