"""Damaged and hostile data files: each is read or refused in one line, in time, within memory."""

import gzip
import hashlib
import io
import os
import re
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from hostility import complaints, mutations
from izhi import data
from izhi.data import download, hdf5, mnist, nmnist, shd, stmnist
from izhi.errors import DataError

#: Memory that reading a file of some kilobytes may take.
MEGABYTES = 128


def write_shd(path, sizes=(20,) * 10, *, libver=None, keys=None, speakers=True, **options):
    """Recordings of so many events each, a class of its own."""
    random = np.random.default_rng(0)
    with h5py.File(path, "w", libver=libver) as file:
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            rows = file.create_dataset(f"spikes/{name}", (len(sizes),), h5py.vlen_dtype(kind), **options)
            for k, size in enumerate(sizes):
                values = np.sort(random.uniform(0, 0.9, size)) if name == "times" else random.integers(0, 700, size)
                rows[k] = values.astype(kind)
        file.create_dataset("labels", data=np.arange(len(sizes), dtype=np.uint16), **options)
        names = [f"word {k}" for k in range(len(sizes))]
        file.create_dataset("extra/keys", data=np.array([x.encode() for x in names]) if keys is None else names)
        if speakers:
            file["extra/speaker"] = np.arange(len(sizes), dtype=np.uint16)
    return path.read_bytes()


def matlab(events=12, name="spiketrain", change=None, **options):
    """A recording of ST-MNIST."""
    random = np.random.default_rng(0)
    train = np.zeros((101, events))
    train[random.integers(0, 100, events), np.arange(events)] = random.choice([-1, 1], events)
    train[100] = np.sort(random.uniform(0, 1.9, events))
    if change is not None:
        change(train)
    file = io.BytesIO()
    savemat(file, {name: train}, **options)
    return file.getvalue()


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return file.getvalue()


def recordings(each=5, digits=10):
    raw = matlab(3, do_compression=True)
    return {f"data/{label}/{number}.mat": raw for label in range(digits) for number in range(each)}


def shd_samples(folder):
    path = folder / "sample.h5"
    return [
        write_shd(path),
        write_shd(path, libver="latest"),
        write_shd(path, chunks=(4,), maxshape=(None,), compression="gzip"),
        write_shd(path, keys=str, speakers=False),
    ]


def read_shd(folder, raw):
    path = folder / "case.h5"
    path.write_bytes(raw)
    file = shd.File(path)
    for record in range(len(file.labels)):
        file.read(record)


def stmnist_samples(folder):
    return [zipped(recordings()), zipped(recordings(), zipfile.ZIP_STORED)]


def read_stmnist(folder, raw):
    (folder / "case.zip").write_bytes(raw)
    samples = stmnist.STMNIST.load(folder).test
    samples.batch(slice(None))


def matlab_samples(folder):
    return [matlab(), matlab(do_compression=True), matlab(format="4")]


def read_matlab(folder, raw):
    stmnist.parse(raw, "case")


def nmnist_samples(folder):
    times = np.arange(0, 200_000, 10_000)
    plain = np.stack([times % 34, times % 33, times >> 16, (times >> 8) & 255, times & 255], 1)
    with_overflow = plain.copy()
    with_overflow[5, 1] = 240
    return [x.astype(np.uint8).tobytes() for x in (plain, with_overflow)]


def read_nmnist(folder, raw):
    (folder / "3").mkdir(exist_ok=True)
    (folder / "3" / "case.bin").write_bytes(raw)
    nmnist.Folder(folder).read(0)


def idx_samples(folder):
    arrays = np.arange(96, dtype=np.uint8).reshape(6, 4, 4), np.arange(6, dtype=np.uint8)
    plain = [b"\0\0\x08" + bytes([x.ndim]) + struct.pack(f">{x.ndim}I", *x.shape) + x.tobytes() for x in arrays]
    return [*plain, *(gzip.compress(x) for x in plain)]


def read_idx(folder, raw):
    path = folder / "case"
    path.write_bytes(raw)
    mnist.parse_idx(mnist.unpack(path), str(path))


def download_samples(folder):
    content = {"Train/3/1.bin": bytes(range(100)) * 3, "Train/4/2.bin": b"", "Train/5/": b""}
    return [zipped(content), zipped(content, zipfile.ZIP_STORED), zipped(content, zipfile.ZIP_BZIP2)]


def read_download(folder, raw):
    path = folder / "case.zip"
    path.write_bytes(raw)
    download.unzip(path, folder / "unpacked", 1 << 20)


#: Format → small sound files, and how one is read.
FORMATS = {
    "shd": (shd_samples, read_shd),
    "stmnist": (stmnist_samples, read_stmnist),
    "matlab": (matlab_samples, read_matlab),
    "nmnist": (nmnist_samples, read_nmnist),
    "idx": (idx_samples, read_idx),
    "download": (download_samples, read_download),
}


def forked(path):
    """What ``hdf5.problem`` finds, by a copy of this process: a thousand times a new one would take long."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(send, (hdf5.problem_within_limits(str(path)) or "").encode()[:4000])
        os._exit(0)
    os.close(send)
    _, status = os.waitpid(child, 0)
    with os.fdopen(receive, "rb") as answer:
        if os.WIFSIGNALED(status):
            return hdf5.ended(os.WTERMSIG(status))
        return answer.read().decode() or None


@pytest.fixture
def by_fork(monkeypatch):
    monkeypatch.setattr(hdf5, "problem", forked)
    monkeypatch.setattr(hdf5, "_SECONDS", 0.3)


def complaints_of(name, folder, count, seed=0):
    samples, read = FORMATS[name]
    sound = samples(folder)
    for raw in sound:
        read(folder, raw)
    return complaints(lambda raw: read(folder, raw), list(mutations(sound, count, seed)), megabytes=MEGABYTES)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_read_or_refused(name, tmp_path, by_fork):
    assert complaints_of(name, tmp_path, 300) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files_are_read_or_refused(name, seed, tmp_path, by_fork):
    assert complaints_of(name, tmp_path, 2400, seed) == []


@pytest.mark.long
def test_damaged_shd_files_are_read_or_refused_by_way_of_new_processes(tmp_path):
    assert complaints_of("shd", tmp_path, 200) == []
