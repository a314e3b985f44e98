"""Which kernels Izhi's contenders use, and why: for each product and each layer of neurons."""

from __future__ import annotations

import torch

from izhi.experiments.benchmark.ours import OURS
from izhi.experiments.benchmark.work import Work
from izhi.kernels import paths
from izhi.kernels.paths import Path


def explained(name: str, work: Work) -> list[Path]:
    """The paths of one training step of a contender of ``OURS``."""
    torch.manual_seed(0)
    steps = OURS[name](work)
    with paths.recorded() as found:
        steps.train(*work.samples())
    return found
