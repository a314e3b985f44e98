"""One function per neuron, whichever kernel computes it.

``kernel`` is ``"auto"`` (the fastest that covers the call), ``"reference"`` (torch, differentiable in
everything, any device) or ``"cpu"`` (Numba). What a kernel does not cover, learned coefficients among
it, goes to the reference, which gives the same numbers.
"""

from __future__ import annotations

from torch import Tensor

from izhi.errors import SettingError, unknown
from izhi.kernels import cpu, reference
from izhi.kernels.reference import Coefficients, Drive, IzhikevichSettings, LIFSettings

__all__ = [
    "KERNELS",
    "Coefficients",
    "Drive",
    "IzhikevichSettings",
    "LIFSettings",
    "izhikevich",
    "lif",
]

KERNELS = ("auto", "reference", "cpu")


def _use_cpu(kernel: str, covered: bool) -> bool:
    if kernel not in KERNELS:
        raise unknown("kernel", kernel, KERNELS)
    if kernel == "cpu" and not covered:
        raise SettingError(
            "kernel 'cpu' does not cover this call: it takes constant coefficients per layer, CPU"
            " tensors in float32 or bfloat16 and a surrogate from izhi.surrogate; use kernel='auto'"
        )
    return covered and kernel != "reference"


def izhikevich(
    drive: Drive, v: Tensor, u: Tensor, p: Coefficients, s: IzhikevichSettings, kernel: str = "auto"
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the quadratic neuron over drive (T, B, …); returns spikes (T, B, …) and the last v, u."""
    covered = s.state_quant is None and cpu.supports(tuple(p), *drive, v, u, surrogate=s.surrogate)
    run = cpu.izhikevich if _use_cpu(kernel, covered) else reference.izhikevich
    return run(drive, v, u, p, s)


def lif(
    current: Tensor,
    v: Tensor,
    beta: Tensor | float,
    threshold: Tensor | float,
    s: LIFSettings,
    kernel: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Run the leaky integrate-and-fire neuron over current (T, B, …); spikes and the last v."""
    constant = isinstance(beta, (int, float)) and isinstance(threshold, (int, float))
    covered = (
        constant
        and cpu.supports((), current, v, surrogate=s.surrogate)
        and (s.reset_delay or s.reset == "none")
    )
    if _use_cpu(kernel, covered):
        return cpu.lif(current, v, beta, threshold, s)  # type: ignore[arg-type]
    return reference.lif(current, v, beta, threshold, s)
