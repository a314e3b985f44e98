"""Post-training quantisation: a trained float network rounded, calibrated and corrected, without training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from izhi.kernels import Spikes
from izhi.network.connections import Connection
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.quantization.calibration import calibrate
from izhi.quantization.layerwise import walk


def correct_biases(network: Network, rounded: Network, spikes: Spikes) -> None:
    """Shift the rounded network's biases so that its mean currents equal those of the float network.

    The shift removes, from each neuron or channel, the change of the mean over these samples: that of its own rounded
    weights, and that of the layers before. Layers are corrected in order.
    """
    shift_biases(rounded, spikes, calibrate(network, spikes, None).currents)


def shift_biases(rounded: Network, spikes: Spikes, expected: Iterable[Tensor]) -> None:
    """The same from the mean currents of the float network."""
    with torch.no_grad():
        for (module, arriving), mean in zip(walk(rounded, spikes), expected, strict=True):
            connection: Connection = module.connection if isinstance(module, Layer) else module
            bias = getattr(connection, "bias", None)
            if bias is not None:
                connection.bias = nn.Parameter(bias + (mean - arriving.mean_current).to(bias))
