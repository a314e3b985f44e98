"""Every named set of neuron parameters, in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from izhi.errors import unknown
from izhi.spec.parameters import CELLS_2007, CLASSES_2003, NORMALIZED, IzhikevichParameters, biological, normalize
from izhi.spec.patterns import PATTERNS

_OFFSETS = {"RS": -65.0, "IB": -75.0, "CH": -60.0}

#: Name → parameters. ``biological`` is RS; ``normalized`` has the coefficients of the FPGA IP, and
#: ``hls-ip`` its lack of limits as well: networks of it run on the IP (izhi.hls_ip). ``qif`` and ``adlif`` are the
#: normalised neuron without u and without v²: quadratic integrate-and-fire, and a leaky neuron that adapts.
PRESETS: Mapping[str, IzhikevichParameters] = MappingProxyType(
    {
        "normalized": NORMALIZED,
        "hls-ip": NORMALIZED.replace(v_min=-math.inf, v_max=math.inf),
        "qif": NORMALIZED.replace(a3=0.0, b1=0.0, b2=0.0, b3=0.0, d=0.0),
        "adlif": NORMALIZED.replace(a1=0.0),
        **{f"normalized-{name}": normalize(cell, v_offset=_OFFSETS[name]) for name, cell in CELLS_2007.items()},
        "biological": biological(*CLASSES_2003["RS"]),
        **{name: biological(*abcd) for name, abcd in CLASSES_2003.items()},
        **{name: pattern.parameters for name, pattern in PATTERNS.items()},
    }
)


def preset(name: str) -> IzhikevichParameters:
    """The parameters of that name; an unknown name raises SettingError with the nearest one."""
    if name not in PRESETS:
        raise unknown("neuron preset", name, PRESETS)
    return PRESETS[name]


__all__ = ["PRESETS", "preset"]
