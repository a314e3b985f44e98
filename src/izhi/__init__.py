"""Izhi: spiking networks of Izhikevich neurons, from training to hardware."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from izhi.errors import IzhiError
from izhi.version import __version__

if TYPE_CHECKING:
    from izhi import (
        artifact,
        board,
        connections,
        data,
        encoding,
        fixed,
        hls_ip,
        network,
        nir,
        sklearn,
        snntorch,
        surrogate,
        training,
    )
    from izhi.neurons import LIF, Izhikevich, IzhikevichState, LIFState
    from izhi.spec import ORDERS, PATTERNS, PRESETS, IzhikevichParameters, biological, normalize, preset

__all__ = [
    "LIF",
    "ORDERS",
    "PATTERNS",
    "PRESETS",
    "IzhiError",
    "Izhikevich",
    "IzhikevichParameters",
    "IzhikevichState",
    "LIFState",
    "__version__",
    "artifact",
    "biological",
    "board",
    "connections",
    "data",
    "encoding",
    "fixed",
    "hls_ip",
    "network",
    "nir",
    "normalize",
    "preset",
    "sklearn",
    "snntorch",
    "surrogate",
    "training",
]

_DOORS = frozenset(
    [
        "artifact",
        "board",
        "connections",
        "data",
        "encoding",
        "fixed",
        "hls_ip",
        "network",
        "nir",
        "sklearn",
        "snntorch",
        "surrogate",
        "training",
    ]
)


def __getattr__(name: str) -> Any:
    # Not before they are asked for: artifacts and integer models must load where there is no torch.
    if name not in __all__:
        raise AttributeError(f"module 'izhi' has no attribute {name!r}")
    if name in _DOORS:
        return import_module(f"izhi.{name}")
    spec = import_module("izhi.spec")
    return getattr(spec if name in spec.__all__ else import_module("izhi.neurons"), name)


def __dir__() -> list[str]:
    return __all__
