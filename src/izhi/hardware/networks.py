"""Protocols that networks for hardware share, whatever their numbers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

#: Numbers of any kind.
Array: TypeAlias = NDArray[Any]
#: Spikes (T, batch, inputs), uint8, or for the FPGA IP currents (batch, inputs), float32.
Inputs = NDArray[np.uint8] | NDArray[np.float32]
#: Encodings that give currents from 0 to 1, which hardware takes as whole numbers.
GRADED = ("constant", "current")
#: Arrays by name.
Arrays: TypeAlias = Mapping[str, Array]
_N = TypeVar("_N", bound="HardwareNetwork")


class HardwareProjection(Protocol):
    """The weights of a layer, or of a readout."""

    @property
    def outputs(self) -> int:
        """Neurons, or classes."""

    @property
    def weight(self) -> Array:
        """(outputs, inputs)."""

    @property
    def learnable(self) -> Arrays:
        """The arrays that a search may change."""

    @property
    def change(self) -> float:
        """By how much a change of one in a search changes a weight."""

    def rounded(self, values: NDArray[np.float64]) -> Array:
        """The nearest representable numbers."""

    def drawn(self, random: np.random.Generator) -> Arrays:
        """Its learnable arrays with random values."""


class HardwareNetwork(Protocol):
    """Layers in a row, with or without a readout behind them."""

    @property
    def inputs(self) -> int:
        """Inputs of a step."""

    @property
    def outputs(self) -> int:
        """Scores of a sample."""

    @property
    def layers(self) -> Sequence[HardwareProjection]:
        """Of neurons."""

    @property
    def projections(self) -> Sequence[HardwareProjection]:
        """The layers, and the readout if there is one."""

    @property
    def score_unit(self) -> float | None:
        """The unit of scores; None if it depends on the samples."""

    def with_arrays(self: _N, changed: Mapping[int, Arrays]) -> _N:
        """A network with other arrays in some projections, by number; the other projections are the same objects."""
