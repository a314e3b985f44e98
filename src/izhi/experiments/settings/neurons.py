"""Settings of neurons, which a layer may have of its own."""

from __future__ import annotations

from typing import Literal

from izhi.experiments.settings.fields import Group, Mark, MaybeInfinite, Names, Range, Shares, setting
from izhi.spec import ResetMode, SurrogateName
from izhi.spec.neuron import NeuronOptions


class NeuronSettings(Group):
    """The neurons of every layer."""

    neuron: str = setting("normalized", "neuron: lif, or a preset of izhi.PRESETS", Mark.COMMON | Mark.SHAPES)
    order: str | None = setting(None, "order of the events of a step; default: by preset", Mark.SHAPES)
    gain: float | None = setting(None, "factor on input currents; default: by neuron", allow_inf_nan=False)
    learn: Names = setting((), "learned neuron coefficients, comma-separated", Mark.COMMON | Mark.SHAPES)
    per_neuron: bool = setting(False, "learned coefficients of each neuron, in place of the layer's", Mark.SHAPES)
    per_channel: bool = setting(False, "learned coefficients of each channel of a convolution", Mark.SHAPES)
    spread: float = setting(0.0, "spread of the initial coefficients between neurons, share of their size", ge=0)
    mixture: Shares | None = setting(
        None, "initial shares of cell classes, such as RS=.5,FS=.3,CH=.2; default: one class", Mark.SHAPES
    )
    frequency: Range | None = setting(
        None, "lowest and highest frequency of resonators, radians per step, comma-separated [0.01,1]", Mark.SHAPES
    )
    decay: Range | None = setting(None, "lowest and highest decay of resonators per step [0.001,0.02]", Mark.SHAPES)
    time_constants: Range | None = setting(
        None, "lowest and highest time constant of v, and of u, in steps (lif, adlif); default: one for all",
        Mark.SHAPES,
    )  # fmt: skip
    beta: float = setting(NeuronOptions.beta, "decay of the membrane potential per step (lif)", ge=0, le=1)
    reset: ResetMode | None = setting(None, "reset after a spike; default: by neuron")
    v_reset: float = setting(0.0, "membrane potential after a reset to a value (lif)", lt=1)
    q_decay: float = setting(0.9, "decay of the refractory state per step (reset smooth)", ge=0, le=1)
    q_damping: float = setting(0.01, "damping by the refractory state per unit of time (reset smooth)", ge=0)
    surrogate: SurrogateName = setting("atan", "surrogate gradient")
    slope: float = setting(2.0, "slope of the surrogate gradient", gt=0)
    jacobian_limit: MaybeInfinite = setting(1.0, "largest membrane Jacobian in the backward pass, or inf")
    kernel: Literal["auto", "reference", "cpu", "cuda"] = setting(
        "auto", "neuron kernel", Mark.MAY_CHANGE | Mark.OF_EVALUATION
    )
