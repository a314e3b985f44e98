"""Post-training quantisation: a trained float network rounded, calibrated and corrected, without training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from izhi.kernels import Spikes, SynapticInput
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.network.traversal import walk


def _mean_current(drive: SynapticInput) -> Tensor:
    """Of each output or channel."""
    current = drive.current.double()
    if drive.gain is not None:
        current = current * drive.gain
    mean = current.mean([k for k in range(current.dim()) if k != 2])
    return mean if drive.bias is None else mean + drive.bias.flatten()


def correct_biases(network: Network, rounded: Network, spikes: Spikes) -> None:
    """Shift the rounded network's biases so that its mean currents are those of the float network.

    What rounding the weights changes in the mean, over these samples and with all that comes from the
    layers before, is taken out of each neuron, or channel; layers are corrected in order.
    """
    with torch.no_grad():
        for (one, before), (two, after) in zip(walk(network, spikes), walk(rounded, spikes), strict=True):
            if isinstance(one, Layer) and isinstance(two, Layer):
                _shift(two.connection, one.drive(before)[0], two.drive(after)[0])
            else:
                _shift(two, one(before), two(after))


def _shift(connection: nn.Module, wanted: SynapticInput, found: SynapticInput) -> None:
    bias = getattr(connection, "bias", None)
    if bias is None:
        return
    change = (_mean_current(wanted) - _mean_current(found)).to(bias)
    connection.bias = nn.Parameter(bias + change)


__all__ = ["correct_biases"]
