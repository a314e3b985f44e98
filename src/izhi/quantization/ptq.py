"""Post-training quantisation: a trained float network rounded, calibrated and corrected, without training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from izhi.kernels import Spikes, SynapticInput
from izhi.network.layers import Layer
from izhi.network.network import Network, walk


def correct_biases(network: Network, rounded: Network, spikes: Spikes) -> None:
    """Shift the rounded network's biases so that its mean currents equal those of the float network.

    The shift removes, from each neuron or channel, the change of the mean over these samples: that of its own rounded
    weights, and that of the layers before. Layers are corrected in order.
    """
    with torch.no_grad():
        for (one, before), (two, after) in zip(walk(network, spikes), walk(rounded, spikes), strict=True):
            if isinstance(one, Layer) and isinstance(two, Layer):
                _shift(two.connection, one.drive(before)[0], two.drive(after)[0])
            else:
                _shift(two, one(before), two(after))


def _shift(connection: nn.Module, expected: SynapticInput, actual: SynapticInput) -> None:
    bias = getattr(connection, "bias", None)
    if bias is not None:
        connection.bias = nn.Parameter(bias + (_mean_current(expected) - _mean_current(actual)).to(bias))


def _mean_current(drive: SynapticInput) -> Tensor:
    """The mean current of each output or channel."""
    current = drive.current.double()
    if drive.gain is not None:
        current = current * drive.gain
    mean = current.mean([k for k in range(current.dim()) if k != 2])
    return mean if drive.bias is None else mean + drive.bias.flatten()
