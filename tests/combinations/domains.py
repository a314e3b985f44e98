"""Values of every setting, from its own metadata: a new setting joins the combinations by itself."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, get_args, get_origin

from combinations.datasets import EVENTS, LENGTH, SERIES, STEPS
from izhi.experiments.settings import FIELDS, GROUP_OF, Mark, marked
from izhi.experiments.settings.choices import SEARCHES
from izhi.spec import ORDERS, PRESETS

#: Values of settings whose type says too little, and smaller values of those that cost time.
TEXTS: dict[str, tuple[Any, ...]] = {
    "dataset": ("iris", "digits", SERIES, STEPS, EVENTS),
    "exclude_classes": (("1",),),
    "neuron": ("lif", "biological", "RS", "qif", "adlif", "resonator", *list(PRESETS)[:1]),
    "order": tuple(ORDERS),
    "permutation": (0, 7),
    "frequency": ((0.1, 0.1), (0.01, 2.0)),
    "decay": ((0.001, 0.02),),
    "time_constants": ((2.0, 1000.0),),
    "readout_tau": ((20.0, 20.0), (2.0, 50.0)),
    "learn": (
        ("frequency", "decay"),
        ("tau",),
        ("tau_v", "threshold"),
        ("a", "b"),
        ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d"),
        ("beta",),
        ("threshold", "gain"),
    ),
    "mixture": ({"RS": 0.5, "FS": 0.5}, {"normalized": 0.5, "normalized-IB": 0.5}),
    "hidden": ((4,), (5, 3)),
    "layers": ("conv 3x3 norm, pool 2, 5", "conv 3x3, average 2", "6 neuron=lif, 4"),
    "steps": (1, 8, 16),
    "epochs": (1, 2),
    "population": (2, 3),
    "tau": (1.5, 4.0),
    "gain": (-1.0, 0.0, 4.0),
    "q_damping": (0.0, 0.05),
    "batch_size": (1, 8),
    "members": (4, 6),
    "validation": (0.0, 0.3),
    "delays": (0, 3),
    "online": (1, 3),
    "train_samples": (1, 12),
    "precision": ("32-true", "64-true", "bf16-mixed"),
}
#: Settings of machines and processes, which these tests do not vary; and of files alone.
LEFT_OUT = {"accelerator", "devices", "nodes", "actors", "tensorboard", "kernel", *marked(Mark.OF_FILES)}


def values(name: str) -> list[Any]:
    """Values of a setting other than its default: those of a Literal, or those at and near its limits."""
    field = FIELDS[name]
    listed = TEXTS.get(name) or _of(field.annotation, field.metadata)
    return [value for value in listed if value != field.default]


def _of(annotation: Any, limits: list[Any]) -> tuple[Any, ...]:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(x for x in get_args(annotation) if x is not type(None))
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if annotation is bool:
        return (False, True)
    if annotation not in (int, float):
        raise TypeError(f"values of {annotation} are not known; name them in TEXTS")
    least, above = _limit(limits, "ge"), _limit(limits, "gt")
    most, below = _limit(limits, "le"), _limit(limits, "lt")
    low = least if least is not None else above if above is not None else 0
    high = min(x for x in (most, below, low + 4) if x is not None)
    if annotation is int:
        return tuple(sorted({int(low) + (above is not None), int(low) + 1, int(high) - (high == below)}))
    first = low if above is None else low + 0.01 * (high - low)
    return tuple(dict.fromkeys(float(x) for x in (first, (low + high) / 2)))


def _limit(limits: list[Any], name: str) -> Any:
    return next((getattr(x, name) for x in limits if hasattr(x, name)), None)


#: Settings that mean something only with others.
_CONTEXT: dict[str, dict[str, Any]] = {
    "permutation": {"encoding": "rows", "dataset": "digits", "steps": 16},
    "beta": {"neuron": "lif"},
    "v_reset": {"neuron": "lif", "reset": "value"},
    "q_decay": {"neuron": "adlif", "reset": "smooth"},
    "q_damping": {"neuron": "adlif", "reset": "smooth"},
    "tau": {"connection": "exponential"},
    "inhibitory": {"connection": "conductance"},
    "readout_tau": {"readout": "membrane"},
    "learn_readout": {"readout": "membrane"},
    "delay_type": {"delays": 3},
    "delta": {"encoding": "delta"},
    "crossings": {"encoding": "level"},
    "weight_scale": {"weight_bits": 4},
    "patience": {"validation": 0.3},
    "equalize": {"counts": True},
    "levels": {"encoding": "constant", "dataset": "digits"},
    "layers": {"dataset": "digits"},
    "per_neuron": {"learn": ("beta",)},
    "per_channel": {"learn": ("beta",), "layers": "conv 3x3 norm, pool 2, 5", "dataset": "digits"},
    "spread": {"learn": ("beta",), "per_neuron": True},
    "order": {"neuron": "normalized"},
    "optimizer": {"members": 4},
}


def context(name: str, value: Any) -> dict[str, Any]:
    """Settings without which another one has no use."""
    found: dict[str, Any] = {}
    if name in marked(Mark.OF_EVENTS):
        found["dataset"] = EVENTS
    elif name in marked(Mark.OF_SERIES):
        found["dataset"] = SERIES
    elif name in marked(Mark.OF_EMBEDDED):
        found["dataset"] = "iris"
    elif GROUP_OF[name] == "evolution":
        found |= {"optimizer": "snes", "members": 4}
    if value == STEPS:
        found |= {"loss": "step", "steps": LENGTH}
    if name == "loss" and value in ("max", "last"):
        found["readout"] = "membrane"
    if name == "reset":
        found["neuron"] = {"subtract": "normalized", "none": "adlif", "smooth": "adlif"}.get(value, "lif")
    if name == "mixture":
        found["neuron"] = next(iter(value))
    if name == "learn" and value[0] != "beta":
        found["neuron"] = "RS" if value[0] == "a" else "normalized"
    if name == "optimizer" and value not in SEARCHES:
        return {name: value}
    return {**found, **_CONTEXT.get(name, {}), name: value}
