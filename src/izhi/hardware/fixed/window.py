"""Windows of convolutions and pools over features of channels, height and width, and the sizes that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed.arithmetic import Integers


@dataclass(frozen=True)
class Window:
    """A kernel that moves over features (channels, height, width); features in one dimension have a height of 1.

    Attributes:
        channels, height, width: of the features.
        kernel: its height and width.
        stride: down and across.
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
        """Positions of the kernel along the height."""
        return (self.height + 2 * self.padding[0] - self.kernel[0]) // self.stride[0] + 1

    @property
    def across(self) -> int:
        """Positions of the kernel along the width."""
        return (self.width + 2 * self.padding[1] - self.kernel[1]) // self.stride[1] + 1

    @property
    def places(self) -> int:
        """Positions of the kernel in all."""
        return self.down * self.across

    @property
    def fits(self) -> bool:
        """Whether the kernel is within the padded features, and covers some feature at every position."""
        (kh, kw), (ph, pw) = self.kernel, self.padding
        return kh <= self.height + 2 * ph and kw <= self.width + 2 * pw and ph < kh and pw < kw

    @property
    def sources(self) -> int:
        """Features under the kernel at one position."""
        return self.channels * self.kernel[0] * self.kernel[1]

    def views(self, x: NDArray[np.integer]) -> NDArray[np.integer]:
        """Features (n, inputs) under the kernel: (n, channels, down, across, kernel height, kernel width)."""
        grid = x.reshape(len(x), self.channels, self.height, self.width)
        (up, left), (down, across) = self.padding, self.stride
        grid = np.pad(grid, ((0, 0), (0, 0), (up, up), (left, left)))
        views: NDArray[np.integer] = np.lib.stride_tricks.sliding_window_view(grid, self.kernel, axis=(2, 3))
        return views[:, :, ::down, ::across]

    def columns(self, x: NDArray[np.integer]) -> NDArray[np.float64]:
        """The same as float64 (n, places, sources), in the order of a row of weights, for numpy's fast product."""
        by_place: NDArray[np.float64] = self.views(x).transpose(0, 2, 3, 1, 4, 5).astype(np.float64)
        return by_place.reshape(len(x), self.places, self.sources)


@dataclass(frozen=True)
class Pool:
    """The sum or the maximum of each channel's features within a window, without padding."""

    kind: Literal["sum", "max"]
    window: Window

    @property
    def outputs(self) -> int:
        """Features behind the pool."""
        return self.window.channels * self.window.places

    def most(self, before: int) -> int:
        """The largest output where ``before`` is the largest input."""
        return before * self.window.kernel[0] * self.window.kernel[1] if self.kind == "sum" else before

    def apply(self, x: Integers) -> Integers:
        """Features (n, inputs) → (n, outputs)."""
        views = self.window.views(x)
        pooled: Integers = views.sum((4, 5)) if self.kind == "sum" else views.max((4, 5))
        return pooled.reshape(len(x), self.outputs)


class Connectivity:
    """Pools, and behind them a matrix or a convolution: the sizes that follow, for integers and for the core.

    Attributes:
        inputs: before the pools.
        outputs: neurons or classes.
        window: of a convolution, whose weights are the same at every position; None for a matrix.
        pools: applied to the inputs in their order.
    """

    pools: tuple[Pool, ...]
    if TYPE_CHECKING:  # a property of a base would be the default of a dataclass's field

        @property
        def window(self) -> Window | None: ...

        @property
        def inputs(self) -> int: ...

        @property
        def outputs(self) -> int: ...

    @property
    def features(self) -> int:
        """Inputs behind the pools."""
        return self.pools[-1].outputs if self.pools else self.inputs

    @property
    def places(self) -> int:
        """Positions of a convolution's window; 1 for a matrix."""
        return 1 if self.window is None else self.window.places

    @property
    def channels(self) -> int:
        """Outputs at a position, which is the number of rows of weights."""
        return self.outputs // self.places

    @property
    def fan_in(self) -> int:
        """Weights of an output, without feedback."""
        return self.features if self.window is None else self.window.sources

    def most(self, before: int) -> int:
        """The largest number behind the pools where ``before`` is the largest before them."""
        for pool in self.pools:
            before = pool.most(before)
        return before
