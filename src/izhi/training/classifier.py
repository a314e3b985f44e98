"""From the samples of a data set to a network's output: encoding and network as one module."""

from __future__ import annotations

from math import prod
from typing import cast

import torch
from torch import Tensor, nn

from izhi.data import Dataset, EventBatch
from izhi.errors import SettingError
from izhi.experiments.settings import Experiment
from izhi.kernels import Spikes
from izhi.network import Network, encoding
from izhi.network.connections import Connection
from izhi.seeds import Purpose, derive_seed


class Classifier(nn.Module):
    """Values (B, N) → encoded spikes → network output; what Fabric wraps and moves.

    Args:
        e: the resolved experiment.
        network: built from it.
        shape: of one input, such as (28, 28); needed where images are shifted while training.
    """

    def __init__(self, e: Experiment, network: Network, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.experiment, self.network, self.shape = e, network, shape
        self._augmentation = encoding.Augmentation(
            e.shift, e.stretch, e.drop, e.equalize, e.onset, e.warp
        )
        first = network.layers[0] if len(network.layers) else None
        connection = network.readout if first is None else first.connection
        self.inputs = int(cast(Connection, connection).in_features)

    def encode(self, values: Tensor | EventBatch, seed: int) -> Spikes:
        """Values (B, N) or recordings as the spikes or currents (T, B, inputs) of the network."""
        e, where = self.experiment, next(self.parameters()).device
        kind = where.type
        mixed = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if mixed else next(self.parameters()).dtype
        can_pack = kind == "cpu" and e.kernel in ("auto", "cpu")
        if isinstance(values, EventBatch):
            changes = self._augmentation if self.training else None
            spikes = encoding.frames(
                values, e.steps, e.window or 0, dtype=dtype, augmentation=changes,
                seed=derive_seed(seed, Purpose.AUGMENTATION),
                pool=e.pool, counted=e.counts, normalized=e.normalize_time,
            )  # fmt: skip
            if isinstance(spikes, Tensor):
                return spikes.to(where)
            return spikes if can_pack else spikes.dense().to(where)
        if e.shift and self.training:
            values = encoding.shifted(
                values, self.shape, e.shift, seed=derive_seed(seed, Purpose.AUGMENTATION)
            )
        if e.encoding == "rows":
            return encoding.rows(values, e.steps, self.inputs, dtype=dtype)
        if e.population:
            values = encoding.population(values, e.population)
        # Images are sparse enough to gain from single bits in float32 only.
        packed = can_pack and dtype == torch.float32
        return encoding.encode(
            e.encoding or "rate",
            values,
            e.steps,
            seed=derive_seed(seed, Purpose.CODING),
            dtype=dtype,
            packed=packed,
        )

    def forward(self, values: Tensor | EventBatch, seed: int) -> tuple[Tensor, list[Tensor]]:
        """The network's output, and in evaluation the spikes of every layer."""
        spikes = self.encode(values, seed)
        if not (self.training and self.experiment.dropout):
            out = self.network(spikes, record=not self.training)
            return out.output, out.spikes
        devices = [spikes.device] if spikes.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive_seed(seed, Purpose.DROPOUT))
            out = self.network(spikes, record=False)
        return out.output, out.spikes


def inputs(e: Experiment, dataset: Dataset) -> int:
    """Width of one step of an encoded sample.

    Raises:
        SettingError: for rows or a shift of what is no image, or a number of steps that its rows do not divide.
    """
    if e.shift and e.encoding != "events" and len(dataset.shape) != 2:
        raise SettingError(f"shift is {e.shift}, but {dataset.name} holds no images; leave it out")
    if e.encoding == "rows":
        if len(dataset.shape) != 2:
            raise SettingError(f"encoding is 'rows', but {dataset.name} holds no images")
        if e.steps % dataset.shape[0]:
            raise SettingError(
                f"steps is {e.steps}, expected a multiple of {dataset.shape[0]}, the rows of an image"
            )
        return dataset.shape[1]
    if e.encoding == "events":
        return prod(encoding.pooled(dataset.shape, e.pool))
    return dataset.features * max(e.population, 1)
