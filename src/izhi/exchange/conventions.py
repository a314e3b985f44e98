"""How each library reads and writes NIR, whose equations are of continuous time, in time steps.

The meaning of a file depends on the library that wrote it: on its time step, which the file does not hold, and on its
discretisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from izhi.errors import ExchangeError, unknown

if TYPE_CHECKING:
    from izhi.exchange.graph import Node

#: Default seconds of a time step, that of three of five libraries.
USUAL_DT = 1e-4
#: Name of the neurons within an inner graph.
INNER_NEURONS = "lif"


@dataclass(frozen=True)
class Library:
    """A library's conventions."""

    name: str  #: in commands
    dt: float = USUAL_DT  #: seconds of its time step for files that it reads
    written_dt: float = USUAL_DT  #: seconds of a time step in files that it writes, unless their metadata have another
    #: of a LIF that it reads: ``tau/dt``, so that the current adds to v, or ``1``
    r: Literal["tau/dt", "1"] = "tau/dt"
    fires_at_threshold: bool = False  #: whether v = threshold is a spike
    decay: Literal["euler", "exponential"] = "euler"  #: of τ in a time step: 1 − dt/τ ("euler"), or exp(−dt/τ)
    #: whether its neurons by default fire several times in a step, and subtract the threshold as often
    counts: bool = False
    pools: Literal["AvgPool2d", "SumPool2d"] = "AvgPool2d"  #: the node from which it reads pools
    uniform: bool = False  #: whether all neurons of a layer share threshold and decay
    #: how it reads recurrent weights: as a loop of edges, within an inner graph, or not at all
    recurrence: Literal["loop", "inner", "none"] = "loop"
    #: nodes that it does not read or converts to something else, with the reason
    lacks: Mapping[str, str] = field(default_factory=dict)


#: NIR's own equations, by Euler's method.
NIR = Library("nir", recurrence="inner")
_NO_NODE = "its import does not know the node"
_PASSES_OVER = "its import passes over the node"
LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        library.name: library
        for library in (
            Library(
                "snntorch", uniform=True, recurrence="none",
                lacks={
                    "Delay": _NO_NODE, "LI": _NO_NODE, "Izhikevich": _NO_NODE, "Conv1d": _NO_NODE,
                    "IF": "its import makes a leak of 0.9 of it",
                },
            ),
            # Norse writes dt/(1/τ) for τ, so that the step of its files is dt² of 1e-3.
            Library(
                "norse", dt=1e-3, written_dt=1e-6, r="1", pools="SumPool2d",
                lacks={"Delay": _PASSES_OVER, "Izhikevich": _PASSES_OVER, "Conv1d": _PASSES_OVER},
            ),
            Library(
                "spikingjelly", fires_at_threshold=True, uniform=True,
                lacks={"Delay": _NO_NODE, "LI": _NO_NODE, "Izhikevich": _NO_NODE},
            ),
            Library(
                "sinabs", fires_at_threshold=True, decay="exponential", counts=True, pools="SumPool2d",
                recurrence="none",
                lacks={
                    "Delay": _PASSES_OVER, "CubaLIF": _PASSES_OVER, "Izhikevich": _PASSES_OVER,
                    "LI": "its import takes τ for steps", "IF": "its import holds v above −threshold",
                },
            ),
            Library(
                "rockpool", fires_at_threshold=True, decay="exponential", counts=True, recurrence="inner",
                lacks={
                    "LIF": "its import ends in an error; give the layer an ExponentialSynapse", "IF": _NO_NODE,
                    "Delay": _NO_NODE, "Conv1d": _NO_NODE, "Conv2d": _NO_NODE, "AvgPool2d": _NO_NODE,
                    "Flatten": _NO_NODE, "Izhikevich": _NO_NODE, "LI": "its import finds another step from it",
                },
            ),
        )
    }
)  # fmt: skip


def library(name: str | None) -> Library:
    """A library by its name; NIR's own equations for None; SettingError for an unknown name."""
    if name is None:
        return NIR
    if name not in LIBRARIES:
        raise unknown("library", name, LIBRARIES)
    return LIBRARIES[name]


def check_single_spike(library: Library, confirmed: bool) -> None:
    """Raise ExchangeError for a library whose neurons fire several times in a step, unless they are changed."""
    if library.counts and not confirmed:
        raise ExchangeError(
            f"{library.name} makes of a LIF neurons that fire several times in a step, and ours fire once; make them"
            " fire once when it has read the file (docs/nir.md says how), and ask for it: single_spike"
        )


def check_reset(library: Library, reset: object) -> None:
    """Raise ExchangeError for a library whose neurons fire several times in a step, unless a reset is given."""
    if library.counts and reset is None:
        raise ExchangeError(
            f"{library.name}'s neurons fire several times in a step unless told otherwise, and the file does not say"
            " whether these do; ours fire once: if these do as well, say what they do after a spike (reset)"
        )


def rockpool_dt(nodes: Sequence[Node]) -> float:
    """The time step of a file of Rockpool, which holds it only as r = τ·exp(−dt/τ)/dt."""
    from scipy.special import lambertw  # not at start-up

    for node in nodes:
        name = {"CubaLIF": "tau_mem", "LIF": "tau"}.get(node.kind)
        if name is not None:
            tau, r = (float(node.numbers(x).ravel()[0]) for x in (name, "r"))
            if tau > 0 and r > 0:
                return tau * float(lambertw(1 / r).real)
    raise ExchangeError("the graph has no LIF of a τ and r above 0, from which its step follows; give dt")
