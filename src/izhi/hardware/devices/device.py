"""The interface of devices: the integer model (emulator.py), the core (core.py) and the FPGA IP (ip.py)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from izhi.errors import DeviceError, SettingError
from izhi.hardware.artifact import Artifact
from izhi.hardware.fixed import Outcome
from izhi.hardware.networks import Array, HardwareNetwork

#: The network of a device: in integers, or of the FPGA IP.
N = TypeVar("N", bound=HardwareNetwork)
_D = TypeVar("_D", bound="Device[Any]")


@dataclass(frozen=True)
class Counters:
    """Counts of a device since it was loaded or cleared.

    Attributes:
        inferences: that are complete.
        events: input spikes accepted; None for a device whose inputs are currents.
        spikes: of all layers, or of those that the device sends.
        cycles: of its clock during inferences; None for a device without a clock.
        counted: a name of the spikes.
    """

    inferences: int
    events: int | None
    spikes: int
    cycles: int | None = None
    counted: str = field(default="spikes", kw_only=True)


def check_kind(name: str, runs: str, artifact: Artifact[Any]) -> None:
    """Raise SettingError unless the device of that name runs artifacts of this kind."""
    if name not in artifact.devices:
        *others, last = artifact.devices
        fix = f"{', '.join(others)} or {last}" if others else last
        raise SettingError(
            f"the device {name} runs {runs}, but the artifact is {artifact.about}; open it on the device {fix}"
        )


class Device(ABC, Generic[N]):
    """A device that runs networks. It can be used in a ``with`` statement, which closes it.

    Attributes:
        name: by which ``izhi.board.open`` opens it.
        runs: its kind of artifact, for messages.
        model: the model with which its spikes are compared, for messages.
        remedy: the fix if they differ.
    """

    name: str
    runs: ClassVar[str]
    model: ClassVar[str] = "the integer model"
    remedy: ClassVar[str] = "build its core anew"
    _steps = 0
    _network: N | None = None

    def load(self, artifact: Artifact[N]) -> None:
        """Make the device run an artifact's network; clears it.

        Raises:
            SettingError: if the device has no room for it, or runs artifacts of another kind.
            DeviceError: if the device fails.
        """
        check_kind(self.name, self.runs, artifact)
        self._load(artifact.network, artifact.steps)
        self._network, self._steps = artifact.network, artifact.steps

    @property
    def network(self) -> N:
        """The loaded network.

        Raises:
            DeviceError: if nothing is loaded.
        """
        if self._network is None:
            raise DeviceError(f"the device {self.name} holds no network; load an artifact first")
        return self._network

    @abstractmethod
    def _load(self, network: N, steps: int) -> None:
        """Load a network."""

    @abstractmethod
    def write_weights(self, layer: int, weight: Array) -> None:
        """Replace a layer's weights (N, inputs), in the same format; 0 is the first layer.

        Raises:
            ShapeError: if there are more or fewer, or one does not fit the format.
        """

    def replace(self, network: N) -> None:
        """Run a network that differs in weights alone; layers whose weights are the same array are not written.

        Raises:
            DeviceError: if the device fails.
        """
        for number, (old, new) in enumerate(zip(self.network.projections, network.projections, strict=True)):
            if new.weight is not old.weight:
                self.write_weights(number, new.weight)
        self._network = network

    def scores_of(self, networks: Sequence[N], inputs: Array) -> Iterator[NDArray[np.integer]]:
        """Scores (batch, classes) of each of several networks that differ in weights alone."""
        for network in networks:
            self.replace(network)
            yield self.run(inputs).scores

    @abstractmethod
    def run(self, inputs: Array, *, sends_spikes: bool = False) -> Outcome:
        """Run an inference for each sample.

        Args:
            inputs: spikes (T, batch, inputs), how often each input fires; for the FPGA IP currents (batch, inputs).
            sends_spikes: whether the outcome has the spikes of every layer as well as the scores.

        Raises:
            ShapeError: if they do not fit the network.
            DeviceError: if the device fails or rejects them.
        """

    def answer(self, inputs: Array) -> Outcome:
        """Scores alone, by the fastest path of the device."""
        (scores,) = self.scores_of([self.network], inputs)
        return Outcome(scores.astype(np.int64, copy=False), [])

    @abstractmethod
    def expected(self, inputs: Array) -> Outcome:
        """Scores and spikes of every layer that the device must give, computed on this machine."""

    @property
    @abstractmethod
    def counters(self) -> Counters:
        """Since the device was loaded or cleared."""

    @abstractmethod
    def clear(self) -> None:
        """Discard inferences and transfers, and set the counters to 0."""

    def close(self) -> None:
        """Release the device's resources."""

    def __enter__(self: _D) -> _D:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
