"""The driver of the FPGA IP ``snn_izhikevich``, emulated or on a board."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from izhi.errors import DeviceError, ShapeError
from izhi.hardware.artifact import IPArtifact
from izhi.hardware.devices.device import Counters, Device, RegisterBlock, poll
from izhi.hardware.fixed import Outcome
from izhi.hardware.ip import STEPS, EmulatedIP, IPNetwork, arithmetic, streams
from izhi.hardware.ip.registers import IPControl, IPState, RegisterMap
from izhi.hardware.ip.streams import Words
from izhi.hardware.networks import Array

#: Seconds that the IP may take for a step of the protocol.
PATIENCE = 5.0


class IPTransport(RegisterBlock, Protocol):
    """Moves values and words to the IP and from it."""

    registers: RegisterMap

    def exchange(self, words: Words, room: int) -> Words:
        """Send the four streams, (4, words); returns the answer, ``room`` words at most."""


class IPDevice(Device[IPNetwork]):
    """The IP behind its registers and streams.

    Every sample is one INIT, which gives the IP sizes and currents, and one PROCESS, which sends it the
    network and returns the spikes of its last layer. For the spikes of every layer the network runs once for each
    layer, without the layers behind it.

    Args:
        block: the transport to it.
        patience: seconds that the IP may take for a step of the protocol.
    """

    name = "hls-ip"
    runs = IPArtifact
    model: ClassVar[str] = "the arithmetic of the IP"
    remedy: ClassVar[str] = "check that its bitstream was built for the artifact's kind of neuron, and its .hwh"
    #: Spikes of the last layer are the only ones in the IP's answer.
    counters = Counters(0, None, 0, counted="spikes of the last layer")

    def __init__(self, block: IPTransport, *, patience: float = PATIENCE) -> None:
        self.block, self.patience = block, patience

    def write_weights(self, layer: int, weight: Array, bias: Array | None = None) -> None:
        """Replace a layer's weights (n_out, n_prev), and its biases (n_out,) unless None, in float32.

        Raises:
            ShapeError: if there are more or fewer, or they are not float32.
            SettingError: if one is not finite.
        """
        self._network = self.network.with_weights(layer, weight, bias)

    def replace(self, network: IPNetwork) -> None:
        self._network = network  # It is sent with every sample.

    def scores_of(self, networks: Sequence[IPNetwork], inputs: Array) -> Iterator[NDArray[np.integer]]:
        if not isinstance(self.block, EmulatedIP):
            yield from super().scores_of(networks, inputs)
            return
        layers = range(len(networks[0].layers))
        scores = arithmetic.run_population(
            [np.stack([network.layers[k].weight for network in networks]) for k in layers],
            [np.stack([network.layers[k].bias for network in networks]) for k in layers],
            inputs, networks[0].build,
        )  # fmt: skip
        self._count(scores.shape[0] * scores.shape[1], scores)
        yield from scores

    def run(self, inputs: Array, *, sends_spikes: bool = False) -> Outcome:
        network = self.network
        currents = arithmetic.check_currents(inputs, network.inputs)
        count = len(network.layers)
        # The first layers up to each layer; the last of them are the network itself.
        counts = range(1, count + 1) if sends_spikes else (count,)
        prefixes = [dataclasses.replace(network, layers=network.layers[:k]) for k in counts]
        spikes = [np.zeros((STEPS, len(currents), prefix.outputs), np.uint8) for prefix in prefixes]
        for prefix, fired in zip(prefixes, spikes, strict=True):
            words = streams.pack(prefix)
            for sample, values in enumerate(currents):
                fired[:, sample] = self._infer(prefix, words, values)
        self._count(len(currents), spikes[-1])
        return Outcome(spikes[-1].sum(0, dtype=np.int64), spikes if sends_spikes else [])

    def _infer(self, network: IPNetwork, words: Words, currents: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The spikes (30, n_out) of the last layer for one sample."""
        at, write = self.block.registers, self.block.write
        write(at.state, IPState.INIT)
        write(at.inputs, network.inputs)
        # A larger number would return spikes of earlier networks.
        write(at.outputs, network.outputs)
        write(at.layers, len(network.layers))
        for k, bits in enumerate(currents.view(np.uint32).tolist()):
            write(at.currents + 4 * k, bits)
        for k, size in enumerate(network.sizes):
            write(at.widths + 4 * k, size)
        write(at.control, 1 << IPControl.START)
        self._finish("INIT")
        write(at.state, IPState.PROCESS)
        write(at.control, 1 << IPControl.START)
        answer = self.block.exchange(words, streams.output_words(network.outputs))
        self._finish("PROCESS")
        try:
            return streams.unpack(answer, network.outputs)
        except ShapeError as error:
            raise DeviceError(f"the device {self.name} sent a broken answer: {error}") from None

    def _finish(self, state: str) -> None:
        """Poll until the IP is done: its interrupt does not reach every processor."""
        at, read = self.block.registers, self.block.read
        poll(lambda: read(at.control) >> IPControl.DONE & 1, self.patience, f"the IP did not finish {state}")
        returned = read(at.returned)
        if returned != 1:
            raise DeviceError(
                f"the IP returned {returned} from {state}, expected 1; is the .hwh that of its bitstream?"
            )

    def _count(self, inferences: int, spikes: Array) -> None:
        c = self.counters
        total = c.spikes + int(spikes.sum(dtype=np.int64))
        self.counters = dataclasses.replace(c, inferences=c.inferences + inferences, spikes=total)

    def close(self) -> None:
        self.block.close()
