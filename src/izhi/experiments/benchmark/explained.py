"""Which kernels Izhi's contenders use, and why: for each product and each layer of neurons."""

from __future__ import annotations

import torch

from izhi.experiments.benchmark.ours import OURS
from izhi.experiments.benchmark.work import Work
from izhi.kernels import routes
from izhi.kernels.routes import RecordedRoute


def explained(name: str, work: Work) -> list[RecordedRoute]:
    """The routes of one training step of a contender of ``OURS``."""
    torch.manual_seed(0)
    steps = OURS[name](work)
    with routes.recorded() as records:
        steps.train(*work.samples())
    return records
