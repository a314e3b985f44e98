"""Events between the blocks of a core: spikes, and the ends of steps and inferences."""

from __future__ import annotations

from enum import IntEnum

from amaranth.lib import data, stream

from izhi.hardware.core.arithmetic import number_below


class EventKind(IntEnum):
    """The kind of an event."""

    SPIKE = 0
    STEP = 1  #: the step is over
    END = 2  #: the inference is over
    PAIR = 3  #: two spikes


def event(sources: int, spikes: int = 1) -> data.StructLayout:
    """An event of at most so many spikes: its kind, and the number of each source that fired."""
    names = ("source", "other")[:spikes]
    return data.StructLayout({"kind": EventKind, **dict.fromkeys(names, number_below(sources))})


def events(sources: int, spikes: int = 1) -> stream.Signature:
    """A stream of events of that many sources."""
    return stream.Signature(event(sources, spikes))
