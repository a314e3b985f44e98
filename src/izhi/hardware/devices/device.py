"""The interface of devices, and the integer model as one; the core is in core.py, the FPGA IP in ip.py."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from izhi.errors import DeviceError, SettingError
from izhi.hardware.artifact import Artifact, IntegerArtifact
from izhi.hardware.fixed import IntegerNetwork, Outcome
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

    def after(self, inputs: NDArray[np.integer], spikes: Sequence[NDArray[np.integer]]) -> Counters:
        """Counts after inputs (T, batch, inputs) that gave these spikes of all layers."""
        fired = sum(int(one.sum(dtype=np.int64)) for one in spikes)
        events = (self.events or 0) + int(inputs.sum(dtype=np.int64))
        return replace(self, inferences=self.inferences + inputs.shape[1], events=events, spikes=self.spikes + fired)


class RegisterBlock(Protocol):
    """A block with registers, as a device reaches it."""

    def read(self, register: int, /) -> int:
        """The value of a register."""

    def write(self, register: int, value: int, /) -> None:
        """Write a register."""

    def close(self) -> None:
        """Release its resources."""


def poll(is_done: Callable[[], object], patience: float, problem: str) -> None:
    """Raise DeviceError with the problem if something is not done after so many seconds."""
    end = time.monotonic() + patience
    while not is_done():
        if time.monotonic() > end:
            raise DeviceError(f"{problem} within {patience:g} s; load the overlay anew")


def check_kind(name: str, runs: type[Artifact[Any]], artifact: Artifact[Any]) -> None:
    """Raise SettingError unless the device of that name runs artifacts of this kind."""
    if name not in artifact.devices:
        *others, last = artifact.devices
        fix = f"{', '.join(others)} or {last}" if others else last
        raise SettingError(
            f"the device {name} runs {runs.about}, but the artifact is {artifact.about}; open it on the device {fix}"
        )


class Device(ABC, Generic[N]):
    """A device that runs networks. It can be used in a ``with`` statement, which closes it.

    Attributes:
        name: by which ``izhi.board.open`` opens it.
        runs: the class of its artifacts.
        model: the model with which its spikes are compared, for messages.
        remedy: the fix if they differ.
        counters: since the device was loaded or cleared.
    """

    name: str
    runs: ClassVar[type[Artifact[Any]]] = IntegerArtifact
    model: ClassVar[str] = "the integer model"
    remedy: ClassVar[str] = "build its core anew"
    counters = Counters(0, 0, 0)
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

    def _load(self, network: N, steps: int) -> None:
        self.clear()

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

    def expected(self, inputs: Array) -> Outcome:
        """Scores and spikes of every layer that the device must give, computed on this machine."""
        return self.runs.execute(self.network, inputs)

    def clear(self) -> None:
        """Discard inferences and transfers, and set the counters to 0."""
        self.counters = type(self).counters

    def close(self) -> None:
        """Release the device's resources."""

    def __enter__(self: _D) -> _D:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Emulator(Device[IntegerNetwork]):
    """``izhi.fixed`` behind the interface of a board."""

    name = "emulator"

    def write_weights(self, layer: int, weight: NDArray[np.integer]) -> None:
        self._network = self.network.with_weights(layer, weight)

    def run(self, inputs: NDArray[np.integer], *, sends_spikes: bool = False) -> Outcome:
        outcome = self.expected(inputs)
        self.counters = self.counters.after(inputs, outcome.spikes)
        return outcome if sends_spikes else Outcome(outcome.scores, [])
