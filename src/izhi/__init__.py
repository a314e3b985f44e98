"""Izhi: spiking networks of Izhikevich neurons, from training to hardware."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from izhi.errors import IzhiError as IzhiError
from izhi.version import __version__ as __version__

if TYPE_CHECKING:
    from izhi import (
        artifact as artifact,
        board as board,
        connections as connections,
        data as data,
        encoding as encoding,
        fixed as fixed,
        hls_ip as hls_ip,
        network as network,
        nir as nir,
        sklearn as sklearn,
        snntorch as snntorch,
        surrogate as surrogate,
        training as training,
        zoo as zoo,
    )
    from izhi.equation import (
        absolute as absolute,
        bounded as bounded,
        clip as clip,
        exp as exp,
        hold as hold,
        neuron as neuron,
        select as select,
        spike as spike,
    )
    from izhi.neurons import (
        LIF as LIF,
        Izhikevich as Izhikevich,
        IzhikevichState as IzhikevichState,
        LIFState as LIFState,
        detach as detach,
    )
    from izhi.spec import (
        ORDERS as ORDERS,
        PATTERNS as PATTERNS,
        PRESETS as PRESETS,
        BalancedResonators as BalancedResonators,
        IzhikevichParameters as IzhikevichParameters,
        Leaks as Leaks,
        Resonators as Resonators,
        biological as biological,
        normalize as normalize,
        preset as preset,
        spread as spread,
    )

#: The public modules, and the public names of three rooms; each loads when it is first used, so that artifacts and
#: integer models work without torch.
_DOORS = (
    "artifact", "board", "connections", "data", "encoding", "fixed", "hls_ip", "network", "nir", "sklearn", "snntorch",
    "surrogate", "training", "zoo",
)  # fmt: skip
_NAMES = {
    "izhi.equation": ("absolute", "bounded", "clip", "exp", "hold", "neuron", "select", "spike"),
    "izhi.neurons": ("LIF", "Izhikevich", "IzhikevichState", "LIFState", "detach"),
    "izhi.spec": (
        "ORDERS",
        "PATTERNS",
        "PRESETS",
        "BalancedResonators",
        "IzhikevichParameters",
        "Leaks",
        "Resonators",
        "biological",
        "normalize",
        "preset",
        "spread",
    ),
}
_HOMES = {name: room for room, names in _NAMES.items() for name in names}

__all__ = ["IzhiError", "__version__", *_DOORS, *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        return import_module(f"izhi.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'izhi' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


__dir__ = __all__.copy
