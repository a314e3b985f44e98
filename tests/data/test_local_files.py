"""Data sets in files of one's own, and those that packages bring."""

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
