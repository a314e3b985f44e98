"""Data sets in files of one's own, and those that packages bring."""

import os

import numpy as np
import pytest
from PIL import Image

from izhi import data
from izhi.cli import main
from izhi.data import catalogue
from izhi.errors import DataError, SettingError
from izhi.experiments.run_folder import load


def separable(count=60):
    random = np.random.default_rng(0)
    y = np.arange(count) % 3
    return random.random((count, 6)) * 0.3 + np.repeat(np.eye(3), 2, 1)[y] * 0.7, y


@pytest.fixture
def archive(tmp_path):
    x, y = separable()
    np.savez_compressed(tmp_path / "own.npz", x=x, y=y, classes=["a", "b", "c"])
    return tmp_path / "own.npz"


def images(folder, count=6):
    for name, columns in (("left", slice(0, 4)), ("right", slice(4, 8))):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            grey = np.zeros((8, 8), np.uint8)
            grey[:, columns] = 200 + k
            Image.fromarray(grey).save(folder / name / f"{k}.png")


def test_a_file_of_arrays_is_trained_evaluated_and_gone_on_with(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--dataset", str(archive), "--hidden", "16", "--steps", "8", "--batch-size", "8", "--neuron", "lif",
             "--learning-rate", "0.02", "--readout", "current", "--quiet"]  # fmt: skip
    assert main(["train", *words, "--epochs", "6"]) == 0
    [run] = (tmp_path / "runs").iterdir()
    assert "own.npz" in run.name
    assert load(run).progress.history[-1]["test_accuracy"] > 0.9
    assert load(run).classes == ("a", "b", "c")
    assert main(["train", "--resume", "--out", str(run), "--epochs", "7", "--quiet"]) == 0
    assert main(["evaluate", str(run)]) == 0
    assert main(["data", "verify", str(archive)]) == 0
    assert "48 training and 12 test samples" in capsys.readouterr().out


def test_training_and_test_arrays_apart(tmp_path):
    x, y = separable()
    np.savez(tmp_path / "two.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    found = data.load(str(tmp_path / "two.npz"))
    assert (len(found.train), len(found.test), found.name) == (40, 20, "two")


def test_a_folder_of_images_and_of_arrays(tmp_path):
    images(tmp_path / "a")
    found = data.load(str(tmp_path / "a"))
    assert (found.classes, found.shape, len(found.train) + len(found.test)) == (("left", "right"), (8, 8), 12)
    images(tmp_path / "b" / "train")
    images(tmp_path / "b" / "test", 2)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "b" / "test" / "left" / "x.png")
    with pytest.raises(DataError, match=r"x.png has shape \(3, 8, 8\), expected \(8, 8\)"):
        data.load(str(tmp_path / "b"))
    (tmp_path / "b" / "test" / "left" / "x.png").unlink()
    assert len(data.load(str(tmp_path / "b")).test) == 4
    for name in ("u", "v"):
        (tmp_path / "c" / name).mkdir(parents=True)
        for k in range(5):
            np.save(tmp_path / "c" / name / f"{k}.npy", np.full((2, 3, 4), k, np.float32))
    assert data.load(str(tmp_path / "c")).shape == (2, 3, 4)


class Brought:
    name, about, window = "brought", "what a package brings", None

    def is_there(self, folder):
        return True

    def fetch(self, folder, report):
        report("nothing to do")

    def check(self, folder):
        return []

    def load(self, folder):
        return data.Dataset.of(*separable(), name=self.name)


@pytest.fixture
def _other_packages():
    catalogue.provided.cache_clear()
    yield
    catalogue.provided.cache_clear()


@pytest.mark.usefixtures("_other_packages")
def test_a_package_brings_a_data_set(monkeypatch, tmp_path):
    class Entry:
        name = "brought"

        def load(self):
            return Brought()

    monkeypatch.setattr(catalogue, "entry_points", lambda group: [Entry()] if group == "izhi.datasets" else [])
    assert data.load("brought").features == 6
    assert not data.has_events("brought")
    words = ["train", "--dataset", "brought", "--hidden", "4", "--epochs", "1", "--steps", "4", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    with pytest.raises(SettingError, match=r"did you mean 'brought'"):
        data.load("brough")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3)}, "holds a, expected x and y, or x_train"),
        ({"x": np.zeros((3, 2))}, "own.npz: there are samples without labels"),
        ({"x": np.full((3, 2), np.nan), "y": np.arange(3)}, "own.npz: sample 0 holds numbers that are not finite"),
        ({"x": np.array([{}, {}]), "y": np.arange(2)}, "holds no arrays .*, expected a file of np.savez"),
        ({"x": np.zeros((40_000_000,), np.uint8), "y": np.arange(2)}, "unpacks to .*, more than its size justifies"),
    ],
)
def test_what_is_no_file_of_samples(tmp_path, arrays, message):
    np.savez_compressed(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=message) as error:
        data.load(str(tmp_path / "own.npz"))
    assert "\n" not in str(error.value)


def test_what_is_not_there_or_no_folder_of_classes(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "classes" / "a").mkdir(parents=True)
    (tmp_path / "classes" / "b").mkdir(parents=True)
    (tmp_path / "classes" / "a" / "x.png").write_bytes(b"no image")
    (tmp_path / "text.npz").write_text("no archive")
    for name, message in (
        ("none.npz", "is not there, expected a file .npz or .ts, or a folder of classes"),
        ("empty", "holds no folders, expected one for each class"),
        ("classes", "x.png is no image or array|cannot read"),
        ("text.npz", "text.npz holds no arrays"),
    ):
        assert main(["train", "--dataset", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert any(part in line for part in message.split("|")), line
    assert not (tmp_path / "out").exists()


SERIES = "@timeStamps false\n@classLabel true {}\n@data\n{}"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": [10**9] + [0, 1] * 9 + [0]}, "there are 1,000,000,001 classes, expected at most 4,096"),
        ({"y": [0, 1] * 10, "classes": np.array("ab")}, r"has classes of shape \(\), expected a list of names"),
        ({"y": [0, 1] * 10, "classes": np.array([], str)}, "classes is empty, expected a name for each class"),
        ({"x": np.array(3.0), "y": [0, 1]}, r"samples have shape \(\), expected \(samples, …\)"),
        ({"x": np.full((20, 4), 1e300), "y": [0, 1] * 10}, "sample 0 holds numbers that are not finite"),
        ({"y": [0, np.nan] * 10}, "sample 1 has the label nan, expected a whole number from 0"),
    ],
)
def test_arrays_that_make_no_data_set(arrays, message, tmp_path, recwarn):
    np.savez(tmp_path / "own.npz", **{"x": np.random.default_rng(0).random((20, 4)), **arrays})
    with pytest.raises(DataError, match=message):
        data.load(str(tmp_path / "own.npz"))
    assert not recwarn.list


def test_an_empty_part(tmp_path):
    x, y = separable()
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])
    with pytest.raises(DataError, match=r"test samples have shape \(0, 6\), expected \(samples, …\)"):
        data.load(str(tmp_path / "own.npz"))


@pytest.mark.parametrize("over_time", [False, True])
def test_the_largest_numbers_of_float32_are_scaled(over_time, tmp_path):
    x = np.where(np.random.default_rng(0).random((20, 6, 2)) > 0.5, 3e38, -3e38)
    np.savez(tmp_path / "own.npz", x=x, y=[0, 1] * 10, **({"over_time": True} if over_time else {}))
    values = data.load(str(tmp_path / "own.npz")).train
    values = values.values if over_time else values.inputs
    assert sorted(set(values.unique().tolist())) == [0, 1]


def test_an_image_is_what_its_content_is(tmp_path):
    images(tmp_path / "own")
    Image.new("RGB", (8, 8)).save(tmp_path / "own" / "left" / "0.eps")
    (tmp_path / "own" / "left" / "0.eps").rename(tmp_path / "own" / "left" / "0.png")
    with pytest.raises(DataError, match=r"cannot read .*0.png: no PNG, JPEG, BMP, GIF"):
        data.load(str(tmp_path / "own"))


def test_memory_that_files_declare(tmp_path, monkeypatch):
    images(tmp_path / "own")
    monkeypatch.setattr("izhi.files._MEMORY", 1000)
    for folder in (tmp_path / "own",):
        for name in folder.rglob("*.png"):  # larger than declared by their size
            Image.new("L", (40, 40)).save(name)
    with pytest.raises(DataError, match="of memory, expected at most .*; use less data, or set IZHI_MEMORY_GB=1"):
        data.load(str(tmp_path / "own"))
    monkeypatch.setenv("IZHI_MEMORY_GB", "1")
    assert data.load(str(tmp_path / "own")).shape == (40, 40)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["own.npz", "own.ts", "own/a/0.png", "own/a/0.npy"])
def test_a_pipe_is_refused_at_once(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    data.is_over_time(str(tmp_path / name.split("/")[0]))
    with pytest.raises(DataError, match="is a pipe or a device, expected a file"):
        data.load(str(tmp_path / name.split("/")[0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SERIES.format(" ".join(f"c{k}" for k in range(5000)), "1:c0\n"),
            "names 5,000 classes, expected at most 4,096",
        ),
        (SERIES.format("a b", "1:" * 70_000 + "a\n"), "has 70,000 channels, expected at most 65,536"),
    ],
)
def test_series_of_too_many_classes_or_channels(text, message, tmp_path):
    (tmp_path / "own.ts").write_text(text)
    with pytest.raises(DataError, match=message):
        data.load(str(tmp_path / "own.ts"))


def test_a_folder_named_without_its_path(tmp_path, monkeypatch):
    images(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match="there is a file or folder of that name: give it as ./own"):
        data.load("own")


def test_names_of_classes_as_labels(tmp_path):
    x, y = separable()
    names = np.array(["cat", "dog", "ant"])[y]
    np.savez(tmp_path / "one.npz", x=x, y=names)
    found = data.load(str(tmp_path / "one.npz"))
    assert found.classes == ("ant", "cat", "dog")
    np.savez(
        tmp_path / "two.npz", x_train=x, y_train=names, x_test=x[:3], y_test=names[:3], classes=["dog", "cat", "ant"]
    )
    assert data.load(str(tmp_path / "two.npz")).test.labels.tolist() == [1, 0, 2]
    np.savez(tmp_path / "bad.npz", x_train=x, y_train=names, x_test=x[:3], y_test=[0, 1, 2], classes=["dog", "cat"])
    with pytest.raises(DataError, match="bad.npz has the label 'ant', expected one of its classes: ..dog.*cat"):
        data.load(str(tmp_path / "bad.npz"))


def test_a_table_with_the_class_last(tmp_path):
    (tmp_path / "t.csv").write_text("width,length,kind\n" + "".join(f"{k},{2.5 * k},{k % 12}\n" for k in range(60)))
    found = data.load(str(tmp_path / "t.csv"))
    assert found.classes == tuple(map(str, range(12)))
    assert (found.shape, len(found.train) + len(found.test)) == ((2,), 60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv holds no rows of numbers"),
        ("a,b\n", "t.csv holds no rows of numbers"),
        ("1,2,a\n1,x,b\n", "line 2 has 'x', expected a number"),
        ("1,2,a\n1,b\n", "line 2 has 2 columns, expected 3"),
        ("1\n2\n", "line 1 has 1 columns, expected 2"),
        ("1,nan,a\n1,2,b\n", "sample 0 holds numbers that are not finite"),
        ('1,"' + "2" * 200_000 + "\n", "t.csv is no table with commas"),
    ],
)
def test_what_is_no_table(text, message, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        data.load(str(tmp_path / "t.csv"))


def series_folder(folder, ending):
    random = np.random.default_rng(0)
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for k in range(8):
            steps = random.random((5 + (k % 3 if ending == ".csv" else 0), 2))
            if ending == ".npy":
                np.save(folder / name / f"{k}.npy", steps)
            else:
                rows = "".join(f"{a},{b}\n" for a, b in steps)
                (folder / name / f"{k}.csv").write_text(f"x,y\n{rows}")


@pytest.mark.parametrize("ending", [".npy", ".csv"])
def test_a_folder_of_series(ending, tmp_path, monkeypatch, capsys):
    series_folder(tmp_path / "own", ending)
    found = data.load(str(tmp_path / "own"), over_time=True)
    assert isinstance(found.train, data.SeriesSamples)
    assert found.train.features == 2
    monkeypatch.chdir(tmp_path)
    words = ["train", "--dataset", "./own", "--hidden", "4", "--neuron", "lif", "--epochs", "1", "--steps", "4"]
    assert main([*words, "--over-time", "--encoding", "delta", "--out", "run"]) == 0
    assert main(["evaluate", "run"]) == 0
    if ending == ".npy":
        capsys.readouterr()
        assert main([*words, "--out", "values"]) == 0
        assert "arrays 5 × 2 as 10 values at once (time series: --over-time)" in capsys.readouterr().err
        assert main([*words, "--encoding", "current", "--out", "other"]) == 2
        assert "or --over-time for arrays (T, features)" in capsys.readouterr().err


def test_arrays_are_series_if_the_command_says_so(tmp_path):
    np.savez(tmp_path / "own.npz", x=np.random.default_rng(0).random((20, 6, 2)), y=[0, 1] * 10)
    assert data.load(str(tmp_path / "own.npz")).shape == (6, 2)
    assert isinstance(data.load(str(tmp_path / "own.npz"), over_time=True).train, data.SeriesSamples)
    for name in ("iris", str(tmp_path / "t.csv")):
        (tmp_path / "t.csv").write_text("1,2,a\n3,4,b\n")
        with pytest.raises(SettingError, match=r"over_time is True, but .* is no file .npz or folder of arrays"):
            data.load(name, over_time=True)
