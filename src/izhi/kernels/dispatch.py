"""One function per neuron, whichever kernel computes it.

``kernel`` is ``"auto"`` (the fastest that covers the call), ``"reference"`` (torch, differentiable in
everything, any device), ``"cpu"`` (Numba) or ``"cuda"`` (Triton). What no kernel covers goes to the
reference, which gives the same numbers, and is said once.
"""

from __future__ import annotations

import warnings
from typing import cast

import torch
from torch import Tensor

from izhi.errors import SettingError, SlowKernelWarning, unknown
from izhi.kernels import cpu, fused, paths, reference
from izhi.kernels.devices import has_triton
from izhi.kernels.fused import Device
from izhi.kernels.ops import Surrogate
from izhi.kernels.packed import PackedSpikes
from izhi.kernels.plan import Constants, Reset
from izhi.kernels.synaptic_input import (
    AnyLIFCoefficients,
    Coefficients,
    IzhikevichSettings,
    LIFSettings,
    Memory,
    SpikeGradient,
    SynapticInput,
)
from izhi.kernels.tracing import is_traced
from izhi.spec import EventOrder

KERNELS = ("auto", "reference", "cpu", "cuda")
_said: set[str] = set()


def _not_covered(drive: SynapticInput, state: tuple[Tensor, ...], surrogate: SpikeGradient) -> str | None:
    """Why no kernel covers a call, or None."""
    if not _has_formula(surrogate):
        return "its surrogate has no closed form that kernels know"
    for x in (drive.current, drive.conductance, *state):
        if x is not None and x.dtype not in (torch.float32, torch.bfloat16):
            return f"it is in {str(x.dtype).removeprefix('torch.')}, not float32 or bfloat16"
    if drive.feedback is not None and drive.feedback.dim() != 2:
        return "its recurrence is a convolution"
    return None


def _has_formula(surrogate: SpikeGradient) -> bool:
    """Whether it is a ``Surrogate``: isinstance would ask for its constants, which takes as long as a small step."""
    return hasattr(type(surrogate), "constants") and hasattr(type(surrogate), "formula")


def _kernels_of(kernel: str, tensor: Tensor) -> Device | str:
    """The kernels for a tensor's device, or why there are none."""
    kind = tensor.device.type
    if kind == "cpu" and kernel != "cuda":
        return cpu
    if kernel == "cpu" or kind not in ("cpu", "cuda"):
        return f"it is on {kind}"
    if not has_triton():
        return "Triton is not installed"
    from izhi.kernels import cuda

    if kind == "cpu" and not cuda.is_interpreted():
        return "its tensors are on a CPU, which Triton only interprets (TRITON_INTERPRET=1)"
    return cuda


def _device(kernel: str, tensor: Tensor, reason: str | None, stacklevel: int = 7) -> Device | None:
    """The kernels to use, or None for the reference; ``stacklevel`` is that of whoever called the layer."""
    if kernel not in KERNELS:
        raise unknown("kernel", kernel, KERNELS)
    if kernel == "reference":
        _say(tensor, "kernel='reference' asks for that")
        return None
    if is_traced():
        reason = "torch compiles, traces or transforms it"
        if kernel == "auto":
            _say(tensor, reason)
            return None
    if reason is None:
        found = _kernels_of(kernel, tensor)
        if not isinstance(found, str):
            return found
        reason = found
    _say(tensor, reason)
    if kernel != "auto":
        raise SettingError(f"kernel {kernel!r} does not cover this call: {reason}; use 'auto' or kernel=\"reference\"")
    if reason not in _said:
        _said.add(reason)
        warnings.warn(
            f"a layer runs step by step in torch, since {reason}; kernel='reference' asks for that",
            SlowKernelWarning,
            stacklevel=stacklevel,
        )
    return None


def _say(tensor: Tensor, why: str) -> None:
    """Say that neurons run by the reference."""
    if paths.is_recording():
        paths.record_route(f"neurons {fused.sizes(tensor)}", "torch, step by step", why)


def izhikevich(
    drive: SynapticInput,
    memory: Memory,
    v: Tensor,
    u: Tensor,
    p: Coefficients,
    s: IzhikevichSettings,
    kernel: str = "auto",
) -> tuple[Tensor, Memory, Tensor, Tensor]:
    """Run the quadratic neuron over drive (T, B, …): spikes (T, B, …), the last memory, v and u."""
    reason = _not_covered(drive, (v, u), s.surrogate)
    if s.state_quant is not None:
        reason = "it quantises its state"
    device = _device(kernel, drive.current, reason)
    if device is None:
        out, memory, (v, u) = reference.izhikevich(drive, memory, v, u, p, s)
        return out, memory, v, u
    surrogate = cast(Surrogate, s.surrogate)
    out, memory, (v, u) = fused.run(device, s.order, surrogate, s.constants, p, drive, memory, (v, u), s.formats)
    return out, memory, v, u


def izhikevich_step(
    current: Tensor, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings, kernel: str = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of the quadratic neuron under current (B, …): spikes (B, …) in its format, v and u."""
    reason = _not_covered(SynapticInput(current), (v, u), s.surrogate)
    if s.state_quant is not None:
        reason = "it quantises its state"
    device = _device(kernel, current, reason, stacklevel=8)
    if device is None:
        spikes, v, u = reference.izhikevich_step(SynapticInput(current), v, u, p, s)
        return spikes.to(current.dtype), v, u
    return fused.step(device, s, p, current, v, u)


def lif(
    drive: SynapticInput,
    memory: Memory,
    v: Tensor,
    p: AnyLIFCoefficients,
    s: LIFSettings,
    kernel: str = "auto",
) -> tuple[Tensor, Memory, Tensor]:
    """Run the leaky integrate-and-fire neuron over drive (T, B, …): spikes, the last memory and v."""
    device = _device(kernel, drive.current, _not_covered(drive, (v,), s.surrogate))
    if device is None:
        out, memory, (v,) = reference.lif(drive, memory, v, p, s)
        return out, memory, v
    reset, surrogate = Reset(s.reset, s.reset_delay), cast(Surrogate, s.surrogate)
    out, memory, (v,) = fused.run(device, reset, surrogate, Constants(), p, drive, memory, (v,), s.formats)
    return out, memory, v


def trace(
    current: Tensor,
    state: tuple[Tensor, ...],
    p: Coefficients | AnyLIFCoefficients,
    s: IzhikevichSettings | LIFSettings,
    kernel: str = "auto",
) -> tuple[Tensor, ...] | None:
    """Spikes and every variable of the state after each step, (T, B, …) each, without gradients.

    Returns:
        None where no kernel covers the call, which the reference does step by step.
    """
    if kernel == "reference" or is_traced() or _not_covered(SynapticInput(current), state, s.surrogate) is not None:
        return None
    device = _kernels_of(kernel, current)
    if isinstance(device, str):
        return None
    dynamics: EventOrder | Reset
    if isinstance(s, IzhikevichSettings):
        if s.state_quant is not None:
            return None
        dynamics, constants = s.order, s.constants
    else:
        dynamics, constants = Reset(s.reset, s.reset_delay), Constants()
    return fused.trace(device, dynamics, cast(Surrogate, s.surrogate), constants, p, current, state, s.formats)


def rate(values: Tensor, steps: int, seed: int, dtype: torch.dtype, kernel: str = "auto") -> Tensor:
    """Bernoulli spikes (T, B, N) with probability values (B, N), the same from every kernel.

    Only where there is no kernel for the device or format do torch's own random numbers stand in.
    """
    found = _kernels_of(kernel, values)
    if not isinstance(found, str) and dtype in (torch.float32, torch.bfloat16):
        return found.rate(values, steps, seed, dtype)
    generator = torch.Generator(values.device).manual_seed(seed % 2**63)
    random = torch.rand((steps, *values.shape), generator=generator, device=values.device)
    return (random < values).to(dtype)


def rate_packed(values: Tensor, steps: int, seed: int, dtype: torch.dtype) -> PackedSpikes:
    """The spikes of ``rate``, one bit each, where the values are, or on the CPU if no kernel makes them there."""
    found = _kernels_of("auto", values)
    words = (
        cpu.rate(values.cpu(), steps, seed, None) if isinstance(found, str) else found.rate(values, steps, seed, None)
    )
    return PackedSpikes(words, steps, dtype, checked=True)
