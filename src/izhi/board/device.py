"""What every device can do, whether it is a program or a board."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi.artifact import Artifact
from izhi.errors import DeviceError, ShapeError
from izhi.fixed import Layer, Network, Outcome, Readout


@dataclass(frozen=True)
class Counters:
    """What a device counted since it was loaded or cleared.

    Attributes:
        inferences: that came to their end.
        events: input spikes taken.
        spikes: of all layers.
        cycles: of its clock, while an inference was under way; None for a device that has none.
    """

    inferences: int
    events: int
    spikes: int
    cycles: int | None = None


def with_weights(network: Network, layer: int, weight: NDArray[np.integer[Any]]) -> Network:
    """A network with other weights in one layer, or in the readout, which follows the last one.

    Raises:
        ShapeError: if there are more or fewer weights, or one has more bits.
    """
    parts: list[Layer | Readout] = [*network.layers]
    if network.readout is not None:
        parts.append(network.readout)
    if not 0 <= layer < len(parts):
        raise ShapeError(f"layer is {layer}, expected 0 to {len(parts) - 1}")
    old = parts[layer]
    half = 1 << (old.weight_bits - 1)
    if weight.shape != old.weight.shape or weight.dtype.kind not in "iu":
        raise ShapeError(
            f"weights are {weight.dtype} of shape {weight.shape}, expected integers of shape {old.weight.shape}"
        )
    if weight.size and not (-half <= weight.min() and weight.max() < half):
        raise ShapeError(
            f"weights are {weight.min()} to {weight.max()}, expected {-half} to {half - 1}:"
            f" {old.weight_bits} bits"
        )
    new = weight.astype(np.int64)
    if isinstance(old, Readout):
        return replace(network, readout=replace(old, weight=new))
    layers = [replace(x, weight=new) if k == layer else x for k, x in enumerate(network.layers)]
    return replace(network, layers=tuple(layers))


class Device(ABC):
    """A device that runs networks in integers. It can be used in a ``with`` statement, which closes it.

    Attributes:
        name: by which ``izhi.board.open`` opens it.
    """

    name: str
    _steps = 0
    _network: Network | None = None

    def load(self, artifact: Artifact) -> None:
        """Make the device run an artifact's network; clears it.

        Raises:
            SettingError: if the device has no room for it.
            DeviceError: if the device fails.
        """
        self._load(artifact.network, artifact.steps)
        self._network, self._steps = artifact.network, artifact.steps

    @property
    def network(self) -> Network:
        """What it runs.

        Raises:
            DeviceError: if nothing is loaded.
        """
        if self._network is None:
            raise DeviceError(f"the device {self.name} holds no network; load an artifact first")
        return self._network

    @abstractmethod
    def _load(self, network: Network, steps: int) -> None: ...

    @abstractmethod
    def write_weights(self, layer: int, weight: NDArray[np.integer[Any]]) -> None:
        """Replace a layer's weights (N, inputs), integers of as many bits as they had; 0 is the first layer.

        Raises:
            ShapeError: if there are more or fewer, or one has more bits.
        """

    @abstractmethod
    def run(self, spikes: NDArray[np.integer[Any]], *, sends_spikes: bool = False) -> Outcome:
        """Run an inference for each sample.

        Args:
            spikes: (T, batch, inputs), how often each input fires.
            sends_spikes: whether the spikes of every layer are wanted as well as the scores.

        Raises:
            ShapeError: if they do not fit the network.
            DeviceError: if the device fails or refuses them.
        """

    @property
    @abstractmethod
    def counters(self) -> Counters:
        """Since the device was loaded or cleared."""

    @abstractmethod
    def clear(self) -> None:
        """Throw away what is under way, and set the counters to 0."""

    def close(self) -> None:  # noqa: B027  (most devices hold nothing)
        """Give back what the device holds."""

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()


__all__ = ["Counters", "Device", "with_weights"]
