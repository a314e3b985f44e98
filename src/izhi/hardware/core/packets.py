"""Packets of 32-bit words to a core and from it, as arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.core.chosen import constants_of
from izhi.hardware.core.protocol import Opcode
from izhi.hardware.core.shape import COUNTED_BITS, PAIR_BITS, CoreShape, LayerShape, ReadoutShape
from izhi.hardware.fixed import IntegerNetwork, Outcome
from izhi.hardware.fixed.network import IntegerProjection
from izhi.hardware.networks import Array

Words = NDArray[np.uint32]


def _words(bits: Array) -> Words:
    """Rows of single bits, the lowest first, as rows of 32-bit words."""
    padded = np.pad(bits.astype(np.uint8), ((0, 0), (0, -bits.shape[1] % 32)))
    return np.packbits(padded, axis=1, bitorder="little").view("<u4")


def _bits(values: Array, width: int) -> Array:
    """Integers (…) in two's complement as (…, width) bits, the lowest first."""
    return (values[..., None] >> np.arange(width)) & 1


def memory(shape: CoreShape, network: IntegerNetwork, number: int) -> Words:
    """The contents of the memory of that number for a network, see ``CoreShape.memories``."""
    places = [(k, content) for k, s in enumerate(shape.projections) for content, _ in s.memories]
    k, content = places[number]
    s, projection = shape.projections[k], network.projections[k]
    if content == "weights":
        return _weights(s, projection)
    if content == "constants":
        return _constants(s, projection)
    delay = getattr(projection, "delay", None)
    return _words(_bits(np.zeros(s.features, np.int64) if delay is None else delay, s.memories[-1][1][0]))


def memories(shape: CoreShape, network: IntegerNetwork) -> list[Words]:
    """The contents of each memory of a core for a network, in the order of the memories' numbers."""
    return [memory(shape, network, number) for number in range(len(shape.memories))]


def _weights(s: LayerShape | ReadoutShape, projection: IntegerProjection) -> Words:
    """Weights (channels, sources) as words (sources · groups, chunks); see Accumulator."""
    feedback = getattr(projection, "feedback", None)
    weight = projection.weight if feedback is None else np.hstack([projection.weight, feedback])
    lanes, groups = (s.lanes, s.groups) if isinstance(s, LayerShape) else (s.outputs, 1)
    padded = np.pad(weight, ((0, lanes * groups - len(weight)), (0, 0)))
    by_source = padded.T.reshape(-1, lanes)
    return _words(_bits(by_source, s.weight_bits).reshape(len(by_source), -1))


def _constants(s: LayerShape | ReadoutShape, projection: IntegerProjection) -> Words:
    """Constants of the neurons at a position, or of the classes, as words (rows, chunks); see NeuronPipeline."""
    units = s.units if isinstance(s, LayerShape) else 1
    constants = constants_of(projection)
    fields = [_bits(np.pad(x, (0, -len(x) % units)), s.bits[name]) for name, x in constants.items()]
    return _words(np.concatenate(fields, axis=1).reshape(len(fields[0]) // units, -1))


def write(memory: int, words: Words, address: int = 0) -> Words:
    """The packet that writes words (number, chunks) to a memory."""
    header = np.array([Opcode.WRITE << 28 | memory, address, len(words)], np.uint32)
    return np.concatenate([header, words.reshape(-1)])


def inferences(spikes: NDArray[np.integer], at_once: int = 1) -> Words:
    """Spikes (T, batch, inputs) as one packet of an inference for each sample.

    Args:
        spikes: an input may fire several times in a step, if at_once is 1.
        at_once: inputs of a word, 1 or 2.
    """
    steps, batch, _ = spikes.shape
    by_sample = np.ascontiguousarray(spikes.transpose(1, 0, 2))
    b, t, source = by_sample.nonzero()
    times, step = by_sample[b, t, source].astype(np.uint32), b * steps + t
    # The first input of each word, and whether a second one of the same step follows in it.
    counts = np.bincount(step, minlength=batch * steps)
    within = np.arange(len(source)) - (counts.cumsum() - counts)[step]
    first = np.flatnonzero(within % at_once == 0)
    events = source[first].astype(np.uint32)
    events[times[first] > 1] |= Opcode.COUNT << 28
    events |= np.where(times[first] > 1, times[first], 0) << COUNTED_BITS
    if at_once == 2:
        is_pair = within[first] + 1 < counts[step[first]]
        events[is_pair] |= (Opcode.PAIR << 28) | source[first[is_pair] + 1].astype(np.uint32) << PAIR_BITS
    step, counts = step[first], -(-counts // at_once)
    before = step + step // steps  # ends of steps and inferences before an event
    words = np.empty(len(events) + batch * (steps + 1), np.uint32)
    words[np.arange(len(events)) + before] = events
    so_far = counts.cumsum().reshape(batch, steps)
    sample = np.arange(batch)[:, None]
    words[so_far + sample * (steps + 1) + np.arange(steps)] = Opcode.STEP << 28
    ends = so_far[:, -1] + np.arange(batch) * (steps + 1) + steps
    words[ends] = Opcode.END << 28
    return words


def room(shape: CoreShape, steps: int, batch: int, sends_spikes: bool) -> int:
    """The most words of the packet that answers a packet of inferences, with the word that says it was aborted."""
    events = sum(steps * (1 + s.outputs) + 1 for s in shape.layers) if sends_spikes else 0
    return batch * (shape.scores + events) + 1


def outcome(shape: CoreShape, packet: Words, steps: int, batch: int, sends_spikes: bool) -> Outcome:
    """Scores (batch, classes) and, where the packet has them, the spikes of each layer (T, batch, N).

    Raises:
        ValueError: if it is not the answer to so many inferences.
    """
    if not sends_spikes:
        return Outcome(_signed(packet.reshape(batch, shape.scores)), [])
    scores = np.empty((batch, shape.scores), np.uint32)
    spikes = [np.zeros((steps, batch, s.outputs), np.uint8) for s in shape.layers]
    ends = np.flatnonzero(packet >> 28 == Opcode.END)
    start = 0
    for sample in range(batch):
        # An inference's scores follow the ends of all layers; they may have the form of events.
        end = int(ends[np.searchsorted(ends, start) + len(shape.layers) - 1]) + 1
        for number, fired in enumerate(_events(shape, packet[start:end], steps)):
            spikes[number][:, sample] = fired
        start = end + shape.scores
        scores[sample] = packet[end:start]
    if start != len(packet):
        raise ValueError(f"the packet has {len(packet)} words, expected {start}")
    return Outcome(_signed(scores), spikes)


def _events(shape: CoreShape, events: Words, steps: int) -> Iterator[NDArray[np.uint8]]:
    """Spikes (T, N) of each layer."""
    kind, layer, source = events >> 28, (events >> 24) & 15, events & 0xFFFFFF
    for number, s in enumerate(shape.layers):
        own = layer == number
        at = np.cumsum(kind[own] == Opcode.STEP)
        fired = kind[own] == Opcode.SPIKE
        spikes = np.zeros((steps, s.outputs), np.uint8)
        np.add.at(spikes, (at[fired], source[own][fired]), 1)
        yield spikes


def _signed(scores: Words) -> NDArray[np.int64]:
    return scores.view(np.int32).astype(np.int64)
