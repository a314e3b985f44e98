"""The leaky integrate-and-fire neuron, the yardstick; equal to ``snntorch.Leaky`` step for step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from izhi import kernels
from izhi.errors import SettingError, unknown
from izhi.kernels import Drive, LIFSettings, Memory
from izhi.kernels.reference import arrive, lif_step, remember
from izhi.neurons.izhikevich import check_current, check_state, hold
from izhi.neurons.surrogate import ATan, SpikeGradient

RESETS = ("subtract", "zero", "none")


class LIFState(NamedTuple):
    """v of every neuron, (B, *features), and what arrives at them over time."""

    v: Tensor
    memory: Memory = Memory()


class LIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons.

        v ← β·v + I,   spike when v > threshold,

    after which v is reduced by the threshold (``reset="subtract"``), set to zero before the next
    decay (``"zero"``) or left alone (``"none"``). As in snnTorch the reset takes place one step after
    the spike, unless ``reset_delay`` is False.

    Args:
        beta: decay of v per step, 0 to 1.
        threshold: above 0.
        size: shape of one step of one sample, for parameters of each neuron; None for one set.
        learn: any of ``"beta"``, ``"threshold"``.
        spread: standard deviation of the learned ones' initial values between neurons, in units of
            1 − β and of the threshold; needs a size.
        reset: the reset mode.
        reset_delay: whether the reset waits for the next step.
        surrogate: derivative over v − threshold, from ``izhi.surrogate`` or ``snntorch.surrogate``;
            None for ATan(2), snnTorch's default.
        kernel: ``"auto"``, ``"reference"`` or ``"cpu"``.

    Raises:
        SettingError: for an unknown reset mode or a value out of range.
    """

    def __init__(
        self,
        beta: float = 0.95,
        threshold: float = 1.0,
        *,
        size: int | Sequence[int] | None = None,
        learn: Sequence[str] = (),
        spread: float = 0.0,
        reset: str = "subtract",
        reset_delay: bool = True,
        surrogate: SpikeGradient | None = None,
        kernel: str = "auto",
    ) -> None:
        super().__init__()
        if not 0 <= beta <= 1:
            raise SettingError(f"beta is {beta!r}, expected a decay from 0 to 1")
        if not (math.isfinite(threshold) and threshold > 0):
            raise SettingError(f"threshold is {threshold!r}, expected a finite number above 0")
        if reset not in RESETS:
            raise unknown("reset mode", reset, RESETS)
        if kernel not in kernels.KERNELS:
            raise unknown("kernel", kernel, kernels.KERNELS)
        if not (math.isfinite(spread) and spread >= 0):
            raise SettingError(f"spread is {spread!r}, expected a finite number, 0 or more")
        if spread and size is None:
            raise SettingError(
                f"spread is {spread!r}, expected 0 unless each neuron has its own (size)"
            )
        self.beta, self.threshold, self.kernel = beta, threshold, kernel
        self.size = (size,) if isinstance(size, int) else None if size is None else tuple(size)
        self.settings = LIFSettings(reset, reset_delay, ATan() if surrogate is None else surrogate)
        self.learned = nn.ParameterDict()
        for name in learn:
            if name not in ("beta", "threshold"):
                raise unknown("learnable coefficient", name, ("beta", "threshold"))
            value = torch.full(self.size or (), float(getattr(self, name)))
            if spread:
                value = value + spread * self.unit(name) * torch.randn(value.shape)
            self.learned[name] = nn.Parameter(value)

    def unit(self, name: str) -> float:
        """The size of a change of β or the threshold that is felt: 1 − β, and the threshold."""
        return max(1 - self.beta, 0.01) if name == "beta" else self.threshold

    def coefficients(self) -> tuple[Tensor | float, ...]:
        """β and the threshold: floats, or tensors where they are learned.

        Learned ones are held within 0 and 1, and above a twentieth of the initial threshold, by a
        clamp that lets the gradient through.
        """
        beta: Tensor | float = self.beta
        threshold: Tensor | float = self.threshold
        if "beta" in self.learned:
            beta = hold(self.learned["beta"], 0.0, 1.0)
        if "threshold" in self.learned:
            threshold = hold(self.learned["threshold"], 0.05 * self.threshold, math.inf)
        return beta, threshold

    def initial_state(self, current_t: Tensor) -> LIFState:
        """v = 0 for every neuron of one step of current, (B, *features)."""
        like = torch.float64 if current_t.dtype == torch.float64 else torch.float32
        return LIFState(torch.zeros_like(current_t, dtype=like).detach())

    def forward(
        self, current: Tensor | Drive, state: LIFState | None = None
    ) -> tuple[Tensor, LIFState]:
        """Run over time: current (T, B, *features) → spikes of the same shape, and the last state.

        Raises:
            ShapeError: for a wrong rank or width, integer currents, or T = 0.
        """
        drive = current if isinstance(current, Drive) else Drive(current)
        check_current(drive.current, time=True)
        state = self.initial_state(drive.current[0]) if state is None else state
        check_state((state.v,), state.memory, drive.current, time=True)
        spikes, memory, v = kernels.lif(
            drive, state.memory, state.v, self.coefficients(), self.settings, self.kernel
        )
        return spikes, LIFState(v, memory)

    def step(
        self, current_t: Tensor | Drive, state: LIFState | None = None
    ) -> tuple[Tensor, LIFState]:
        """One step of the same: current_t (B, *features) → spikes (B, *features), next state."""
        drive = current_t if isinstance(current_t, Drive) else Drive(current_t)
        check_current(drive.current, time=False)
        state = self.initial_state(drive.current) if state is None else state
        check_state((state.v,), state.memory, drive.current, time=False)
        now, memory = arrive(drive, state.memory)
        spikes, v = lif_step(now, state.v, self.coefficients(), self.settings)
        memory = remember(drive, memory, spikes)
        return spikes.to(drive.current.dtype), LIFState(v, memory)

    def trace(self, current: Tensor, state: LIFState | None = None) -> tuple[Tensor, Tensor]:
        """Spikes and v after every step, (T, B, *features) each, for figures and tests."""
        check_current(current, time=True)
        steps = []
        for current_t in current:
            spikes, state = self.step(current_t, state)
            steps.append((spikes, state.v))
        spikes, v = (torch.stack(x) for x in zip(*steps, strict=True))
        return spikes, v

    def extra_repr(self) -> str:
        return f"beta={self.beta:g}, threshold={self.threshold:g}, reset={self.settings.reset!r}"
