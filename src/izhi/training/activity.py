"""Firing rates of the layers, and advice for silent and saturated ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from izhi.kernels import spikes_of_neurons

#: A layer is reported when this share of its neurons never fires over a whole data set …
SILENT_SHARE = 0.9
#: … or when its mean rate passes this many spikes per neuron and step. The FPGA order cannot fire
#: more than every second step, so half of that is saturation.
SATURATED_RATE = 0.25


@dataclass
class LayerActivity:
    """Counts of one layer: spikes per neuron, and how many neuron-steps they came from."""

    spikes: Tensor
    steps: int

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        return float(self.spikes.double().mean()) / self.steps

    @property
    def silent(self) -> float:
        """Share of neurons that never fired."""
        return float((self.spikes == 0).float().mean())


class Activity:
    """Adds up the spikes of every layer over the batches of a data set."""

    def __init__(self) -> None:
        self.layers: list[LayerActivity] = []

    def add(self, spikes: list[Tensor]) -> None:
        """Count the spikes of each layer, (T, B, N) each."""
        counts = [spikes_of_neurons(x).cpu() for x in spikes]
        if not self.layers:
            self.layers = [LayerActivity(torch.zeros_like(c), 0) for c in counts]
        for layer, x, c in zip(self.layers, spikes, counts, strict=True):
            layer.spikes += c
            layer.steps += x.shape[0] * x.shape[1]

    def warnings(self) -> list[str]:
        """One line for each silent or saturated layer, with the settings to change."""
        lines = []
        for number, layer in enumerate(self.layers, start=1):
            if layer.silent >= SILENT_SHARE:
                state = f"silent: {layer.silent:.0%} of its neurons never fire; raise gain (input current) or steps"
            elif layer.rate >= SATURATED_RATE:
                rate = f"{layer.rate:.2f} spikes per neuron and step"
                state = f"saturated: {rate}; lower gain (input current) or learning_rate"
            else:
                continue
            lines.append(f"layer {number} is {state}")
        return lines
