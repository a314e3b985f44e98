"""What travels between the parts of a core: spikes, and the ends of steps and inferences."""

from __future__ import annotations

from enum import IntEnum

from amaranth.lib import data, stream

from izhi.hardware.core.arithmetic import number_below


class Kind(IntEnum):
    """Of an event."""

    SPIKE = 0
    STEP = 1  #: the step is over
    END = 2  #: the inference is over


def event(sources: int) -> data.StructLayout:
    """An event: its kind, and the number of the source that fired."""
    return data.StructLayout({"kind": Kind, "source": number_below(sources)})


def events(sources: int) -> stream.Signature:
    """A stream of events of that many sources."""
    return stream.Signature(event(sources))
