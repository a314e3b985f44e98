"""Weights that suit the neurons before training: those with which v, were there no spikes, has a given deviation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from izhi.errors import SettingError
from izhi.kernels import Memory, Spikes, SynapticInput
from izhi.kernels.reference import apply_synapse, step
from izhi.network.sequence import hooked
from izhi.neurons.neuron import NeuronLayer

if TYPE_CHECKING:
    from izhi.network.layers import Layer
    from izhi.network.network import Network

#: A neuron that fires in more than this share of steps is saturated.
SATURATED = 0.9
#: A threshold that nothing reaches; its product with 0 is 0.
_UNREACHABLE = 1e30
#: Passes over a layer, at most; linear neurons need one. Weights change by no more than this factor in each.
_PASSES, _LARGEST_CHANGE, _CLOSE = 8, 30.0, 0.05


@dataclass(frozen=True)
class ActivityShares:
    """Shares of a layer's neurons.

    Attributes:
        silent: without a spike.
        saturated: that fire in more than 90 % of steps.
        rate: spikes per neuron and step.
    """

    silent: float
    saturated: float
    rate: float

    @classmethod
    def of(cls, spikes: Tensor) -> ActivityShares:
        """That of spikes (T, B, *features)."""
        rates = spikes.float().mean((0, 1)).flatten()
        return cls(float((rates == 0).float().mean()), float((rates > SATURATED).float().mean()), float(rates.mean()))

    def __str__(self) -> str:
        return (
            f"{100 * self.silent:.1f} % silent, {100 * self.saturated:.1f} % saturated, {self.rate:.4f} spikes a step"
        )


@dataclass(frozen=True)
class CalibrationReport:
    """The activity of each layer before and after a calibration; ``str`` has a line for each."""

    before: tuple[ActivityShares, ...]
    after: tuple[ActivityShares, ...]

    def __str__(self) -> str:
        pairs = enumerate(zip(self.before, self.after, strict=True), start=1)
        return "\n".join(f"layer {number}: {old} → {new}" for number, (old, new) in pairs)


def calibrate(network: Network, spikes: Spikes, deviation: float, *, centred: bool) -> CalibrationReport:
    """See ``Network.calibrate``."""
    if not 0 < deviation < 1e3:
        raise SettingError(f"deviation is {deviation!r}, expected a number above 0, in units of the threshold")
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            before = _activity(network, spikes)
            for layer in network.spiking:
                _scale(layer, _input_of(network, layer, spikes), deviation, centred)
            return CalibrationReport(before, _activity(network, spikes))
    finally:
        network.train(was_training)


def _activity(network: Network, spikes: Spikes) -> tuple[ActivityShares, ...]:
    return tuple(ActivityShares.of(x) for x in network.record(spikes).spikes)


def _input_of(network: Network, layer: Layer, spikes: Spikes) -> tuple[Any, ...]:
    """What the layer receives: spikes, and what is added to its weighted spikes."""
    received: list[tuple[Any, ...]] = []

    def keep(module: Any, inputs: tuple[Any, ...], out: object) -> None:
        arriving, _, *more = inputs
        received.append((arriving, *more))

    with hooked([layer], keep):
        network(spikes)
    return received[0]


def _scale(layer: Layer, inputs: tuple[Any, ...], deviation: float, centred: bool) -> None:
    """Scale a layer's weights, or the factor of its normalisation, and its bias."""
    neuron = layer.neuron
    if not isinstance(neuron, NeuronLayer):
        raise SettingError(f"{layer.name} has {neuron.kind} neurons that are quantised, expected a float network")
    arriving, *more = inputs
    norm, bias = layer.norm, layer.connection.input.bias
    if norm is not None:  # evaluation has no means before training
        kept, norm.momentum = norm.momentum, 1.0
        norm.train()
        layer.drive(arriving, None, *more)
        norm.eval()
        norm.momentum = kept
    for number in range(_PASSES):
        drive, _ = layer.drive(arriving, None, *more)
        if number == 0 and centred and bias is not None and drive.conductance is None:
            bias -= _of_outputs(drive.current if drive.bias is None else drive.current + drive.bias, bias).mean(1)
            drive, _ = layer.drive(arriving, None, *more)
        found = _deviation(neuron, drive, len(layer.connection.weight))
        factor = (deviation / found).clamp(1 / _LARGEST_CHANGE, _LARGEST_CHANGE)
        weight = layer.connection.parameter() if norm is None else norm.weight
        weight *= factor.view(-1, *[1] * (weight.dim() - 1))
        if bias is not None:
            bias *= factor
        if ((factor - 1).abs() < _CLOSE).all():
            return


def _deviation(neuron: NeuronLayer[Any, Any], drive: SynapticInput, outputs: int) -> Tensor:
    """The standard deviation of v without spikes, for each output or channel, in units of threshold − rest."""
    coefficients = neuron.coefficients()
    if not hasattr(coefficients, "threshold"):
        raise SettingError(f"neurons are {neuron.kind}, which have no coefficient threshold, expected one to scale by")
    state = neuron.initial_state(drive.step(0).current)
    distance = torch.as_tensor(coefficients.threshold - state.v[0]).expand_as(state.v[0])
    p = tuple(coefficients._replace(threshold=_UNREACHABLE))
    drive = drive._replace(feedback=None)
    *tensors, memory = state
    v = []
    for t in range(len(drive.current)):
        now, memory = apply_synapse(drive.step(t), cast(Memory, memory))
        _, *tensors = step(now, tuple(tensors), p, neuron.settings)
        v.append(tensors[0])
    return (_of_outputs(torch.stack(v) / distance, torch.empty(outputs)).std(1)).clamp(min=1e-9)


def _of_outputs(values: Tensor, outputs: Tensor) -> Tensor:
    """(T, B, outputs, *places) → (outputs, T·B·places)."""
    return values.transpose(0, 2).reshape(len(outputs), -1)
