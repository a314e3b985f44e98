"""From samples to a network's output: an encoder and a network as one module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from izhi.data import AnyBatch, AnySamples
from izhi.kernels import Spikes
from izhi.kernels.packed import as_bits, join_samples, split_samples
from izhi.network import Network, NetworkOutput, NetworkState
from izhi.network.encoders import Encoder, SeriesEncoder
from izhi.seeds import Purpose, derive_seed
from izhi.training.losses import LOSSES, Loss


def _first_parameter(module: nn.Module) -> nn.Parameter:
    """The first of ``module.parameters()``, without their names, which take as long as a small kernel."""
    return next(p for one in module.modules() for p in one._parameters.values() if p is not None)


class Classifier(nn.Module):
    """Samples → encoded spikes → network output; the module that Fabric wraps and moves.

    Args:
        encoder: of the samples.
        network: whose weights are learned.
        loss: whose ``pad`` leaves the steps after the end of padded time series out.
    """

    def __init__(self, encoder: Encoder, network: Network, loss: Loss = LOSSES["count"]) -> None:
        super().__init__()
        self.encoder, self.network, self.loss = encoder, network, loss

    def encode(self, samples: AnyBatch, seed: int) -> Spikes:
        """Samples as the spikes or currents (T, B, inputs) of the network, where it is."""
        parameter = _first_parameter(self)
        kind = parameter.device.type
        mixed = torch.is_autocast_enabled(kind)
        return self.encoder(
            samples,
            seed,
            training=self.training,
            dtype=torch.get_autocast_dtype(kind) if mixed else parameter.dtype,
            device=parameter.device,
        )

    def some_spikes(self, samples: AnySamples, count: int, seed: int) -> Spikes:
        """Some samples, chosen and encoded by the seed of a run, as in evaluation; the module is in evaluation then."""
        generator = torch.Generator().manual_seed(derive_seed(seed, Purpose.CALIBRATION, 0))
        index = torch.randperm(len(samples), generator=generator)[:count]
        values, _ = samples.batch(index.sort().values)
        return self.eval().encode(values, derive_seed(seed, Purpose.CALIBRATION, 1))

    def forward(self, samples: AnyBatch, seed: int, at_once: int | None = None) -> tuple[Tensor, list[Tensor]]:
        """The network's output, and in evaluation the spikes of every layer.

        In evaluation, the network runs so many samples ``at_once``; all by default.
        """
        spikes = self.encode(samples, seed)
        if not self.training:
            output, layers = self._recorded(spikes, at_once or spikes.shape[1])
            return self.counted(output, samples), layers
        return self.counted(self.run(spikes, seed).output, samples), []

    def run(self, spikes: Spikes, seed: int, state: NetworkState | None = None) -> NetworkOutput:
        """Run the network in training: the seed draws the neurons that dropout silences."""
        network: Callable[..., NetworkOutput] = self.network
        if not self.network.dropout:
            return network(spikes, state)
        devices = [spikes.device] if spikes.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive_seed(seed, Purpose.DROPOUT))
            return network(spikes, state)

    def _recorded(self, spikes: Spikes, at_once: int) -> tuple[Tensor, list[Tensor]]:
        """Output and spikes of the layers; of several parts of the samples one bit each."""
        if spikes.shape[1] <= at_once:
            recording = self.network.record(spikes)
            return recording.output, recording.spikes
        outputs, layers = [], []
        for part in split_samples(spikes, at_once):
            recording = self.network.record(part)
            outputs.append(recording.output)
            layers.append([as_bits(x) for x in recording.spikes])
        return torch.cat(outputs, 1), [join_samples(parts) for parts in zip(*layers, strict=True)]

    def counted(self, output: Tensor, samples: AnyBatch) -> Tensor:
        """The output (T, B, classes) without an effect of the steps after the end of padded time series."""
        present = self.encoder.present(samples) if isinstance(self.encoder, SeriesEncoder) else None
        return output if present is None else self.loss.pad(output, present.to(output.device))
