"""All randomness is a function of a seed, a purpose, and the position in a run. Needs numpy alone.

The same seed draws the same numbers everywhere. What is computed from them is the same on the same machine with the
same number of threads; else torch's products of matrices may differ in the last bits.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

_WORD = 1 << 32


class Purpose(IntEnum):
    """Purpose of a draw; no two draws share a purpose and a position, so none share a seed."""

    #: Weights, delays and spread coefficients of a new network.
    WEIGHTS = 1
    #: Which training samples are held out for validation.
    SPLIT = 2
    #: Which training samples are used, where not all are.
    LIMIT = 9
    #: Order of the samples of an epoch; samples of a generation.
    ORDER = 3
    #: Everything random about one training batch, whose draws are below.
    BATCH = 4
    #: The same of validation, of test samples, of samples that calibrate formats, of test vectors.
    VALIDATION = 5
    TEST = 6
    CALIBRATION = 7
    VECTORS = 8
    #: Within a batch: spikes of an encoder, changes of samples, neurons that are silenced.
    CODING = 10
    AUGMENTATION = 11
    DROPOUT = 12
    #: One order of the pixels of all images.
    PIXELS = 13
    #: A search by evolution; first weights of a network on a device.
    SEARCH = 20
    DEVICE_WEIGHTS = 21
    #: Adaptation: its stream, the samples of a step, the inputs that a damaged sensor exchanges.
    STREAM = 30
    REHEARSAL = 31
    ARRIVAL = 32
    PERMUTATION = 33
    #: Settings of a trial of hyperparameters.
    TRIAL = 40
    #: Samples of a bootstrap.
    BOOTSTRAP = 50


def derive_seed(*path: int) -> int:
    """A seed of 63 bits for a position in a run, such as (seed, purpose, epoch, step).

    The path is coded with its length, and each of its numbers in two words of 32 bits, so that no two paths
    give the same words: numpy's SeedSequence alone takes (1,) and (1, 0) for one.

    Args:
        path: numbers from 0 to below 2^64.

    Raises:
        ValueError: for a number that is not.
    """
    words = [len(path)]
    for number in path:
        if not 0 <= number < _WORD**2:
            raise ValueError(f"a seed's path has {number}, expected 0 to below 2^64")
        words += [number % _WORD, number // _WORD]
    entropy = np.array(words, np.uint32)  # of a list numpy makes one in a slow way
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) >> 1
