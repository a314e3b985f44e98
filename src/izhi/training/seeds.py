"""All randomness of a run is a function of its seed, a purpose, and the place in the run."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a seed is for, so that no two draws share one."""

    CODING = 0
    ORDER = 1
    VALIDATION = 2
    TEST = 3
    CALIBRATION = 4
    SEARCH = 5


def derive_seed(*path: int) -> int:
    """A seed of 63 bits for a place in the run, such as (seed, purpose, epoch, step)."""
    low, high = np.random.SeedSequence(path).generate_state(2, np.uint32)
    return (int(high) << 31) ^ int(low)
