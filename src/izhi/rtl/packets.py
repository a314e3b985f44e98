"""The packets of 32-bit words that go into a core, and what comes out, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi.fixed import Network
from izhi.rtl.protocol import Opcode
from izhi.rtl.shape import CoreShape, LayerShape, constants_of

Words = NDArray[np.uint32]


def _words(bits: NDArray[Any]) -> Words:
    """Rows of single bits, the lowest first, as rows of 32-bit words."""
    padded = np.pad(bits.astype(np.uint8), ((0, 0), (0, -bits.shape[1] % 32)))
    return np.packbits(padded, axis=1, bitorder="little").view("<u4")


def _bits(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Integers (…) in two's complement as (…, width) bits, the lowest first."""
    return (values[..., None] >> np.arange(width)) & 1


def weight_words(shape: LayerShape, weight: NDArray[Any]) -> Words:
    """Weights (N, sources) as words (sources · groups, chunks); see Accumulator."""
    lanes, groups = shape.lanes, shape.groups
    padded = np.pad(weight, ((0, lanes * groups - shape.outputs), (0, 0)))
    by_source = padded.T.reshape(shape.sources * groups, lanes)
    return _words(_bits(by_source, shape.weight_bits).reshape(len(by_source), -1))


def constant_words(shape: LayerShape, constants: dict[str, NDArray[Any]]) -> Words:
    """Constants of neurons, (N,) each, as words (updates, chunks); see Neurons."""
    missing = shape.updates * shape.units - shape.outputs
    parts = [
        _bits(np.pad(constants[name], (0, missing)), width)
        for name, width in zip(shape.names, shape.constants, strict=True)
    ]
    return _words(np.concatenate(parts, axis=1).reshape(shape.updates, -1))


def memories(shape: CoreShape, network: Network) -> list[Words]:
    """What each memory of a core holds for a network, in the order of the memories' numbers."""
    found = []
    for s, layer in zip(shape.layers, network.layers, strict=True):
        weight = (
            layer.weight if layer.feedback is None else np.hstack([layer.weight, layer.feedback])
        )
        found += [weight_words(s, weight), constant_words(s, constants_of(layer))]
    r, readout = shape.readout, network.readout
    if r is not None and readout is not None:
        classes = r.outputs
        multiplier, bias = (np.broadcast_to(x, classes) for x in (readout.multiplier, readout.bias))
        constants = [_bits(multiplier, r.multiplier_bits), _bits(bias, r.bias_bits)]
        found += [
            _words(_bits(readout.weight.T, r.weight_bits).reshape(r.inputs, -1)),
            _words(np.concatenate(constants, axis=1)),
        ]
    return found


def write(memory: int, words: Words, address: int = 0) -> Words:
    """The packet that writes words (number, chunks) to a memory."""
    header = np.array([Opcode.WRITE << 28 | memory, address, len(words)], np.uint32)
    return np.concatenate([header, words.reshape(-1)])


def inferences(spikes: NDArray[np.integer]) -> tuple[Words, NDArray[np.uint8]]:
    """Spikes (T, batch, inputs) as the packets of one inference for each sample, and the last words' flags."""
    steps, batch, _ = spikes.shape
    by_sample = np.ascontiguousarray(spikes.transpose(1, 0, 2))
    b, t, source = by_sample.nonzero()
    times = by_sample[b, t, source].astype(np.int64)
    b, t, source = (np.repeat(x, times) for x in (b, t, source))
    before = b * (steps + 1) + t  # ends of steps and inferences that stand before an event
    words = np.empty(len(source) + batch * (steps + 1), np.uint32)
    words[np.arange(len(source)) + before] = source
    so_far = np.cumsum(by_sample.sum((2), dtype=np.int64).reshape(-1)).reshape(batch, steps)
    sample = np.arange(batch)[:, None]
    words[so_far + sample * (steps + 1) + np.arange(steps)] = Opcode.STEP << 28
    ends = so_far[:, -1] + np.arange(batch) * (steps + 1) + steps
    words[ends] = Opcode.END << 28
    last = np.zeros(len(words), np.uint8)
    last[ends] = 1
    return words, last


def split(words: Words, last: NDArray[np.uint8]) -> Iterator[Words]:
    """The packets among words that came out."""
    start = 0
    for end in np.flatnonzero(last):
        yield words[start : end + 1]
        start = int(end) + 1


def scores_and_spikes(
    shape: CoreShape, packet: Words, steps: int
) -> tuple[NDArray[np.int64], list[NDArray[np.uint8]]]:
    """Scores (classes,), and of each layer the spikes (T, N) where the packet has them."""
    events, scores = packet[: -shape.scores], packet[-shape.scores :]
    kind, layer, source = events >> 28, (events >> 24) & 15, events & 0xFFFFFF
    found = []
    for number, s in enumerate(shape.layers):
        own = layer == number
        at = np.cumsum(kind[own] == Opcode.STEP)
        fired = kind[own] == Opcode.SPIKE
        spikes = np.zeros((steps, s.outputs), np.uint8)
        np.add.at(spikes, (at[fired], source[own][fired]), 1)
        found.append(spikes)
    return scores.view(np.int32).astype(np.int64), found


__all__ = ["Words", "inferences", "memories", "scores_and_spikes", "split", "write"]
