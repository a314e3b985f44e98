"""A label for each step of a series: data of your own, training, evaluation, traces, and the ECGs of qtdb."""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import pytest
import torch

from izhi import LIF, data, encoding
from izhi.cli import main
from izhi.connections import ExponentialSynapse, Linear
from izhi.data import NO_LABEL, Dataset, qtdb
from izhi.errors import DataError, IzhiError, SettingError
from izhi.experiments import trained
from izhi.network import Layer, Network
from izhi.training import LOSSES, Backprop, Data, Optimizer, Trainer, start_fabric


def pulses(count=60, steps=20, seed=0):
    """Series of two channels, of which the larger one changes with the class, every five steps."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, (count, steps // 5)).repeat(5, 1)
    return np.stack([y == 0, y == 1], -1) * 0.7 + 0.3 * random.random((count, steps, 2)), y


def a_network():
    torch.manual_seed(0)
    return Network([Layer(Linear(2, 20), LIF())], readout=Linear(20, 2, synapse=ExponentialSynapse(2.0)))


def a_trainer(**changes):
    options = {"epochs": 6, "batch_size": 16, "loss": LOSSES["step"], **changes}
    return Trainer(Backprop(Optimizer(learning_rate=0.02)), start_fabric("cpu", precision="32-true"), **options)


def test_labels_of_steps_are_learned_and_accuracy_is_that_of_steps():
    x, y = pulses()
    row = a_trainer().fit(a_network(), Dataset.of(x, y, over_time=True)).history[-1]
    assert row["test_accuracy"] > 0.85  # a class of each sample would give half
    assert row["test_steps"] == 12 * 20


def test_loss_and_accuracy_are_those_of_labelled_steps():
    output, labels = torch.randn(7, 3, 4), torch.randint(4, (3, 7))
    labels[0, 2:] = labels[2, 3] = NO_LABEL
    known = [(t, b) for b in range(3) for t in range(7) if labels[b, t] != NO_LABEL]
    flat = torch.stack([output[t, b] for t, b in known]), torch.tensor([labels[b, t] for t, b in known])
    torch.testing.assert_close(LOSSES["step"](output, labels), torch.nn.functional.cross_entropy(*flat))
    predicted, wanted = LOSSES["step"].compare(output, labels)
    assert (predicted == wanted).sum() == (flat[0].argmax(1) == flat[1]).sum()
    assert torch.equal(LOSSES["step"](output, labels[:, :5]), LOSSES["step"](output[:5], labels[:, :5]))


def test_series_of_unequal_lengths_keep_the_labels_of_their_steps():
    x, y = pulses()
    lengths = np.random.default_rng(1).integers(5, 21, len(x))
    arrays, labels = (
        [one[:n] for one, n in zip(x, lengths, strict=True)],
        [one[:n] for one, n in zip(y, lengths, strict=True)],
    )
    train = Dataset.of(arrays, labels, test=(arrays, labels), over_time=True).train
    assert [(row != NO_LABEL).sum() for row in train.labels] == lengths.tolist()
    padded = np.where(np.arange(20) < lengths[:, None], y, NO_LABEL)
    own = Dataset.of(arrays, labels, test=(arrays, padded), over_time=True)
    assert torch.equal(own.test.labels, own.train.labels)
    coder = encoding.SeriesEncoder("current", 20, 2, padded=True)
    row = a_trainer().fit(a_network(), Data(own.train, own.test), coder).history[-1]
    assert (row["test_accuracy"] > 0.85, row["test_steps"]) == (True, lengths.sum())


def test_it_goes_on_exactly(tmp_path):
    x, y = pulses()
    own = Dataset.of(x, y, over_time=True)
    whole = a_trainer(epochs=3).fit(a_network(), own)
    a_trainer(epochs=1, checkpoint=tmp_path / "run.pt").fit(a_network(), own)
    rest = a_trainer(epochs=3, checkpoint=tmp_path / "run.pt").fit(a_network(), own)
    assert all(torch.equal(rest.network[name], value) for name, value in whole.network.items())
    assert [row["train_accuracy"] for row in rest.history] == [row["train_accuracy"] for row in whole.history]


@pytest.mark.slow
def test_commands_on_a_file_of_your_own(tmp_path, capsys):
    x, y = pulses()
    path, run = tmp_path / "own.npz", tmp_path / "run"
    np.savez(path, x=x, y=y, over_time=True)
    common = ["train", "--dataset", str(path), "--neuron", "lif", "--hidden", "12", "--accelerator", "cpu"]
    own = [*common, "--steps", "20", "--loss", "step", "--readout", "membrane", "--tau", "2", "--learning-rate", ".02"]
    assert main([*own, "--epochs", "6", "--out", str(run)]) == 0
    assert " % of steps" in capsys.readouterr().out
    assert "240, each with a label: accuracy is that of steps" in (run / "report.md").read_text()
    evaluated, shown = tmp_path / "evaluated.json", tmp_path / "shown.json"
    assert main(["evaluate", str(run), "--json", str(evaluated)]) == 0
    assert "% of 240 steps of 12" in capsys.readouterr().out
    of_steps = json.loads(evaluated.read_text())
    assert of_steps["test_steps"] == np.sum(of_steps["confusion"]) == 240
    right = np.trace(of_steps["confusion"]) / 240
    assert of_steps["test_accuracy"] == pytest.approx(right)
    assert right == pytest.approx(trained.load(run).history[-1]["test_accuracy"])
    assert main(["show", str(run), "--sample", "1", "--json", str(shown)]) == 0
    trace = json.loads(shown.read_text())
    assert len(trace["label"]) == len(trace["answer"]) == len(trace["scores"]) == 20
    share = np.mean([a == b for a, b in zip(trace["label"], trace["answer"], strict=True)])
    assert f"sample 1: {100 * share:.1f} % of 20 steps right" in capsys.readouterr().out
    assert (run / "sample-1.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--loss count --steps 20", "samples have a label for each step, which the loss does not use; choose the loss"),
        ("--loss step --steps 10", "steps is 10, but samples have a label for each of 20 steps; choose steps 20"),
        ("--loss step --steps 20 --exclude-classes 1", "exclude_classes is 1, but"),
    ],
)
def test_settings_that_do_not_fit(options, message, tmp_path, capsys):
    x, y = pulses()
    np.savez(tmp_path / "own.npz", x=x, y=y, over_time=True)
    out = ["--dataset", str(tmp_path / "own.npz"), "--out", str(tmp_path / "run")]
    assert main(["train", *out, "--hidden", "4", *options.split()]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["membrane", "current"])
def test_integers_answer_in_each_step_as_torch_does(readout, tmp_path, capsys):
    x, y = pulses()
    np.savez(tmp_path / "own.npz", x=x, y=y, over_time=True)
    own = ["--dataset", str(tmp_path / "own.npz"), "--loss", "step", "--steps", "20", "--epochs", "2", "--quiet"]
    run, rounded = str(tmp_path / "run"), tmp_path / "rounded"
    network = ["--neuron", "lif", "--hidden", "8", "--readout", readout, "--learning-rate", "0.05"]
    own += ["--encoding", "current", "--levels", "15"]
    assert main(["train", *own, *network, "--out", run]) == 0
    assert main(["quantize", run, "--weights", "8", "--epochs", "1", "--quiet", "--out", str(rounded)]) == 0
    artifact, of_torch, of_integers = str(rounded / "network.izhi"), tmp_path / "t.json", tmp_path / "i.json"
    assert main(["export", str(rounded), "--samples", "9"]) == 0
    assert main(["evaluate", artifact, "--against", str(rounded)]) == 0
    assert main(["evaluate", str(rounded), "--json", str(of_torch)]) == 0
    assert main(["evaluate", artifact, "--json", str(of_integers)]) == 0
    assert "% of 240 steps of 12, in integers" in capsys.readouterr().out
    one, two = (json.loads(path.read_text()) for path in (of_torch, of_integers))
    assert one["confusion"] == two["confusion"]
    assert np.sum(one["confusion"]) == 240
    assert one["test_accuracy"] == pytest.approx(two["test_accuracy"])
    capsys.readouterr()
    assert main(["run", artifact, "--samples", str(rounded / "samples.npz"), "--compare"]) == 0
    assert "% of 180 steps of 9 samples" in capsys.readouterr().out
    assert main(["run", artifact, "--device", "c", "--samples", "3", "--compare"]) == 0
    assert main(["evolve", artifact, "--epochs", "1", "--out", str(tmp_path / "evolved")]) == 2
    assert "the network has scores of each step, expected one class for a sample" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda x, y: Dataset.of(x, y[:, 1:], over_time=True),
            r"labels of sample 0 have shape \(19,\), expected \(20,",
        ),
        (lambda x, y: Dataset.of(x, y[1:], over_time=True), "labels are those of 59 samples, expected 60"),
        (lambda x, y: Dataset.of(x, y - 2, over_time=True), "sample 0 has the label -2 at step .*, expected a whole"),
        (
            lambda x, y: Dataset.of(x, y + 0.5, over_time=True),
            r"sample 0 has the label .\.5 at step 0, expected a whol",
        ),
        (lambda x, y: Dataset.of(x, 0 * y - 1, over_time=True), "sample 0 has no label at any step; leave it out"),
        (lambda x, y: Dataset.of(x, y, classes=["a"], over_time=True), r"has the label 1, expected 0 to 0"),
        (lambda x, y: Dataset.of(x, y), r"labels have shape \(60, 20\), expected \(60,\): one for each sample"),
        (
            lambda x, y: a_trainer(loss=LOSSES["mean"]).fit(a_network(), Dataset.of(x, y, over_time=True)),
            "choose the loss",
        ),
        (
            lambda x, y: a_trainer().fit(a_network(), Dataset.of(x, y + 1, over_time=True, classes="abc")),
            "has 2 outputs",
        ),
    ],
)
def test_labels_that_do_not_fit(make, message):
    with pytest.raises((DataError, SettingError), match=message), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(*pulses())


def ecg(count, steps=30, seed=0):
    """The bytes of a file as those of qtdb."""
    scipy_io = pytest.importorskip("scipy.io")
    random = np.random.default_rng(seed)
    x = random.integers(0, 2, (count, steps + 1, 4)).astype(np.int16)
    y = np.eye(6, dtype=np.uint8)[random.integers(0, 6, (count, steps + 1))]
    x[:, -1], y[:, -1], y[0, 3] = -1, 0, 0
    buffer = io.BytesIO()
    scipy_io.savemat(buffer, {"x": x, "y": y, "t": y[..., 0]}, do_compression=True)
    return buffer.getvalue(), x[:, :-1], y[:, :-1]


def test_ecgs_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    (tmp_path / "qtdb").mkdir()
    for seed, name in enumerate(qtdb.CHECKSUMS):
        raw, x, y = ecg(20, seed=seed)
        (tmp_path / "qtdb" / name).write_bytes(raw)
    own = data.load("qtdb")
    assert (own.classes, own.shape, len(own.train)) == (("P", "PQ", "QR", "RS", "ST", "TP"), (30, 4), 20)
    assert torch.equal(own.test.labels, torch.from_numpy(y.argmax(-1)))
    assert np.array_equal(own.test.batch(slice(None))[0].dense(), x)
    assert own.test.labels[0, 3] == 0  # a step without a wave is P, as published
    (tmp_path / "qtdb" / "QTDB_test.mat").write_bytes(raw[:400])
    assert "is damaged" in data.check("qtdb")[0][1]
    for change, message in (({"x": x[..., :3]}, "has x"), ({"x": x + 5, "y": y}, "has other values")):
        buffer = io.BytesIO()
        pytest.importorskip("scipy.io").savemat(buffer, {"y": y, **change})
        with pytest.raises(DataError, match=message):
            qtdb.parse(buffer.getvalue(), "file")


def test_a_missing_ecg_says_where_its_files_belong(tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    monkeypatch.setattr(qtdb, "ADDRESS", "http://127.0.0.1:9/")
    with pytest.raises(IzhiError, match="QTDB_train.mat cannot be downloaded .* into that folder"):
        data.load("qtdb")


def test_real_ecgs(real_data):
    if not (real_data / "qtdb").is_dir():
        pytest.skip("IZHI_DATA has no qtdb/")
    own = data.load("qtdb")
    assert (len(own.train), len(own.test), own.shape) == (618, 141, (1300, 4))
    assert own.train.labels.min() == 0
    assert own.train.labels.max() == 5
