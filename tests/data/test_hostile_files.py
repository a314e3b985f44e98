"""Damaged and hostile data files: each is read or refused in one line, in time, within memory."""

import gzip
import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from hostility import complaints, mutations
from izhi import data
from izhi.data import download, hdf5, matlab as matlab_files, mnist, nmnist, shd, stmnist, ts
from izhi.errors import DataError
from tiers import slow_but

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
        file.create_dataset("extra/keys", data=np.array([x.encode() for x in names], "S8") if keys is None else names)
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
    file = shd.SHDFile(path)
    for record in range(len(file.labels)):
        file.read(record)


def stmnist_samples(folder):
    few = recordings(digits=3)
    return [zipped(few), zipped(few, zipfile.ZIP_STORED)]


def read_stmnist(folder, raw):
    (folder / "case.zip").write_bytes(raw)
    samples = stmnist.STMNIST.load(folder).test
    samples.batch(slice(None))


def matlab_samples(folder):
    return [matlab(), matlab(do_compression=True)]


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
    nmnist.NMNISTFolder(folder).read(0)


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
def ts_samples(folder):
    head = "#\ufeff about\n@problemName x\n@timeStamps false\n@dimensions 2\n@classLabel true a b\n@data\n"
    plain = "\n@CLASSLABEL true 1 2\n@data\n1,2.5,-3E-1:1\n4:2\n"
    return [(head + "1,2,3:4,5,6:a\n0,1:2,3:b\n").encode(), plain.encode()]


def read_ts(folder, raw):
    path = folder / "x_TRAIN.ts"
    path.write_bytes(raw)
    series, labels, classes = ts.read(path)
    assert len(series) == len(labels) > max(labels) - len(classes)
    assert all(np.isfinite(one).all() and one.shape[1] == series[0].shape[1] for one in series)


FORMATS = {
    "ts": (ts_samples, read_ts),
    "shd": (shd_samples, read_shd),
    "stmnist": (stmnist_samples, read_stmnist),
    "matlab": (matlab_samples, read_matlab),
    "nmnist": (nmnist_samples, read_nmnist),
    "idx": (idx_samples, read_idx),
    "download": (download_samples, read_download),
}


@pytest.fixture
def light(monkeypatch):
    """Files are read through by copies of a light process, not by a new one each."""
    readers = {}

    def problem(path):
        # Damaged files are read in a process that may end: each needs a reader of its own.
        if os.getpid() not in readers:
            command = [sys.executable, str(Path(__file__).with_name("light_reader.py"))]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            own = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
            readers[os.getpid()] = subprocess.Popen(command, **pipes, text=True, env=own)
        reader = readers[os.getpid()]
        print(path, file=reader.stdin, flush=True)
        return json.loads(reader.stdout.readline())

    monkeypatch.setattr(hdf5, "problem", problem)
    yield
    for reader in readers.values():
        reader.communicate()


def complaints_of(name, folder, count, seed=0, seconds=5.0):
    samples, read = FORMATS[name]
    sound = samples(folder)
    for raw in sound:
        read(folder, raw)
    cases = list(mutations(sound, count, seed))
    return complaints(lambda raw: read(folder, raw), cases, seconds, MEGABYTES)


@pytest.mark.parametrize("name", slow_but([x for x in FORMATS if x != "shd"], FORMATS))
def test_damaged_files_are_read_or_refused(name, tmp_path, light):
    assert complaints_of(name, tmp_path, 200) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files_are_read_or_refused(name, seed, tmp_path, light):
    assert complaints_of(name, tmp_path, 2400, seed) == []


@pytest.mark.long
def test_damaged_shd_files_are_read_or_refused_by_way_of_new_processes(tmp_path):
    # Half a second of computing, and a process's start, last longer where many compute.
    assert complaints_of("shd", tmp_path, 100, seconds=15) == []


def refused(read, *arguments):
    """The one line of the DataError."""
    with pytest.raises(DataError) as error:
        read(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def damaged_shd(change):
    def write(path):
        write_shd(path)
        with h5py.File(path, "r+") as file:
            change(file)

    return write


def replaced(name, **options):
    def change(file):
        del file[name]
        file.create_dataset(name, **options)

    return damaged_shd(change)


def endless_heap(path):
    """An object in the heap of all sequences that has no size: HDF5 looks for the next one at its place."""
    raw = bytearray(write_shd(path))
    first = raw.index(b"GCOL") + 16
    raw[first : first + 16] = bytes(16)
    path.write_bytes(raw)


def one_sequence_for_all(path):
    raw = bytearray(write_shd(path, [3] * 30 + [4000] + [3] * 30))
    with h5py.File(path) as file:
        for rows in (file["spikes/times"], file["spikes/units"]):
            place = rows.id.get_offset()
            raw[place : place + 16 * 61] = raw[place + 16 * 30 : place + 16 * 31] * 61
    path.write_bytes(raw)


def longer_than_the_heap(path):
    raw = bytearray(write_shd(path))
    with h5py.File(path) as file:
        place = file["spikes/times"].id.get_offset()
    raw[place : place + 4] = struct.pack("<I", 2**31)
    path.write_bytes(raw)


def members_as_group(file):
    file["labels"].attrs["x"] = 1
    del file["labels"]
    file.create_group("labels")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (endless_heap, "HDF5 comes to no end with it"),
        (one_sequence_for_all, "the recordings up to 256 are larger than the file"),
        (longer_than_the_heap, "not in SHD's format"),
        (replaced("labels", shape=(10**12,), dtype=np.uint16, chunks=(1000,)), "labels has 1,000,000,000,000 rows"),
        (replaced("labels", shape=(10,), dtype=np.float32), "labels is .* expected a row of integers"),
        (replaced("extra/keys", data=np.full(10, 2**31)), "extra/keys is .* expected a row of strings"),
        (replaced("extra/keys", data=np.array([b"\xff"] * 10)), "can't decode byte 0xff"),
        (replaced("extra/speaker", data=np.zeros((10, 2), np.int64)), "extra/speaker is .* expected a row of integers"),
        (
            replaced("spikes/times", data=np.zeros((10, 20))),
            "spikes/times is .* expected a row of sequences of numbers",
        ),
        (damaged_shd(members_as_group), "labels is .*group.* expected a row of integers"),
        (damaged_shd(lambda file: file.__delitem__("extra")), "extra/keys is not there"),
        (lambda path: path.mkdir(), "there is no such file"),
        (os.mkfifo, "there is no such file"),
    ],
)
def test_an_shd_file_is_not_what_it_says(write, message, tmp_path):
    path = tmp_path / "bad.h5"
    write(path)
    text = refused(shd.SHDFile, path)
    assert text.startswith(f"{path} is truncated or not in SHD's format (")
    assert text.endswith("; use an intact copy")
    assert re.search(message, text)


def test_an_shd_file_of_nothing_is_refused(tmp_path):
    write_shd(tmp_path / "none.h5", [])
    assert "none.h5 holds no recordings, expected one label for each" in refused(shd.SHDFile, tmp_path / "none.h5")


def test_a_file_is_read_through_without_torch():
    code = "import sys, izhi.data.hdf5; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_sound_file_needs_no_more_than_its_limits(tmp_path):
    path = tmp_path / "sound.h5"
    write_shd(path, [2000] * 1000)
    assert path.stat().st_size > 8_000_000
    assert hdf5.problem(path) is None


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (matlab(change=lambda x: x.__setitem__((100, 11), 1e300)), "has an event at 1,000,000,000,000,000 µs"),
        (matlab(change=lambda x: x.__setitem__((100, 3), np.nan)), "event 3 has time nan, expected seconds"),
        (matlab(change=lambda x: x.__setitem__((7, 3), 2)), "has values other than −1, 0 and 1"),
        (matlab(name="train"), "no variable is named spiketrain"),
        (matlab(format="4"), "it is no MATLAB file of version 5 to 7"),
        (matlab(change=lambda x: x.resize((100, 12), refcheck=False)), "shape (100, 12), expected (101, events)"),
        (matlab()[:-8], "truncated or holds no spiketrain"),
        (b"", "truncated or holds no spiketrain"),
    ],
)
def test_broken_recordings_of_a_skin(member, message):
    assert message in refused(stmnist.parse, member, "x.zip, 3/a.mat")


def test_dimensions_that_a_recording_has_no_bytes_for_take_no_memory():
    raw = bytearray(matlab())
    place = raw.index(struct.pack("<4I", 5, 8, 101, 12))
    for shape, message in (((101, 2**28), "cannot reshape"), ((101, -1), "its shape is [101, -1]")):
        raw[place + 8 : place + 16] = struct.pack("<2i", *shape)
        assert message in refused(stmnist.parse, bytes(raw), "x")
    file = io.BytesIO()
    savemat(file, {"spiketrain": np.array([[b"x"], [2]], object)})
    assert "spiketrain is no matrix of real numbers" in refused(stmnist.parse, file.getvalue(), "x")


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int8, np.uint16, np.int64])
@pytest.mark.parametrize("compressed", [False, True])
def test_matrices_are_read_as_scipy_reads_them(kind, compressed):
    value = np.random.default_rng(0).integers(0, 9, (3, 5)).astype(kind)
    file = io.BytesIO()
    savemat(file, {"first": "text", "ab": value, "last": value + 1}, do_compression=compressed)
    for name in ("ab", "last"):
        found = matlab_files.matrix(file.getvalue(), name, 10_000)
        assert found.dtype == kind
        assert np.array_equal(found, loadmat(file)[name])


def test_small_and_foreign_elements_of_a_matrix_are_read():
    def element(kind, content, order=">"):
        if len(content) <= 4:
            return struct.pack(f"{order}I", len(content) << 16 | kind) + content.ljust(4, b"\0")
        return struct.pack(f"{order}2I", kind, len(content)) + content + bytes(-len(content) % 8)

    def variable(name, *values):
        parts = (
            (6, struct.pack(">2I", 6, 0)),
            (5, struct.pack(">2i", 2, len(values) // 2)),
            (1, name),
            (2, bytes(values)),
        )
        return element(14, b"".join(element(*part) for part in parts))

    compressed = zlib.compress(variable(b"ab", 1, 2, 3, 4)) + b"x"
    assert len(compressed) % 8, "nothing fills up what is compressed"
    raw = bytes(126) + b"MI" + struct.pack(">2I", 15, len(compressed)) + compressed + variable(b"c", *range(6))
    assert matlab_files.matrix(raw, "ab", 1000).tolist() == [[1, 3], [2, 4]]
    assert matlab_files.matrix(raw, "c", 1000).tolist() == [[0, 2, 4], [1, 3, 5]]


def test_a_variable_that_inflates_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(stmnist, "_LARGEST", 1 << 20)
    header = matlab()[:128]
    bomb = zlib.compress(bytes(20 << 20))
    raw = header + struct.pack("<2I", 15, len(bomb)) + bomb
    tracemalloc.start()
    assert "unpacks to more than 1,048,576 bytes" in refused(stmnist.parse, raw, "x")
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()


def flagged(raw, offset_in_directory, value):
    """An archive in whose directory, and before whose member, two bytes are changed."""
    raw = bytearray(raw)
    for signature, back in ((b"PK\x01\x02", 0), (b"PK\x03\x04", 2)):
        at = raw.index(signature) + offset_in_directory - back
        raw[at : at + 2] = struct.pack("<H", value)
    return bytes(raw)


def inflates_further(raw):
    """It says that its member has ten bytes."""
    at = raw.index(b"PK\x01\x02") + 24
    return raw[:at] + struct.pack("<I", 10) + raw[at + 4 :]


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (flagged(zipped({"3/a.mat": matlab()}), 8, 1), "is encrypted"),
        (flagged(zipped({"3/a.mat": matlab()}), 10, 99), "neither stored nor deflated"),
        (zipped({"3/a.mat": matlab()}, zipfile.ZIP_LZMA), "neither stored nor deflated"),
        (inflates_further(zipped({"3/a.mat": bytes(20 << 20)})), "3/a.mat"),
    ],
)
def test_archives_that_cannot_be_read(archive, message, tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(archive)
    tracemalloc.start()
    text = refused(lambda: stmnist.STMNISTArchive(path).read(0))
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()
    assert message in text
    assert text.endswith("; use an intact copy")


def test_too_few_recordings_to_divide(tmp_path):
    for members in (recordings(each=1), recordings(each=2, digits=2), recordings(each=1, digits=1)):
        (tmp_path / "x.zip").write_bytes(zipped(members))
        text = refused(stmnist.STMNIST.load, tmp_path)
        assert "too few to set a fifth of each apart: use the complete archive" in text


def test_a_large_file_among_recordings_is_not_read_whole(tmp_path):
    (tmp_path / "3").mkdir()
    with (tmp_path / "3" / "sparse.bin").open("wb") as file:
        file.truncate(500_000_000)
    tracemalloc.start()
    text = refused(nmnist.NMNISTFolder(tmp_path).read, 0)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()
    assert "sparse.bin holds more than 5,000,000 bytes, expected a million events at most" in text


def test_a_recording_that_is_no_file_is_refused(tmp_path):
    (tmp_path / "3" / "folder.bin").mkdir(parents=True)
    os.mkfifo(tmp_path / "3" / "pipe.bin")
    folder = nmnist.NMNISTFolder(tmp_path)
    for record in (0, 1):
        assert ".bin is gone, or is no file" in refused(folder.read, record)


@pytest.mark.parametrize("name", ["é.bin".encode(), "三.bin".encode(), b"\xff.bin"])
def test_recordings_may_have_any_name(name, tmp_path):
    below = tmp_path / "3"
    below.mkdir()
    path = Path(os.fsdecode(os.path.join(os.fsencode(below), name)))
    path.write_bytes(nmnist_samples(tmp_path)[0])
    folder = nmnist.NMNISTFolder(tmp_path)
    assert len(folder.read(0).times) == 20
    path.write_bytes(b"x")
    assert refused(folder.read, 0).isprintable()


@pytest.mark.parametrize("name", ["nmnist", "shd"])
def test_an_archive_that_is_there_needs_its_checksum(name, tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    folder = tmp_path / name
    folder.mkdir()
    sample = tmp_path / "sample.h5"
    write_shd(sample)
    if name == "nmnist":
        raws = {part: zipped({f"{part}/3/1.bin": nmnist_samples(tmp_path)[0]}) for part in ("Train", "Test")}
        sums = {part: ("http://127.0.0.1:9/", hashlib.md5(raw).hexdigest()) for part, raw in raws.items()}
        source = replace(nmnist.NMNIST, archives=sums)
    else:
        raws = {part: zipped({part: sample.read_bytes()}) for part in ("shd_train.h5", "shd_test.h5")}
        sums = {part: hashlib.md5(raw).hexdigest() for part, raw in raws.items()}
        source = replace(shd.SHD, place="http://127.0.0.1:9/", checksums=sums)
    monkeypatch.setitem(data.SOURCES, name, source)
    first, *_ = raws
    for part, raw in raws.items():
        (folder / f"{part}.zip").write_bytes(raw if part != first else raw + b"x")
    text = refused(data.load, name)
    assert re.search(rf"{first}\.zip has MD5 [0-9a-f]{{32}}, expected [0-9a-f]{{32}}: delete it", text)
    assert not (folder / first).exists()
    (folder / f"{first}.zip").write_bytes(raws[first])
    assert len(data.load(name).train) in (1, 10)
    assert sorted(x.name for x in folder.iterdir()) == sorted(raws)


def test_an_archive_without_what_it_is_for_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(zipped({"Other/1": b"x"}))
    assert "holds no Train; delete it and fetch it again" in refused(download.unpack, path, [tmp_path / "Train"], 99)


def test_an_interrupted_unpacking_leaves_nothing_under_its_name(tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    path.write_bytes(zipped({"Train/1": b"x", "Train/2": b"y"}))

    def interrupted(self, folder):
        self.extract("Train/1", folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(zipfile.ZipFile, "extractall", interrupted)
        download.unpack(path, [tmp_path / "Train"], 99)
    assert not (tmp_path / "Train").exists()
    download.unpack(path, [tmp_path / "Train"], 99)
    assert sorted(x.name for x in (tmp_path / "Train").iterdir()) == ["1", "2"]
    assert [x.name for x in tmp_path.iterdir()] == ["Train"]


@pytest.mark.parametrize("shape", [(0, 2**32 - 1, 2**32 - 1), (2**32 - 1, 0, 5), (0,), (0, 0, 0)])
def test_an_idx_file_of_nothing_is_refused(shape):
    raw = b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    assert f"x holds nothing, its shape is {shape}; delete it" in refused(mnist.parse_idx, raw, "x")
