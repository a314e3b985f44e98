"""Where convolutions and pools look: windows over features of channels, height and width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed.arithmetic import Integers


@dataclass(frozen=True)
class Window:
    """A kernel that moves over features (channels, height, width); a row of features has a height of 1.

    Attributes:
        channels, height, width: of the features.
        kernel: its height and width.
        stride: how far it moves, down and across.
        padding: zeros around the features, above and below, left and right.
    """

    channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)

    @property
    def inputs(self) -> int:
        """Features in all."""
        return self.channels * self.height * self.width

    @property
    def down(self) -> int:
        """Places of the kernel, one below another."""
        return (self.height + 2 * self.padding[0] - self.kernel[0]) // self.stride[0] + 1

    @property
    def across(self) -> int:
        """Places of the kernel, one beside another."""
        return (self.width + 2 * self.padding[1] - self.kernel[1]) // self.stride[1] + 1

    @property
    def places(self) -> int:
        """Places of the kernel in all."""
        return self.down * self.across

    @property
    def fits(self) -> bool:
        """Whether the kernel is within the padded features, and everywhere sees some of them."""
        (kh, kw), (ph, pw) = self.kernel, self.padding
        return kh <= self.height + 2 * ph and kw <= self.width + 2 * pw and ph < kh and pw < kw

    @property
    def sources(self) -> int:
        """Features that the kernel sees at one place."""
        return self.channels * self.kernel[0] * self.kernel[1]

    def seen(self, x: NDArray[np.integer]) -> NDArray[np.integer]:
        """What the kernel sees of features (n, inputs): (n, channels, down, across, kernel height, kernel width)."""
        grid = x.reshape(len(x), self.channels, self.height, self.width)
        (up, left), (down, across) = self.padding, self.stride
        grid = np.pad(grid, ((0, 0), (0, 0), (up, up), (left, left)))
        views = np.lib.stride_tricks.sliding_window_view(grid, self.kernel, axis=(2, 3))
        found: NDArray[np.integer] = views[:, :, ::down, ::across]
        return found

    def columns(self, x: NDArray[np.integer]) -> NDArray[np.float64]:
        """The same, (n, places, sources), in the order of a row of weights, as numpy multiplies it fast."""
        seen = self.seen(x).transpose(0, 2, 3, 1, 4, 5)
        found: NDArray[np.float64] = seen.reshape(len(x), self.places, self.sources).astype(np.float64)
        return found


@dataclass(frozen=True)
class Pool:
    """The sum, or the largest, of the features of each channel within a window, without padding."""

    kind: Literal["sum", "max"]
    window: Window

    @property
    def outputs(self) -> int:
        """Features that are left."""
        return self.window.channels * self.window.places

    def most(self, before: int) -> int:
        """The largest that comes out where that comes in."""
        return before * self.window.kernel[0] * self.window.kernel[1] if self.kind == "sum" else before

    def of(self, x: Integers) -> Integers:
        """Features (n, inputs) → (n, outputs)."""
        seen = self.window.seen(x)
        found: Integers = seen.sum((4, 5)) if self.kind == "sum" else seen.max((4, 5))
        return found.reshape(len(x), self.outputs)


__all__ = ["Pool", "Window"]
