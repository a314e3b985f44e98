"""Human activities recorded by a telephone at the waist (UCI HAPT); the test set holds people of the published split.

Thirty people walked, climbed stairs, sat, stood and lay while the telephone measured acceleration and rotation 50 times
a second. A sample is a window of 2.56 s, which overlaps the next one by half. Izhi does not download them: the file
``hapt.npz`` in the folder ``hapt`` of the data root has the arrays ``x`` (windows, 128, 6), whole numbers, which times
``scale`` (6,) are values; ``y``, the class, and ``subject``, the person, from 1.

Source: J.-L. Reyes-Ortiz et al., Transition-aware human activity recognition using smartphones, Neurocomputing 171
(2016) 754-767; UCI Machine Learning Repository, 341 (CC BY 4.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from izhi import files
from izhi.data.catalogue import DATASETS
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.source import Source
from izhi.errors import DataError, as_data_error

FILE, _MOST_PACKED = "hapt.npz", 20
CLASSES = ("walking", "upstairs", "downstairs", "sitting", "standing", "lying")
#: Steps and channels of a sample; people of the test set.
STEPS, CHANNELS, TESTED = 128, 6, (2, 4, 9, 10, 12, 13, 18, 20, 24)


@dataclass(frozen=True)
class HumanActivities(Source):
    """The data set; see ``izhi.data.source.Source``."""

    name = "hapt"
    about = DATASETS["hapt"]
    window = None
    over_time = True

    def files(self, folder: Path) -> Sequence[Path]:
        return [folder / FILE]

    def fetch(self, folder: Path, report: Progress) -> None:
        """DataError that says which file is missing, unless it is there."""
        if not self.is_there(folder):
            raise DataError(
                f"{folder / FILE} is not there, and Izhi does not download it: make it as docs/data.md says, or set"
                " IZHI_DATA to the folder above it"
            )

    def load(self, folder: Path) -> Dataset:
        """The data set of its file; its ``speakers`` are the people of the training samples."""
        path = folder / FILE
        self.fetch(folder, lambda line: None)
        arrays = files.arrays(path, _MOST_PACKED, "arrays", "make it as docs/data.md says")
        with as_data_error(f"{path} is damaged", "make it as docs/data.md says"):
            x, y, people = arrays["x"], arrays["y"].astype(np.int64), arrays["subject"].astype(np.int64)
            if x.shape != (len(y), STEPS, CHANNELS) or arrays["scale"].shape != (CHANNELS,) or len(people) != len(y):
                raise ValueError("its arrays do not fit each other")
            x = x * arrays["scale"].astype(np.float32)
            tested = np.isin(people, TESTED)
            dataset = Dataset.of(
                x[~tested], y[~tested], test=(x[tested], y[tested]), over_time=True, classes=CLASSES, name=self.name
            )
        return replace(dataset, speakers=torch.from_numpy(people[~tested]))


HAPT = HumanActivities()
