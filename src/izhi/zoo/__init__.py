"""Trained networks that come with Izhi: weights, integers, NIR, golden spikes, and a card of what they do.

    import izhi.zoo

    network = izhi.zoo.load("mnist-lif")
    output, spikes = network.classifier(pixels, seed=0)  # (T, B, 10) of pixels (B, 784)
    outcome = network.artifact.run(network.samples()[0])  # in integers, as the core computes them

``izhi zoo`` lists them. ``make zoo`` trains each again, from the settings in experiments/zoo.
"""

from __future__ import annotations

from izhi.zoo.catalogue import Card, card, cards, names
from izhi.zoo.pretrained import Pretrained, load

__all__ = ["Card", "Pretrained", "card", "cards", "load", "names"]


def __dir__() -> list[str]:
    return __all__
