"""The kinds of neurons that hardware has, from the registry of neurons."""

from __future__ import annotations

from collections.abc import Mapping

from izhi import spec
from izhi.hardware.fixed.neuron import IntegerNeuron

#: By their kinds, as files have them.
NEURONS: Mapping[str, type[IntegerNeuron]] = {
    kind.kind: kind
    for entry in sorted(spec.NEURONS.values(), key=lambda entry: entry.name)
    if "integers" in entry.executors
    for kind in entry.load("integers")
}
