"""The leaky integrate-and-fire neuron as a description; its equation is that of ``izhi.LIF``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from izhi.errors import SettingError, unknown
from izhi.spec.distribution import Spread
from izhi.spec.neuron import (
    Coefficient,
    NeuronEntry,
    NeuronOptions,
    NeuronSpec,
    ResetMode,
    common_of_options,
    per_channel,
    register,
)
from izhi.spec.tables import Shape, Table, write

RESETS: tuple[ResetMode, ...] = tuple(x for x in get_args(ResetMode) if x != "smooth")


@dataclass(frozen=True, kw_only=True)
class LIFSpec(NeuronSpec):
    """v ← β·v + I, a spike when v > threshold, then the reset; see ``izhi.LIF``.

    Raises:
        SettingError: for an unknown reset mode, a value out of range, or a v_reset that the mode has no use for.
    """

    beta: float = NeuronOptions.beta  #: decay of v per step, 0 to 1
    threshold: float = 1.0  #: above 0
    reset: ResetMode = "subtract"  #: the reset mode
    v_reset: float = 0.0  #: the value to which the mode ``"value"`` sets v, below the threshold
    tau: Spread | None = None  #: distribution of 1/(1 − β) over the neurons, in steps, in place of β
    reset_delay: bool = True  #: whether the reset takes place in the step after the spike

    kind: ClassVar[str] = "lif"

    def __post_init__(self) -> None:
        super().__post_init__()
        beta, threshold, reset, v_reset = self.beta, self.threshold, self.reset, self.v_reset
        if not 0 <= beta <= 1:
            raise SettingError(f"beta is {beta!r}, expected a decay from 0 to 1")
        if not (math.isfinite(threshold) and threshold > 0):
            raise SettingError(f"threshold is {threshold!r}, expected a finite number above 0")
        if reset not in RESETS:
            raise unknown("reset mode", reset, RESETS)
        if not (math.isfinite(v_reset) and v_reset < threshold):
            raise SettingError(f"v_reset is {v_reset!r}, expected a finite number below the threshold, {threshold:g}")
        if v_reset and reset != "value":
            raise SettingError(f"v_reset is {v_reset!r}, which reset {reset!r} has no use for; choose reset 'value'")
        if self.tau is not None and (self.tau.name != "tau" or self.tau.low < 1):
            raise SettingError(
                f"{self.tau.name} is {self.tau.low:g} to {self.tau.high:g}, expected tau, of at least 1 step"
            )
        learnable = self.names if self.tau is None else ("tau", *self.names[1:])
        for name in self.learn:
            if name not in learnable:
                raise unknown("learnable coefficient", name, learnable)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coefficients in use."""
        return ("beta", "threshold", "v_reset") if self.reset == "value" else ("beta", "threshold")

    @property
    def reversal(self) -> tuple[float, float, float]:
        """−85, −65 and 0 mV (S2NN-HLS) at 15 mV from rest to a threshold of 1."""
        return -20 / 15, 0.0, 65 / 15

    @property
    def implicit(self) -> float:
        """κ is 1: a current of 1 adds 1 to v."""
        return 1.0

    @property
    def nearest_preset(self) -> str:
        return "lif"

    def configured(self, options: NeuronOptions, shape: Shape) -> LIFSpec:
        common = common_of_options(options, shape)
        reset = options.reset or self.reset
        own: dict[str, Any] = {"beta": options.beta, "reset": reset, "v_reset": options.v_reset}
        if options.time_constants is not None:
            own["tau"] = Spread("tau", *options.time_constants)
            common["size"] = common["size"] or per_channel(shape)
        return self.replace(**common, **own)

    def check_options(self, options: NeuronOptions) -> None:
        if options.order is not None:
            raise SettingError(f"order is {options.order!r}, but {options.neuron} has none; leave it out")
        if options.mixture:
            raise SettingError(f"mixture is set, but {options.neuron} has no classes; choose another neuron")
        for name in ("frequency", "decay"):
            if getattr(options, name) is not None:
                raise SettingError(f"{name} is set, but {options.neuron} has none; choose neuron resonator")
        if options.time_constants is not None:
            Spread("tau", *options.time_constants)
            if options.beta != NeuronOptions.beta:
                raise SettingError(f"beta is {options.beta:g} beside time_constants, expected one of the two")
        if options.reset is not None and options.reset not in RESETS:
            raise SettingError(
                f"reset is {options.reset!r}, which {options.neuron} does not have; choose {', '.join(RESETS[:-1])} or"
                f" {RESETS[-1]}"
            )

    def table(self) -> Table:
        values = {name: float(getattr(self, name)) for name in self.names}
        whole = {**super().table(), **values, "reset": self.reset, "reset_delay": self.reset_delay}
        return whole if self.tau is None else {**whole, "tau": write(self.tau)}


register(
    NeuronEntry(
        name="lif",
        spec=LIFSpec,
        states=("v",),
        coefficients=(
            Coefficient("beta", low=0.0, high=1.0), Coefficient("threshold", low=0.0), Coefficient("v_reset"),
            Coefficient("tau", low=1.0),
        ),
        presets={"lif": LIFSpec()},
        operations=(1, 1),
        settings=("beta", "reset", "v_reset", "time_constants"),
        executors={"torch": "izhi.neurons.lif:LIF", "nir": "izhi.exchange.lif:CODEC"},
    )
)  # fmt: skip

__all__ = ["RESETS", "LIFSpec"]
