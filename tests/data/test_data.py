"""Data sets: embedded ones, IDX files good and bad, downloads, splits."""

import dataclasses
import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import example, given, strategies as st

from izhi import IzhiError, data
from izhi.data import mnist
from izhi.deprecation import RenamedWarning
from izhi.errors import SettingError

PARTS = {"train-images-idx3-ubyte": (12, 4, 3), "train-labels-idx1-ubyte": (12,),
         "t10k-images-idx3-ubyte": (5, 4, 3), "t10k-labels-idx1-ubyte": (5,)}  # fmt: skip


def idx(array):
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def small_mnist(monkeypatch):
    """Four tiny IDX files, known by their checksums, without mirrors; {stem: bytes}."""
    random = np.random.default_rng(0)
    files = {}
    for stem, shape in PARTS.items():
        high = 10 if "labels" in stem else 256
        files[stem] = idx(random.integers(0, high, shape, np.uint8))
    sums = {stem: hashlib.md5(raw).hexdigest() for stem, raw in files.items()}
    small = dataclasses.replace(mnist.MNIST, mirrors=(), checksums=sums)
    monkeypatch.setitem(data.SOURCES, "mnist", small)
    return files


def mirrored(monkeypatch, *addresses):
    """Let the small files be fetched from there."""
    source = dataclasses.replace(data.SOURCES["mnist"], mirrors=addresses)
    monkeypatch.setitem(data.SOURCES, "mnist", source)


@pytest.mark.parametrize(
    ("name", "features", "classes", "train", "test"),
    [("digits", 64, 10, 1437, 360), ("iris", 4, 3, 120, 30), ("wine", 13, 3, 142, 36),
     ("breast_cancer", 30, 2, 455, 114)],
)  # fmt: skip
def test_embedded(name, features, classes, train, test):
    d = data.load(name)
    assert (d.features, len(d.classes), len(d.train), len(d.test)) == (
        features,
        classes,
        train,
        test,
    )
    x, y = d.train.batch(slice(None))
    assert x.dtype == torch.float32
    assert (x.min(), x.max()) == (0, 1)
    assert sorted(y.unique().tolist()) == list(range(classes))
    again = data.load(name)
    assert torch.equal(d.test.inputs, again.test.inputs)


def test_real_mnist(real_data, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(real_data))
    d = data.load("mnist")
    assert d.train.inputs.shape == (60_000, 784)
    assert d.test.inputs.shape == (10_000, 784)
    assert d.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert all(problem is None for _, problem in data.check("mnist"))


@pytest.mark.parametrize("zipped", [False, True])
def test_files_gzipped_or_not(small_mnist, tmp_path, monkeypatch, zipped):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for stem, raw in small_mnist.items():
        path = tmp_path / "mnist" / (stem + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(raw) if zipped else raw)
    d = data.load("mnist")
    assert d.train.inputs.shape == (12, 12)
    assert len(d.test) == 5


@given(cut=st.integers(0, 159))
def test_a_truncated_idx_is_never_read(cut):
    raw = idx(np.zeros((12, 4, 3), np.uint8))
    assert len(raw) == 160
    with pytest.raises(IzhiError, match=r"truncated|no IDX file"):
        mnist.parse_idx(raw[:cut], "x")


#: Sizes of one to three dimensions, and values that may be as many.
HEADED = st.builds(
    lambda sizes, values: struct.pack(f">HBB{len(sizes)}I", 0, 8, len(sizes), *sizes) + values,
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.binary(max_size=64),
)


@example(junk=idx(np.zeros((2, 3, 4), np.uint8)))
@given(junk=st.binary(max_size=200) | HEADED)
def test_junk_is_an_array_of_its_own_length_or_an_error(junk):
    try:
        array = mnist.parse_idx(junk, "x")
    except IzhiError:
        return
    assert len(junk) == array.size + 4 + 4 * array.ndim


def test_a_header_that_promises_too_much_takes_no_memory():
    raw = b"\x00\x00\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    with pytest.raises(IzhiError, match="truncated or damaged"):
        mnist.parse_idx(raw, "x")


def test_damaged_files(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    for stem, raw in small_mnist.items():
        (folder / f"{stem}.gz").write_bytes(gzip.compress(raw))
    bad = folder / "train-images-idx3-ubyte.gz"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-20])
    with pytest.raises(IzhiError, match=r"train-images.*truncated or damaged.*fetch it again"):
        data.load("mnist")
    other = bytearray(small_mnist["train-images-idx3-ubyte"])
    other[-1] ^= 1
    bad.write_bytes(gzip.compress(bytes(other)))
    with pytest.raises(IzhiError, match="has MD5 .* expected"):
        data.load("mnist")
    assert [problem is None for _, problem in data.check("mnist")] == [False, True, True, True]


def test_a_file_that_unpacks_too_large_is_refused(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "_LARGEST", 1000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(IzhiError, match="unpacks to more than 1,000 bytes"):
        mnist.unpack(path)


def test_download(small_mnist, server, tmp_path, monkeypatch):
    folder, address = server
    mirrored(monkeypatch, "http://127.0.0.1:9/", address)
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "root"))
    for stem, raw in small_mnist.items():
        (folder / f"{stem}.gz").write_bytes(gzip.compress(raw))
    assert len(data.load("mnist").train) == 12
    mirrored(monkeypatch)
    assert len(data.load("mnist").train) == 12, "the second time needs no network"


@pytest.mark.parametrize("damage", ["truncated", "other", "absent"])
def test_a_failed_download_leaves_nothing(small_mnist, server, tmp_path, monkeypatch, damage):
    folder, address = server
    root = tmp_path / "root"
    mirrored(monkeypatch, address)
    monkeypatch.setenv("IZHI_DATA", str(root))
    zipped = gzip.compress(small_mnist["train-images-idx3-ubyte"])
    if damage == "truncated":
        (folder / "train-images-idx3-ubyte.gz").write_bytes(zipped[:-10])
    elif damage == "other":
        (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x01"))
    with pytest.raises(IzhiError, match="cannot be downloaded .* set IZHI_DATA"):
        data.load("mnist")
    assert list((root / "mnist").iterdir()) == []


def test_an_interrupted_download_leaves_nothing(small_mnist, server, tmp_path, monkeypatch):
    folder, address = server
    mirrored(monkeypatch, address)
    monkeypatch.setattr(mnist, "verify", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    for stem, raw in small_mnist.items():
        (folder / f"{stem}.gz").write_bytes(gzip.compress(raw))
    with pytest.raises(KeyboardInterrupt):
        data.SOURCES["mnist"].fetch(tmp_path / "root", lambda line: None)
    assert list((tmp_path / "root").iterdir()) == []


def test_real_mirrors_are_known():
    mirrors = mnist.MNIST.mirrors + mnist.FASHION_MNIST.mirrors
    assert len(mirrors) == 3
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in mirrors)


def test_why_no_mirror_gave_a_file(small_mnist, server, tmp_path, monkeypatch):
    _, address = server
    mirrored(monkeypatch, "http://127.0.0.1:9/", address, "nowhere:")
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "root"))
    with pytest.raises(IzhiError) as error:
        data.load("mnist")
    text = str(error.value)
    assert "\n" not in text
    assert "http://127.0.0.1:9/train-images-idx3-ubyte.gz: [Errno 111] Connection refused;" in text
    assert f"{address}train-images-idx3-ubyte.gz: 404 Client Error" in text
    assert "nowhere:train-images-idx3-ubyte.gz: " in text
    assert len(text) < 800


def test_what_is_downloaded_is_reported(small_mnist, server, tmp_path, monkeypatch, capfd):
    folder, address = server
    mirrored(monkeypatch, address)
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "root"))
    for stem, raw in small_mnist.items():
        (folder / f"{stem}.gz").write_bytes(gzip.compress(raw))
    lines = []
    assert data.fetch("mnist", lines.append) == tmp_path / "root" / "mnist"
    assert lines == [f"downloading {stem}.gz" for stem in small_mnist]
    assert capfd.readouterr().err == "", "pooch says nothing by itself"


def test_a_fold_is_of_embedded_data_sets_only():
    with pytest.raises(SettingError, match="fold or best_inputs is given, but mnist is none of"):
        data.load("mnist", fold=1)


def test_every_source_says_what_it_is():
    for name, source in data.SOURCES.items():
        assert source.name == name
        assert source.about == data.DATASETS[name]
        assert data.has_events(name) == (source.window is not None) == (data.usual_window(name) is not None)
    assert sorted([*data.EMBEDDED, *data.FILES]) == sorted(data.SOURCES)


def test_split_is_fixed_by_seed_and_stratified():
    samples = data.load("digits").train
    train, held = data.split(samples, 0.2, 3)
    again = data.split(samples, 0.2, 3)
    other = data.split(samples, 0.2, 4)
    assert len(train) + len(held) == len(samples)
    assert torch.equal(held.inputs, again[1].inputs)
    assert not torch.equal(held.labels, other[1].labels) or not torch.equal(held.inputs, other[1].inputs)
    shares = torch.bincount(held.labels) / torch.bincount(samples.labels)
    assert (shares - 0.2).abs().max() < 0.01
    whole, none = data.split(samples, 0.0, 0)
    assert (len(whole), len(none)) == (len(samples), 0)


def test_unknown_names():
    with pytest.raises(IzhiError, match=r"unknown data set 'mnits' \(did you mean 'mnist'"):
        data.load("mnits")
    with pytest.raises(IzhiError, match="validation is 1.0, expected a share"):
        data.split(data.load("iris").train, 1.0, 0)


def test_five_folds_test_every_sample_once():
    folds = [data.load("iris", fold=k) for k in range(5)]
    tested = torch.cat([d.test.labels for d in folds])
    assert torch.equal(tested.bincount(), torch.tensor([50, 50, 50]))
    for d in folds:
        assert len(d.train) == 120
        assert d.test.labels.bincount().tolist() == [10, 10, 10]
        assert d.train.inputs.min() == 0
        assert d.train.inputs.max() == 1
    whole = [row.tolist() for d in folds for row in d.test.inputs]
    assert len({tuple(x) for x in whole}) > 140


def test_the_best_inputs_are_those_whose_classes_differ():
    d = data.load("iris", best_inputs=2)
    assert d.shape == (2,)
    assert d.train.inputs.shape == (120, 2)
    assert torch.equal(d.train.inputs, data.load("iris").train.inputs[:, 2:])  # of petals
    with pytest.raises(SettingError, match="best_inputs is 5, but iris has 4 inputs"):
        data.load("iris", best_inputs=5)


def test_old_names_warn():
    with pytest.warns(RenamedWarning, match=r"izhi.data.found is now izhi.data.recorded_names"):
        assert data.found() == data.recorded_names()
