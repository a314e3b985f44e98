"""The words of the IP's four input streams and of its output stream, as arrays of 64-bit words.

A word holds two float32 numbers, the one of odd index in its upper half. A vector of 16 numbers x is two words
on each stream: word g of stream k is {x[8g + 2k + 1], x[8g + 2k]}. A layer is its bias vector and then the row
of weights of each neuron, all padded with zeros to 16. Spikes return as bits: bit 30·i + t is that of neuron i in
step t, from the lowest bit of the first word on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from izhi.errors import ShapeError
from izhi.hardware.ip.network import STEPS, STREAMS, WIDTH, Build, Floats, IPNetwork

Words = NDArray[np.uint64]
_GROUPS = WIDTH // (2 * STREAMS)


def input_words(sizes: Sequence[int]) -> int:
    """Words of each input stream, for layers of so many neurons: 2 + 2·n_out of each layer."""
    return sum(_GROUPS * (1 + size) for size in sizes)


def output_words(outputs: int) -> int:
    """Words of the answer for so many neurons, floor(30·n_out/64) + 1."""
    return STEPS * outputs // 64 + 1


def last(outputs: int) -> NDArray[np.bool_]:
    """TLAST of each word of the answer: set on the last one alone."""
    words = np.zeros(output_words(outputs), np.bool_)
    words[-1] = True
    return words


def pack(network: IPNetwork) -> Words:
    """The words of the four input streams, (4, words)."""
    vectors = np.zeros((sum(1 + size for size in network.sizes), WIDTH), "<f4")
    row = 0
    for layer in network.layers:
        outputs, inputs = layer.weight.shape
        vectors[row, :outputs] = layer.bias
        vectors[row + 1 : row + 1 + outputs, :inputs] = layer.weight
        row += 1 + outputs
    words = vectors.view("<u8").reshape(len(vectors), _GROUPS, STREAMS)
    by_stream: Words = np.ascontiguousarray(words.transpose(2, 0, 1)).reshape(STREAMS, -1)
    return by_stream.astype(np.uint64)


def unpack_network(words: ArrayLike, inputs: int, sizes: Sequence[int], build: Build = "izhi") -> IPNetwork:
    """The network of the words of ``pack``.

    Raises:
        ShapeError: if these are not so many words.
    """
    words = np.asarray(words, "<u8")
    if words.shape != (STREAMS, input_words(sizes)):
        raise ShapeError(f"the streams have words of shape {words.shape}, expected ({STREAMS}, {input_words(sizes)})")
    by_vector = words.reshape(STREAMS, -1, _GROUPS).transpose(1, 2, 0)
    vectors: Floats = np.ascontiguousarray(by_vector).view("<f4").reshape(-1, WIDTH)
    weights, biases = [], []
    row, before = 0, inputs
    for size in sizes:
        biases.append(vectors[row, :size])
        weights.append(vectors[row + 1 : row + 1 + size, :before])
        row, before = row + 1 + size, size
    return IPNetwork.of(weights, biases, build)


def pack_spikes(spikes: ArrayLike) -> Words:
    """The words of the IP's answer for spikes (30, n_out) of 0 and 1."""
    spikes = np.asarray(spikes)
    if spikes.ndim != 2 or len(spikes) != STEPS:
        raise ShapeError(f"spikes have shape {spikes.shape}, expected ({STEPS}, n_out)")
    bits = np.zeros(64 * output_words(spikes.shape[1]), np.uint8)
    bits[: spikes.size] = spikes.T.reshape(-1)
    return np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)


def unpack(words: ArrayLike, outputs: int) -> NDArray[np.uint8]:
    """The spikes, (30, outputs) of 0 and 1, in the words of an answer.

    Raises:
        ShapeError: if there are more or fewer words, or bits behind the last neuron's.
    """
    words = np.asarray(words, "<u8")
    if words.shape != (output_words(outputs),):
        raise ShapeError(f"the answer has {words.size} words, expected {output_words(outputs)} for {outputs} neurons")
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    if bits[STEPS * outputs :].any():
        raise ShapeError(f"the answer has bits set behind the spikes of {outputs} neurons")
    return np.ascontiguousarray(bits[: STEPS * outputs].reshape(outputs, STEPS).T)
