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


class Reach(NamedTuple):
    """Which weights meet each row and column of images, and at which places of the result.

    A column meets the weights of one of as many classes as the stride is long, side by side for places side by side;
    zeros stand where the kernel has none. Rows of the result have as much room in front as that takes.

    Attributes:
        run: weights and places side by side.
        across: places of a row of the result, with the room around them.
        starts: where the pairs of each row begin; where the last ones end.
        rows: place of the result and row of the kernel, (…, 2).
        columns: place of the result and class of each column, (W, 2).
        taps: the columns of the kernel of each class, (stride, run); as many as there are for none.
    """

    run: int
    across: int
    starts: Tensor
    rows: Tensor
    columns: Tensor
    taps: Tensor


@lru_cache(maxsize=64)
def reach(c: Convolution) -> Reach:
    """The same of a convolution that is not dilated along the columns."""
    (height, width), (tall, wide), (down, right) = c.size, c.kernel, c.stride
    run = -(-wide // right)
    columns = torch.arange(width) + c.before[1]
    across = max(int(columns[-1]) // right + run, c.places[1] + run - 1)
    rows, starts = [], [0]
    for row in range(height):
        for tap in range(tall):
            place, rest = divmod(row + c.before[0] - tap * c.dilation[0], down)
            if not rest and 0 <= place < c.places[0]:
                rows.append((place * across, tap))
        starts.append(len(rows))
    taps = torch.arange(right)[:, None] + right * torch.arange(run - 1, -1, -1)
    return Reach(
        run, across, torch.tensor(starts, dtype=torch.int32), torch.tensor([*rows, (0, 0)], dtype=torch.int32),
        torch.stack([columns // right, columns % right], 1).int(), taps.clamp(max=wide),
    )  # fmt: skip


@lru_cache(maxsize=64)
def windows(c: Convolution) -> tuple[Tensor, Tensor]:
    """In a padded image: where the window of each place begins, and where in it each tap lies."""
    width = c.padded[1]

    def grid(steps: tuple[int, int], sizes: tuple[int, int]) -> Tensor:
        rows, columns = (torch.arange(n) * step for n, step in zip(sizes, steps, strict=True))
        return (rows[:, None] * width + columns).flatten().int()

    return grid(c.stride, c.places), grid(c.dilation, c.kernel)
