"""Settings of neurons, which a layer may have of its own."""

from __future__ import annotations

from typing import Literal

from izhi.experiments.settings.fields import Group, Mark, MaybeInfinite, Names, Shares, setting


class NeuronSettings(Group):
    """The neurons of every layer."""

    neuron: str = setting("normalized", "lif, or a preset of izhi.PRESETS", Mark.SHAPES)
    order: str | None = setting(None, "event order; default: the preset's", Mark.SHAPES)
    gain: float | None = setting(None, "factor on input currents; default: by neuron", allow_inf_nan=False)
    learn: Names = setting((), "neuron coefficients to learn, comma-separated", Mark.SHAPES)
    per_neuron: bool = setting(False, "learn a value for each neuron, not one for the layer", Mark.SHAPES)
    per_channel: bool = setting(False, "learn a value for each channel of a convolution", Mark.SHAPES)
    spread: float = setting(0.0, "spread of the initial values between neurons, in units of their size", ge=0)
    mixture: Shares | None = setting(
        None,
        "mixture of cell classes that layers start with, such as RS=.5,FS=.3,CH=.2",
        Mark.SHAPES,
    )
    beta: float = setting(0.95, "decay per step (lif)", ge=0, le=1)
    reset: Literal["subtract", "soft", "zero", "value", "none"] = setting("subtract", "reset (lif)")
    v_reset: float = setting(0.0, "value that reset = value sets v to (lif)", lt=1)
    surrogate: Literal["atan", "fast_sigmoid", "sigmoid"] = setting("atan", "surrogate gradient")
    slope: float = setting(2.0, "slope of the surrogate gradient", gt=0)
    jacobian_limit: MaybeInfinite = setting(1.0, "limit of the membrane Jacobian in the backward pass, or inf")
    kernel: Literal["auto", "reference", "cpu", "cuda"] = setting(
        "auto", "neuron kernel", Mark.MAY_CHANGE | Mark.OF_EVALUATION
    )
