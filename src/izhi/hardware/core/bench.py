"""A self-checking test bench in Verilog: it loads a network, runs samples, and compares the scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import packets
from izhi.hardware.core.fit import fitted
from izhi.hardware.core.shape import CoreShape
from izhi.hardware.core.templates import filled
from izhi.hardware.fixed import run

#: Samples of the test bench.
_SAMPLES = 2


def bench(artifact: IntegerArtifact, shape: CoreShape) -> dict[str, str]:
    """The test bench and its words, by the names of the files: izhi_tb.v, izhi_tb_in.hex, izhi_tb_out.hex.

    It ends with PASS, or with FAIL and the differences.

    Args:
        artifact: whose test vectors run; random samples if it has none.
        shape: of the core, which may be larger than the network.
    """
    network = fitted(shape, artifact.network, artifact.steps)
    spikes = _samples(artifact, shape)
    sent = [packets.write(number, words) for number, words in enumerate(packets.memories(shape, network))]
    sent.append(packets.inferences(spikes, shape.layers[0].spikes))
    scores = run(network, spikes).scores.astype(np.int32).reshape(-1).view(np.uint32)
    words = [f"{word | (k == len(packet) - 1) << 32:09x}" for packet in sent for k, word in enumerate(packet.tolist())]
    answers = [f"{word:08x}" for word in scores.tolist()]
    return {
        "izhi_tb.v": filled(
            "izhi_tb.v", words=len(words), answers=len(answers), last_word=len(words) - 1, last_answer=len(answers) - 1
        ),
        "izhi_tb_in.hex": "\n".join(words) + "\n",
        "izhi_tb_out.hex": "\n".join(answers) + "\n",
    }


def _samples(artifact: IntegerArtifact, shape: CoreShape) -> NDArray[np.integer]:
    """Spikes (T, samples, inputs) of the core's inputs."""
    inputs = artifact.network.inputs
    spikes: NDArray[np.integer] = artifact.test_inputs[:, :_SAMPLES]
    if not spikes.size:
        spikes = np.random.default_rng(0).integers(0, 2, (artifact.steps, _SAMPLES, inputs))
    held = np.minimum(spikes, shape.layers[0].largest_input)
    return np.pad(held, ((0, 0), (0, 0), (0, shape.layers[0].inputs - inputs)))
