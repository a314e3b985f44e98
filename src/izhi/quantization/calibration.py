"""Calibration: formats of a float network's states from the range of v and u over some samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from izhi.equation.equation import limited
from izhi.equation.integers import fixed_point_constants, integer_step
from izhi.hardware.fixed import FixedPoint
from izhi.hardware.fixed.bounds import MOST_BITS
from izhi.kernels import Spikes, SynapticInput
from izhi.kernels.packed import different_spikes, spikes_of_neurons
from izhi.kernels.torch_step import constants_function
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.network.synapses import ExponentialSynapse, exponential_filter
from izhi.neurons import Neuron
from izhi.neurons.neuron import NeuronLayer
from izhi.quantization.layerwise import LayerInput, walk
from izhi.quantization.neurons import StateFormats, quantized_neuron

#: The share of states within a format's range; larger ones saturate.
COVERED = 0.9999
#: Factor by which a synapse's sums may grow while weights train further.
ROOM = 2.0
#: Bits of the currents of a readout's synapse at least: the hardware adds them to scores of 32 bits.
CURRENT_BITS = 16
#: A finer format is chosen if its wrong spikes are at most the first share of those of a wider one. It is not tried
#: if wrong spikes are at most the second share of all, so that states keep room while the network trains further.
WORTH_IT, NEGLIGIBLE = 0.9, 5e-3


class Ranges(NamedTuple):
    """Magnitudes that nearly all states of a layer stay below.

    Attributes:
        states: of each state of the neuron.
        trace: of a synapse's sums; 0 without one.
    """

    states: tuple[float, ...]
    trace: float


class _RangeRecorder:
    """Neurons that run step by step, and record the largest magnitudes of their states, and if v reaches a limit."""

    def __init__(self, neuron: Neuron, limits: Sequence[Tensor] = ()) -> None:
        self.neuron, self.limits = neuron, limits
        self.largest: list[Tensor] = []
        self.is_limited = False

    def __call__(self, drive: SynapticInput, state: Any) -> tuple[Tensor, Any]:
        spikes, g = [], drive.conductance
        for t in range(len(drive.current)):
            one = drive._replace(current=drive.current[t : t + 1], conductance=None if g is None else g[t : t + 1])
            fired, state = self.neuron(one, state)
            *own, memory = state
            self.is_limited |= any(bool((own[0] == limit).any()) for limit in self.limits)
            values = (*own, memory.synapse[0] if memory.synapse else torch.zeros(1))
            self.largest = [
                _quantile(x, at_least)
                for x, at_least in zip(values, self.largest or torch.zeros(len(values)), strict=True)
            ]
            spikes.append(fired)
        return torch.cat(spikes), state

    @property
    def ranges(self) -> Ranges:
        """The largest of all steps."""
        *states, trace = torch.stack(self.largest).tolist()
        return Ranges(tuple(states), trace)


def _limits(neuron: Neuron) -> list[Tensor]:
    """The limits of v of a float neuron that are finite; none for an equation without them."""
    settings = cast(NeuronLayer[Any, Any], neuron).settings
    if not fixed_point_constants(limited(settings.equation)).limits:
        return []
    limits = settings.constants.v_low, settings.constants.v_high
    return [torch.tensor(x, dtype=torch.float32) for x in limits if math.isfinite(x)]


def _quantile(x: Tensor, at_least: Tensor) -> Tensor:
    """The magnitude that the share ``COVERED`` of values does not exceed, or ``at_least`` if that is larger."""
    flat = x.abs().flatten().float()
    larger = flat[~(flat <= at_least)]  # few, of which that magnitude is found in a tenth of the time
    place = max(1, math.ceil(COVERED * flat.numel())) - (flat.numel() - larger.numel())
    return larger.kthvalue(place).values if place > 0 else at_least


def ranges(network: Network, spikes: Spikes) -> list[Ranges]:
    """Magnitudes that nearly all states of each layer stay below."""
    magnitudes: list[Ranges] = []
    with torch.no_grad():
        for layer, arriving in walk(network, spikes):
            if isinstance(layer, Layer):
                recorder = _RangeRecorder(layer.neuron)
                arriving.run(recorder)
                magnitudes.append(recorder.ranges)
    return magnitudes


def fitting(width: int, magnitude: float) -> FixedPoint:
    """The format of a width with the most bits behind the point whose range includes a magnitude."""
    whole = math.ceil(math.log2(magnitude)) if magnitude > 0 else 0
    return FixedPoint(width, min(max(width - 1 - whole, 0), 30))


class Calibration(NamedTuple):
    """What samples decide of a network that is quantised.

    Attributes:
        formats: of each layer's states, then of a readout's synapse if it has one; None for float states.
        currents: mean current of each output or channel of every layer and of the readout, see ``correct_biases``.
    """

    formats: list[StateFormats] | None
    currents: list[Tensor]


def formats(network: Network, spikes: Spikes, width: int, *, fraction: int = 14) -> list[StateFormats]:
    """Formats of each layer's states, then of a readout's synapse if it has one, of a width.

    They include nearly all states of the samples. A finer format, in which the largest states saturate, replaces one
    if it changes fewer of the layer's spikes.

    Args:
        network: of float states.
        spikes: samples, its input.
        width: bits of v, u and currents.
        fraction: bits behind the point of the neurons' coefficients.
    """
    return calibrate(network, spikes, width, fraction=fraction).formats or []


def calibrate(network: Network, spikes: Spikes, width: int | None, *, fraction: int = 14) -> Calibration:
    """Formats of each layer's states, see ``formats``, and mean currents; without formats for no width."""
    chosen, currents = [], []
    with torch.no_grad():
        for layer, arriving in walk(network, spikes):
            if isinstance(layer, Layer) and width is not None:
                chosen.append(_formats_of(layer, arriving, width, fraction))
            elif not isinstance(layer, Layer) and layer.synapse is not None and width is not None:
                chosen.append(_formats_of_readout(layer.synapse, arriving, width, fraction))
            currents.append(arriving.mean_current)
    return Calibration(None if width is None else chosen, currents)


def _formats_of(layer: Layer, arriving: LayerInput, width: int, fraction: int) -> StateFormats:
    recorder = _RangeRecorder(layer.neuron, _limits(layer.neuron))
    arriving.run(recorder)
    states, trace = recorder.ranges
    least = _least(layer, width, fraction)
    sums = None if layer.connection.synapse is None else fitting(width, ROOM * trace or 1.0)
    v, *others = (fitting(width, max(x, 1.01 * y) or 1.0) for x, y in zip(states, least, strict=True))
    u, *others = others or [fitting(width, 1.0)]
    return _refine(
        layer.neuron, arriving, StateFormats(v, u, fraction, sums, tuple(others), recorder.is_limited), least
    )


def _formats_of_readout(synapse: ExponentialSynapse, arriving: LayerInput, width: int, fraction: int) -> StateFormats:
    """Formats that include all sums and currents, and ``ROOM`` times as large ones."""
    sums, last = torch.zeros(synapse.decay.shape or (1,)), None
    for drive in arriving:
        each = exponential_filter(drive.current, synapse.decay, last)
        sums, last = torch.maximum(sums, each.abs().amax((0, 1))), each[-1]
    largest, current = float(sums.max()), float((sums * (1 - synapse.decay)).max())
    number = fitting(max(width, CURRENT_BITS), ROOM * current or 1.0)
    return StateFormats(number, number, fraction, fitting(width, ROOM * largest or 1.0))


def _least(layer: Layer, width: int, fraction: int) -> list[float]:
    """The magnitude that each state's format must include.

    It is that of what the state is compared with, and of what replaces it. What is added to its products has more bits
    behind the point than the state, and must fit an integer of the hardware.
    """
    neuron = cast(NeuronLayer[Any, Any], layer.neuron)
    equation, p = neuron.settings.equation, neuron.coefficients()
    step, k = integer_step(equation), neuron.settings.constants
    values = constants_function(equation)(tuple(p), k, torch.zeros(1), torch.zeros(()))
    least = dict.fromkeys(equation.states, 0.0)
    for constant, value in zip(step.constants, values, strict=False):
        magnitude = float(value.abs().max())
        if constant.role == "addend":
            magnitude *= 2.0 ** (width + fraction - MOST_BITS)
        if constant.role == "addend" or constant.name in step.compared | step.selected:
            least[constant.of] = max(least[constant.of], magnitude)
    return list(least.values())


def _refine(neuron: Neuron, arriving: LayerInput, formats: StateFormats, least: Sequence[float]) -> StateFormats:
    """The formats, or others of each state in turn, with the fewest wrong spikes: wider ones of v, or finer ones."""
    (fewest,) = _wrong_spikes(neuron, arriving, [formats])
    if fewest <= NEGLIGIBLE * sum(float(spikes_of_neurons(x).sum()) for x in arriving.outputs):
        return formats
    for place, magnitude in enumerate(least):
        others = [*(_wider_formats(neuron, formats) if place == 0 else ()), *_finer_formats(formats, place, magnitude)]
        for candidate, error in zip(others, _wrong_spikes(neuron, arriving, others), strict=True):
            if error < WORTH_IT * fewest:
                formats, fewest = candidate, error
    return formats


def _wider_formats(neuron: Neuron, formats: StateFormats) -> list[StateFormats]:
    """Formats with fewer bits behind the point of v, up to one that includes the limits of v.

    Samples do not show how far v goes within a step at whose end it is reset, nor how large the currents are, which
    have the format of v.
    """
    reach = max((float(x.abs()) for x in _limits(neuron)), default=0.0)
    least = min(formats.v.fraction, fitting(formats.v.width, reach).fraction)
    return [
        formats.with_state(0, FixedPoint(formats.v.width, fraction)) for fraction in range(least, formats.v.fraction)
    ]


def _finer_formats(formats: StateFormats, place: int, magnitude: float) -> list[StateFormats]:
    """Formats with more bits behind the point of one state, which include a magnitude."""
    wide = formats.states[place]
    numbers = (FixedPoint(wide.width, fraction) for fraction in range(wide.fraction + 1, wide.width))
    fitting_numbers = takewhile(lambda x: magnitude <= x.highest * x.unit, numbers)
    return [formats.with_state(place, number) for number in fitting_numbers]


def _wrong_spikes(neuron: Neuron, arriving: LayerInput, formats: Sequence[StateFormats]) -> list[int]:
    """How many spikes of a layer differ from those of its float neurons, in each of several formats."""
    if not formats:
        return []
    rounded = [quantized_neuron(neuron, x) for x in formats]
    states: list[Any] = [None] * len(formats)
    wrong = [0] * len(formats)
    for drive, expected in zip(arriving, arriving.outputs, strict=True):
        for k, one in enumerate(rounded):
            spikes, states[k] = one(drive, states[k])
            wrong[k] += different_spikes(spikes, expected)
    return wrong


def usual_formats(network: Network, width: int) -> list[StateFormats]:
    """Formats for a network whose own a checkpoint then loads."""
    number = FixedPoint(width, max(width - 3, 0))
    synapses = [layer.connection.synapse for layer in network.spiking]
    if network.readout is not None and network.readout.synapse is not None:
        synapses.append(network.readout.synapse)
    return [StateFormats(number, number, trace=None if synapse is None else number) for synapse in synapses]
