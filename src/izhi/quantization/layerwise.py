"""A network layer by layer over samples, a few time steps at once, so that memory does not grow with T."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.kernels import Spikes, SynapticInput
from izhi.kernels.events import WORD
from izhi.kernels.packed import BinarySpikes, as_bits, spikes_of_neurons
from izhi.network.connections import Connection
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.network.sequence import Residual, each_step

#: Bytes of the currents of a layer that are computed at once; more steps of them are computed one chunk after another.
CHUNK_BYTES = 2**26


class LayerInput:
    """The spikes that arrive at a layer or at the readout, in chunks of time steps.

    Iteration gives the ``SynapticInput`` of each chunk. Of several chunks it is computed anew at each iteration.

    Args:
        module: the layer, or the readout.
        chunks: outputs of the layer before, or the network's input.
        between: modules without state, which are applied to them.
    """

    def __init__(self, module: Layer | Connection, chunks: Sequence[Spikes], between: Sequence[nn.Module] = ()) -> None:
        self.module, self._chunks, self._between = module, chunks, between
        self._only: SynapticInput | None = None
        self._mean: Tensor | None = None
        self._outputs: list[Tensor] | None = None

    def _arriving(self) -> Iterator[Spikes]:
        for spikes in self._chunks:
            if isinstance(spikes, BinarySpikes):  # another one, so that numbers which a view keeps are freed with it
                spikes = BinarySpikes(spikes.packed, tuple(spikes.shape))
            for module in self._between:
                spikes = each_step(module, spikes)
            yield spikes

    def __iter__(self) -> Iterator[SynapticInput]:
        if self._only is not None:
            yield self._only
            return
        past: Tensor | None = None
        currents = _Mean()
        for spikes in self._summed():
            drive, past = self._drive(spikes, past)
            if self._mean is None and not self._is_linear:
                currents.add(*_sums(drive.current, precise=len(self._chunks) == 1))
            yield drive
        if len(self._chunks) == 1:
            self._only = drive
        if self._mean is None:
            self._mean = _with_bias(currents.value, drive)

    def _drive(self, spikes: Spikes, past: Tensor | None) -> tuple[SynapticInput, Tensor | None]:
        return self.module.drive(spikes, past) if isinstance(self.module, Layer) else (self.module(spikes), None)

    @property
    def _is_linear(self) -> bool:
        """Whether the mean current is that of the mean input: of several chunks, whose currents are many numbers."""
        return len(self._chunks) > 1 and getattr(self.module, "delay", None) is None

    def _summed(self) -> Iterator[Spikes]:
        """What arrives; behind its last chunk the mean current is known, if it is that of the mean input."""
        if self._mean is not None or not self._is_linear:
            yield from self._arriving()
            return
        inputs = _Mean()
        for spikes in self._arriving():
            inputs.add(spikes_of_neurons(spikes), spikes.shape[0] * spikes.shape[1])
            yield spikes
        drive, _ = self._drive(inputs.value.float()[None, None], None)
        total, count = _sums(drive.current, precise=True)
        self._mean = _with_bias(total / count, drive)

    @property
    def mean_current(self) -> Tensor:
        """The mean current of each output or channel over steps, samples and positions, in double precision."""
        if self._mean is None:
            for _ in self._summed() if self._is_linear else self:
                pass
        assert self._mean is not None
        return self._mean

    @property
    def outputs(self) -> list[Tensor]:
        """The spikes of the layer in each chunk; of several chunks as bits."""
        if self._outputs is None:
            layer = cast(Layer, self.module)
            if len(self._chunks) > 1:
                self.run(layer.neuron)
            else:
                self._outputs = [layer(spikes)[0] for spikes in self._arriving()]
        assert self._outputs is not None
        return self._outputs

    def run(self, neurons: Callable[[SynapticInput, Any], tuple[Tensor, Any]]) -> None:
        """Run neurons, a function of input and state, over all chunks; of several, its results are the outputs."""
        state, outputs, is_whole = None, [], len(self._chunks) == 1
        for drive in self:
            spikes, state = neurons(drive, state)
            outputs.append(spikes if is_whole else as_bits(spikes))
        self._outputs = None if is_whole else outputs


def walk(network: Network, spikes: Spikes) -> Iterator[tuple[Layer | Connection, LayerInput]]:
    """Each layer of neurons, then the readout if any, with its input.

    A layer runs when the next one is requested, so that it may be changed before.

    Raises:
        SettingError: for a network with residual blocks.
    """
    if any(isinstance(module, Residual) for module in network.layers):
        raise SettingError("the network has a residual block, which integers do not have; leave it out")
    chunks: Sequence[Spikes] = _split(network, spikes)
    between: list[nn.Module] = []
    for module in network.layers:
        if isinstance(module, Layer):
            arriving = LayerInput(module, chunks, between)
            yield module, arriving
            chunks, between = arriving.outputs, []
        else:
            between.append(module)
    if network.readout is not None:
        yield network.readout, LayerInput(network.readout, chunks, between)


def _split(network: Network, spikes: Spikes) -> list[Spikes]:
    """Spikes in chunks of as many steps as ``CHUNK_BYTES`` hold of the widest layer, in whole words if they can be."""
    features = spikes.shape[2:]
    widest = max(features.numel(), *network.neurons(*features))
    steps = max(1, CHUNK_BYTES // (4 * spikes.shape[1] * widest))
    if steps >= len(spikes):
        return [spikes]
    return list(spikes.split(steps - steps % WORD or steps))


class _Mean:
    """A mean in double precision of what is summed part by part."""

    def __init__(self) -> None:
        self._total, self._count = torch.zeros(()).double(), 0

    def add(self, total: Tensor, count: int) -> None:
        """Add the sum of so many."""
        self._total, self._count = self._total + total, self._count + count

    @property
    def value(self) -> Tensor:
        """The mean of all."""
        return self._total / self._count


def _with_bias(mean: Tensor, drive: SynapticInput) -> Tensor:
    """The mean current of weighted spikes with a connection's gain and bias."""
    mean = mean if drive.gain is None else mean * drive.gain.double().flatten()
    return mean if drive.bias is None else mean + drive.bias.flatten()


def _sums(current: Tensor, *, precise: bool) -> tuple[Tensor, int]:
    """Sums of currents (T, B, features, *places) over all else than features, (features,), and of how many.

    They are in double precision. Unless they are ``precise``, a few hundred numbers each are added in single precision
    first, 30 times as fast.
    """
    count = current[:, :, 0].numel()
    if precise:
        return current.sum([k for k in range(current.dim()) if k != 2], dtype=torch.float64), count
    some = current.flatten(3).sum(-1) if current.dim() > 3 else current.sum(0, keepdim=True)
    return some.sum((0, 1), dtype=torch.float64), count
