"""What every device can do, whether it is a program or a board."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from izhi.errors import DeviceError, SettingError, ShapeError
from izhi.hardware import fixed
from izhi.hardware.artifact.integers import AnyArtifact, Artifact
from izhi.hardware.artifact.ip import IPArtifact
from izhi.hardware.fixed import Network, Outcome

#: What a device runs: a network in integers, or one of the FPGA IP.
Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Counters:
    """What a device counted since it was loaded or cleared.

    Attributes:
        inferences: that came to their end.
        events: input spikes taken; None for a device whose inputs are currents.
        spikes: of all layers, or of those that the device sends.
        cycles: of its clock, while an inference was under way; None for a device that has none.
    """

    inferences: int
    events: int | None
    spikes: int
    cycles: int | None = None


def parts_of(network: Any) -> list[Any]:
    """Layers of a network, and the readout that follows them if there is one."""
    readout = getattr(network, "readout", None)
    return [*network.layers, *([] if readout is None else [readout])]


def with_parts(network: Any, parts: Sequence[Any]) -> Any:
    """A network of other ``parts_of`` it."""
    count = len(network.layers)
    rest = {} if len(parts) == count else {"readout": parts[count]}
    return replace(network, layers=tuple(parts[:count]), **rest)


def with_weights(network: Network, layer: int, weight: NDArray[np.integer[Any]]) -> Network:
    """A network with other weights in one layer, or in the readout, which follows the last one.

    Raises:
        ShapeError: if there are more or fewer weights, or one has more bits.
    """
    parts = parts_of(network)
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
    new = replace(old, weight=weight.astype(np.int64))
    changed: Network = with_parts(network, [*parts[:layer], new, *parts[layer + 1 :]])
    return changed


def model() -> Callable[..., Outcome]:
    """The integer model's fast path, or the plain one where there is no Numba."""
    try:
        from izhi.hardware.fixed import fast
    except ImportError:
        return fixed.run
    return fast.run


def check_kind(
    device: str, artifact: AnyArtifact, wanted: type[Artifact] | type[IPArtifact]
) -> None:
    """Raise SettingError unless an artifact is of the kind that a device runs."""
    if not isinstance(artifact, wanted):
        others = "hls-ip" if isinstance(artifact, IPArtifact) else "emulator, simulator or pynq"
        raise SettingError(
            f"the device {device} runs {wanted.about}, but the artifact is {artifact.about}; open it on"
            f" the device {others}"
        )


class Device(ABC, Generic[Loaded]):
    """A device that runs networks. It can be used in a ``with`` statement, which closes it.

    Attributes:
        name: by which ``izhi.board.open`` opens it.
        runs: the kind of artifact that it runs.
        model: what its spikes are compared with, for people.
        remedy: what to do where they differ.
    """

    name: str
    runs: ClassVar[type[Artifact] | type[IPArtifact]] = Artifact
    model: ClassVar[str] = "the integer model"
    remedy: ClassVar[str] = "build its core anew"
    _steps = 0
    _network: Loaded | None = None

    def load(self, artifact: AnyArtifact) -> None:
        """Make the device run an artifact's network; clears it.

        Raises:
            SettingError: if the device has no room for it, or runs artifacts of another kind.
            DeviceError: if the device fails.
        """
        check_kind(self.name, artifact, self.runs)
        self._load(artifact.network, artifact.steps)  # type: ignore[arg-type]
        self._network, self._steps = artifact.network, artifact.steps  # type: ignore[assignment]

    @property
    def network(self) -> Loaded:
        """What it runs.

        Raises:
            DeviceError: if nothing is loaded.
        """
        if self._network is None:
            raise DeviceError(f"the device {self.name} holds no network; load an artifact first")
        return self._network

    @abstractmethod
    def _load(self, network: Loaded, steps: int) -> None: ...

    @abstractmethod
    def write_weights(self, layer: int, weight: NDArray[Any]) -> None:
        """Replace a layer's weights (N, inputs), in the format that they had; 0 is the first layer.

        Raises:
            ShapeError: if there are more or fewer, or one does not fit the format.
        """

    def replace(self, network: Loaded) -> None:
        """Run a network that differs in weights alone; layers whose weights are the same array are left.

        Raises:
            DeviceError: if the device fails.
        """
        for number, (old, new) in enumerate(
            zip(parts_of(self.network), parts_of(network), strict=True)
        ):
            if new.weight is not old.weight:
                self.write_weights(number, new.weight)
        self._network = network

    def scores_of(
        self, networks: Sequence[Loaded], inputs: NDArray[Any]
    ) -> Iterator[NDArray[np.integer[Any]]]:
        """Scores (batch, classes) of each of several networks that differ in weights alone."""
        for network in networks:
            self.replace(network)
            yield self.run(inputs).scores

    @abstractmethod
    def run(self, inputs: NDArray[Any], *, sends_spikes: bool = False) -> Outcome:
        """Run an inference for each sample.

        Args:
            inputs: what the network takes: spikes (T, batch, inputs), how often each input fires; for the
                FPGA IP currents (batch, inputs).
            sends_spikes: whether the spikes of every layer are wanted as well as the scores.

        Raises:
            ShapeError: if they do not fit the network.
            DeviceError: if the device fails or refuses them.
        """

    @abstractmethod
    def expected(self, inputs: NDArray[Any]) -> Outcome:
        """Scores and spikes of every layer that the device must give, computed on this machine."""

    @property
    @abstractmethod
    def counters(self) -> Counters:
        """Since the device was loaded or cleared."""

    @abstractmethod
    def clear(self) -> None:
        """Throw away what is under way, and set the counters to 0."""

    def close(self) -> None:
        """Give back what the device holds."""

    def __enter__(self) -> Device[Loaded]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()


__all__ = ["Counters", "Device", "check_kind", "model", "parts_of", "with_parts", "with_weights"]
