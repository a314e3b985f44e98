"""What networks for hardware share, whatever their numbers are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from izhi.deprecation import renamed_attribute
from izhi.errors import ShapeError

#: Numbers of any kind.
Array: TypeAlias = NDArray[Any]
#: Spikes (T, batch, inputs), uint8, or for the FPGA IP currents (batch, inputs), float32.
Inputs = NDArray[np.uint8] | NDArray[np.float32]
#: Encodings that give currents from 0 to 1, which hardware takes as whole numbers.
GRADED = ("constant", "current", "rows", "pixels")
#: Arrays by name.
Arrays: TypeAlias = Mapping[str, Array]
_N = TypeVar("_N", bound="HardwareNetwork")


@dataclass(frozen=True)
class HardwareProjection(ABC):
    """The weights of a layer, or of a readout, (outputs, inputs)."""

    weight: Array

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Inputs of a step."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Neurons, or classes."""

    @property
    def learnable(self) -> Arrays:
        """The arrays that a search may change."""
        return {"weight": self.weight}

    @property
    @abstractmethod
    def change(self) -> float:
        """By how much a change of one in a search changes a weight."""

    @abstractmethod
    def rounded(self, values: NDArray[np.float64]) -> Array:
        """The nearest representable numbers."""

    @abstractmethod
    def drawn(self, random: np.random.Generator) -> Arrays:
        """Its learnable arrays with random values."""

    @abstractmethod
    def checked(self, weight: Array) -> Array:
        """Weights in the place of its own; ShapeError if there are more or fewer, or one does not fit the format."""


@dataclass(frozen=True)
class HardwareNetwork:
    """Layers in a row, with or without a readout behind them."""

    layers: tuple[HardwareProjection, ...]
    parts = renamed_attribute("parts", "projections")

    @property
    def projections(self) -> tuple[HardwareProjection, ...]:
        """The layers, and the readout if there is one."""
        return self.layers

    @property
    def inputs(self) -> int:
        """Inputs of a step."""
        return self.projections[0].inputs

    @property
    def outputs(self) -> int:
        """Scores of a sample."""
        return self.projections[-1].outputs

    @property
    def score_unit(self) -> float | None:
        """The unit of scores: a spike; None if it depends on the samples."""
        return 1.0

    def with_arrays(self: _N, changed: Mapping[int, Arrays]) -> _N:
        """A network with other arrays in some projections, by number; the other projections are the same objects."""
        count = len(self.layers)
        projections = [replace(x, **changed[k]) if k in changed else x for k, x in enumerate(self.projections)]
        readout = dict(zip(["readout"], projections[count:], strict=False))
        return replace(self, layers=tuple(projections[:count]), **readout)

    def with_weights(self: _N, number: int, weight: Array, bias: Array | None = None) -> _N:
        """A network with other weights, and biases unless None, in one layer or in the readout behind the last.

        Raises:
            ShapeError: if there are more or fewer weights, or one does not fit the format.
        """
        if not 0 <= number < len(self.projections):
            raise ShapeError(f"layer is {number}, expected 0 to {len(self.projections) - 1}")
        biases = {} if bias is None else {"bias": bias.copy()}
        return self.with_arrays({number: {"weight": self.projections[number].checked(weight), **biases}})
