"""Where a convolution's weights meet its images."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Convolution(NamedTuple):
    """A convolution over images, along one dimension as over images of one row.

    Attributes:
        inputs, outputs: channels.
        size: of an image, rows and columns.
        kernel, stride, dilation: along both.
        before, after: zeros in front of and behind the rows, and the columns.
        groups: of channels.
    """

    inputs: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    groups: int = 1

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns with the zeros around them."""
        height, width = (a + b + c for a, b, c in zip(self.before, self.size, self.after, strict=True))
        return height, width

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        rows, columns = (
            (whole - gap * (length - 1) - 1) // step + 1
            for whole, gap, length, step in zip(self.padded, self.dilation, self.kernel, self.stride, strict=True)
        )
        return rows, columns

    @property
    def of_group(self) -> tuple[int, int]:
        """Input and output channels of a group."""
        return self.inputs // self.groups, self.outputs // self.groups


@lru_cache(maxsize=64)
def windows(c: Convolution) -> tuple[Tensor, Tensor]:
    """In a padded image: where the window of each place begins, and where in it each tap lies."""
    width = c.padded[1]

    def grid(steps: tuple[int, int], sizes: tuple[int, int]) -> Tensor:
        rows, columns = (torch.arange(n) * step for n, step in zip(sizes, steps, strict=True))
        return (rows[:, None] * width + columns).flatten().int()

    return grid(c.stride, c.places), grid(c.dilation, c.kernel)
