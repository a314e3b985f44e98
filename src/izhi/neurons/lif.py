"""The leaky integrate-and-fire neuron, the yardstick; equal to ``snntorch.Leaky`` step for step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor

from izhi.deprecation import renamed_arguments
from izhi.equation import lif
from izhi.kernels import Memory
from izhi.neurons.distribution import of_logarithm, sample
from izhi.neurons.neuron import (
    NeuronLayer,
    as_shape,
    at_rest,
    clamp_straight_through,
    names_in,
    step_settings,
    straight_through,
)
from izhi.neurons.state import Target, detach, moved
from izhi.neurons.surrogate import SpikeGradient, recognised, spec_of
from izhi.spec import LIFSpec, ResetMode, Spread


class LIFCoefficients(NamedTuple):
    """The coefficients of LIF; floats, or tensors that broadcast over (B, N)."""

    beta: Tensor | float
    threshold: Tensor | float


class ValueLIFCoefficients(NamedTuple):
    """The coefficients of LIF whose v a spike sets to v_reset."""

    beta: Tensor | float
    threshold: Tensor | float
    v_reset: Tensor | float


class LIFState(NamedTuple):
    """v of every neuron, (B, *features), and the memory of synapse and recurrence."""

    v: Tensor
    memory: Memory = Memory()

    def detach(self) -> LIFState:
        """The same state without its history, see ``izhi.neurons.state.detach``."""
        return detach(self)

    def to(self, target: Target) -> LIFState:
        """The same state on another device or in another dtype."""
        return moved(self, target)


class LIF(NeuronLayer[LIFState, LIFCoefficients | ValueLIFCoefficients]):
    """A layer of leaky integrate-and-fire neurons.

        v ← β·v + I,   spike when v > threshold,

    after which v is reduced by the threshold behind the next decay (``reset="subtract"``) or before it
    (``"soft"``), set to zero before it (``"zero"``), likewise to ``v_reset`` (``"value"``), or left alone (``"none"``).
    As in snnTorch the reset takes place one step after the spike, unless ``reset_delay`` is False. "soft" is the
    subtraction of most other simulators, one spike a step: what is left of v decays, and may fire again.

    Args:
        beta: decay of v per step, 0 to 1; or ``izhi.spread(tau=(2, 1000))``, time constants 1/(1 − β) in steps that
            are spread over the neurons, which ``"tau"`` learns as logarithms.
        threshold: above 0.
        parameter_shape: shape of the coefficients of each neuron, see ``Izhikevich``; None for one set.
        learn: any of ``"beta"`` (or ``"tau"``), ``"threshold"`` and, where a spike sets v to it, ``"v_reset"``.
        spread: standard deviation of the learned ones' initial values between neurons, in units of
            1 − β and, of the others, of the threshold; needs a parameter_shape.
        reset: the reset mode.
        v_reset: v after a spike in the mode ``"value"``, below the threshold.
        reset_delay: whether the reset takes place in the next step.
        surrogate: derivative over v − threshold, from ``izhi.surrogate`` or ``snntorch.surrogate``;
            None for ATan(2), snnTorch's default.
        kernel: ``"auto"``, ``"reference"`` or ``"cpu"``.

    Raises:
        SettingError: for an unknown reset mode, a value out of range, or a v_reset that the mode has no use for.
    """

    kind: ClassVar[str] = LIFSpec.kind
    spec: LIFSpec
    mixed_tau: Tensor

    @renamed_arguments(size="parameter_shape")
    def __init__(
        self,
        beta: float | Spread = 0.95,
        threshold: float = 1.0,
        *,
        parameter_shape: int | Sequence[int] | None = None,
        learn: Sequence[str] | str = (),
        spread: float = 0.0,
        reset: ResetMode = "subtract",
        v_reset: float = 0.0,
        reset_delay: bool = True,
        surrogate: SpikeGradient | None = None,
        kernel: str = "auto",
    ) -> None:
        form = recognised(surrogate)
        spec = LIFSpec(
            beta=LIFSpec.beta if isinstance(beta, Spread) else beta, threshold=threshold, reset=reset, v_reset=v_reset,
            tau=beta if isinstance(beta, Spread) else None, reset_delay=reset_delay, size=as_shape(parameter_shape),
            learn=names_in(learn), spread=spread, surrogate=spec_of(form),
        )  # fmt: skip
        self._set_up(spec, form, kernel)

    def _configure(self, surrogate: SpikeGradient) -> None:
        spec = self.spec
        self.beta, self.threshold, self.v_reset = spec.beta, spec.threshold, spec.v_reset
        self.settings = step_settings(lif(spec.reset, spec.reset_delay), surrogate)
        if spec.tau is not None:
            self.register_buffer("mixed_tau", sample(spec.tau, spec.size or ()))
        self._learn(spec.learn, lambda name: self.mixed_tau.log() if name == "tau" else float(getattr(spec, name)))

    def dynamics(self) -> dict[str, object]:
        """See ``NeuronLayer``."""
        own: dict[str, object] = {
            name: float(getattr(self, name)) for name in self.spec.names if name not in self.learned
        }
        if self.spec.tau is not None:
            own["beta"] = [self.spec.tau.low, self.spec.tau.high]
        return {**own, "reset": self.spec.reset, "reset_delay": self.spec.reset_delay}

    def parameter_scale(self, name: str) -> float:
        """The scale of a coefficient: 1 − β of β, else the threshold."""
        return {"beta": max(1 - self.beta, 0.01), "tau": 1.0}.get(name, self.threshold)

    def coefficients(self) -> LIFCoefficients | ValueLIFCoefficients:
        """β, the threshold and, if a spike sets v to it, v_reset: floats, or tensors where they are learned.

        Learned values are clamped, with the gradient of the value itself: β to 0 … 1, the threshold to at least a
        twentieth of its initial value, and v_reset and the threshold at least that far apart, or as far as initially.
        """
        beta: Tensor | float = self.beta
        threshold: Tensor | float = self.threshold
        if self.spec.tau is not None:
            beta = 1 - 1 / self._tau()
        if "beta" in self.learned:
            beta = clamp_straight_through(self.learned["beta"], 0.0, 1.0)
        v_reset: Tensor | float = self.v_reset
        apart = min(0.05 * self.threshold, self.threshold - self.v_reset)
        if "threshold" in self.learned:
            fixed = 0.0 if "v_reset" in self.learned else self.v_reset
            threshold = clamp_straight_through(
                self.learned["threshold"], max(0.05 * self.threshold, fixed + apart), math.inf
            )
        if "v_reset" in self.learned:
            value = self.learned["v_reset"]
            v_reset = straight_through(value, value.clamp(max=threshold - apart))
        if self.spec.reset == "value":
            return ValueLIFCoefficients(beta, threshold, v_reset)
        return LIFCoefficients(beta, threshold)

    def learned_values(self) -> dict[str, Tensor]:
        """See ``NeuronLayer``."""
        values = super().learned_values()
        return values | {"tau": self._tau()} if "tau" in values else values

    def _tau(self) -> Tensor:
        """The time constant of each neuron, in steps."""
        return of_logarithm(self.learned["tau"], 1.0, 1e6) if "tau" in self.learned else self.mixed_tau

    def initial_state(self, current_t: Tensor) -> LIFState:
        """v = 0 for every neuron of one step of current, (B, *features)."""
        return LIFState(at_rest(current_t, 0.0))

    def extra_repr(self) -> str:
        tau = self.spec.tau
        leak = f"beta={self.beta:g}" if tau is None else f"tau={tau.low:g}…{tau.high:g}"
        return f"{leak}, threshold={self.threshold:g}, reset={self.spec.reset!r}"
