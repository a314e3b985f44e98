"""What networks for hardware have in common, whatever their numbers are."""

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
        """How much of a weight a search takes for a change of one."""

    def rounded(self, values: NDArray[np.float64]) -> Array:
        """The nearest numbers that the part can hold."""

    def drawn(self, random: np.random.Generator) -> Arrays:
        """Its learnable arrays, drawn anew."""


class HardwareNetwork(Protocol):
    """Layers in a row, and perhaps a readout behind them."""

    @property
    def inputs(self) -> int:
        """How many there are."""

    @property
    def layers(self) -> Sequence[HardwareProjection]:
        """Of neurons."""

    @property
    def projections(self) -> Sequence[HardwareProjection]:
        """The layers, and the readout if there is one."""

    @property
    def score_unit(self) -> float | None:
        """What a difference of one between scores is; None if that depends on the samples."""

    def with_arrays(self: _N, changed: Mapping[int, Arrays]) -> _N:
        """A network with other arrays in some parts, by their numbers; the other parts are the same objects."""


__all__ = ["Array", "Arrays", "HardwareNetwork", "HardwareProjection", "Inputs"]
