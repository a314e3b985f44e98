"""Waves of electrocardiograms (QT Database), with a label for each step, as spikes of four channels.

Yin, Corradi and Bohté (2021) coded two leads of the recordings as level crossings, up and down. Each step is of the
wave P, PQ, QR, RS, ST or TP. A step without an annotated wave, 8 % of them, counts as P, as in published evaluations.

Sources: P. Laguna et al., A database for evaluation of algorithms for measurement of QT and other waveform intervals in
the ECG, Computers in Cardiology 1997 (PhysioNet, ODC-By); B. Yin, F. Corradi, S. M. Bohté, Accurate and efficient
time-domain classification with adaptive spiking recurrent neural networks, Nature Machine Intelligence 3 (2021) 905;
the files as S. Higuchi et al., Balanced resonate-and-fire neurons (2024), ship them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.data import download, matlab
from izhi.data.catalogue import DATASETS
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.source import Source
from izhi.errors import DataError, as_data_error, shown

#: The folder of the files, at one commit, and their MD5.
ADDRESS = (
    "https://raw.githubusercontent.com/AdaptiveAILab/brf-neurons/5d45b0e7d545f09b79d029bb40573200fde57fd7/"
    "experiments/ecg/data/"
)
CHECKSUMS = {"QTDB_train.mat": "39790ebc28587c94a2245fae7475e6f2", "QTDB_test.mat": "4deb6d02f9dae171ad99f2b372926cc0"}
WAVES = ("P", "PQ", "QR", "RS", "ST", "TP")
CHANNELS = 4
#: Largest size of an unpacked variable, bytes.
_LARGEST = 64 << 20


def parse(raw: bytes, where: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Spikes (N, T, CHANNELS) and labels (N, T) in the bytes of a MATLAB file, without its last step, which is empty.

    Raises:
        DataError: if it is another file.
    """
    with as_data_error(f"{where} is damaged or of another data set"):
        x, y = (matlab.matrix(raw, name, _LARGEST) for name in ("x", "y"))
    if x.ndim != 3 or x.shape[2] != CHANNELS or y.shape != (*x.shape[:2], len(WAVES)) or x.shape[1] < 2:
        raise DataError(
            f"{where} has x {shown(x.shape)} and y {shown(y.shape)}, expected (N, T + 1, {CHANNELS}) and"
            f" (N, T + 1, {len(WAVES)}); use an intact copy"
        )
    spikes, waves = x[:, :-1], y[:, :-1]
    if not np.isin(spikes, (0, 1)).all() or not np.isin(waves, (0, 1)).all():
        raise DataError(f"{where} has other values, expected spikes and one-hot labels of 0 and 1; use an intact copy")
    return spikes.astype(np.float32), waves.argmax(-1)


@dataclass(frozen=True)
class QTDB(Source):
    """The data set; see ``izhi.data.source.Source``."""

    name = "qtdb"
    about = DATASETS["qtdb"]
    window = None
    over_time = True

    def files(self, folder: Path) -> Sequence[Path]:
        return [folder / name for name in CHECKSUMS]

    def fetch(self, folder: Path, report: Progress) -> None:
        for path in self.files(folder):
            if path.exists():
                continue
            report(f"downloading {path.name}")
            reason = download.fetch([ADDRESS + path.name], path, md5=CHECKSUMS[path.name])
            if reason is not None:
                raise DataError(
                    f"{path} cannot be downloaded ({reason}); put {' and '.join(CHECKSUMS)} of"
                    " github.com/AdaptiveAILab/brf-neurons into that folder"
                )

    def load(self, folder: Path) -> Dataset:
        """The data set in the folder."""
        train, test = (self._read(path) for path in self.files(folder))
        return Dataset.of(*train, test=test, classes=WAVES, over_time=True, name=self.name)

    def _read(self, path: Path) -> tuple[Any, Any]:
        with files.reading(path):
            raw = path.read_bytes()
        return parse(raw, str(path))


ECG = QTDB()
