"""Post-training quantisation: a trained float network rounded, calibrated and corrected, without training."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from izhi.kernels import Drive, Spikes
from izhi.network import Layer, Network


def _mean_current(drive: Drive) -> Tensor:
    current = drive.current.double()
    if drive.gain is not None:
        current = current * drive.gain
    mean = current.mean((0, 1))
    return mean if drive.bias is None else mean + drive.bias


def correct_biases(network: Network, rounded: Network, spikes: Spikes) -> None:
    """Shift the rounded network's biases so that its mean currents are those of the float network.

    What rounding the weights changes in the mean, over these samples and with all that comes from the
    layers before, is taken out of each neuron; layers are corrected in order.
    """
    before, after = spikes, spikes
    with torch.no_grad():
        for a, b in zip(network.layers, rounded.layers, strict=True):
            one, two = cast(Layer, a), cast(Layer, b)
            _shift(two.connection, one.drive(before)[0], two.drive(after)[0])
            before, after = one(before)[0], two(after)[0]
        if network.readout is not None and rounded.readout is not None:
            _shift(rounded.readout, network.readout(before), rounded.readout(after))


def _shift(connection: nn.Module, wanted: Drive, found: Drive) -> None:
    bias = getattr(connection, "bias", None)
    if bias is None:
        return
    change = (_mean_current(wanted) - _mean_current(found)).to(bias)
    connection.bias = nn.Parameter(bias + change)


__all__ = ["correct_biases"]
