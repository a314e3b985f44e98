"""Checkpoints that are truncated, foreign or hostile; folders that cannot be written."""

import io
import os
import pickle
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from izhi import IzhiError, cli
from izhi.experiments import build, trained
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import experiment
from izhi.spec import ValueEncoderSpec
from izhi.training import checkpoint


def content(**changes):
    e = experiment({"dataset": "iris", "hidden": "8", **changes})
    network = build.network(e, 4, 3)
    return {
        "config": e.flat(plain=True), "inputs": 4, "classes": ["a", "b", "c"],
        "model": network.state_dict(), "optimizer": {}, "epoch": 1, "history": [{"epoch": 1}], "warnings": [],
    }  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, content())
    return path


def test_round_trip(saved):
    loaded = checkpoint.load(saved)
    for name, tensor in content()["model"].items():
        assert torch.equal(loaded["model"][name], tensor)
    assert loaded["config"] == content()["config"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 0.999))
def test_truncated(saved, part):
    whole = saved.read_bytes()
    cut = saved.with_name("cut.pt")
    cut.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(IzhiError, match="truncated or no checkpoint"):
        checkpoint.load(cut)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile-code-ran",)


def test_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({**content(), "format": 1, "extra": Hostile()}, "checkpoint.pt")
    with pytest.raises(IzhiError, match="holds code or objects.*not loaded"):
        checkpoint.load(tmp_path / "checkpoint.pt")
    with open("plain.pt", "wb") as file:
        pickle.dump(Hostile(), file)
    with pytest.raises(IzhiError, match="no checkpoint"):
        checkpoint.load(tmp_path / "plain.pt")
    assert not (tmp_path / "hostile-code-ran").exists()


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    with pytest.raises(IzhiError, match="unpacks to more than its own size"):
        checkpoint.load(path)


def test_other_contents(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(IzhiError, match="is not a checkpoint of izhi"):
        checkpoint.load(path)
    torch.save({**content(), "format": 99}, path)
    with pytest.raises(IzhiError, match="has format 99, expected 1"):
        checkpoint.load(path)
    with pytest.raises(IzhiError, match="is not there"):
        checkpoint.load(tmp_path / "none.pt")


def test_another_network(saved):
    wanted = experiment({"dataset": "iris", "hidden": "9"})
    with pytest.raises(IzhiError, match=r"from another network: hidden is \[8\] there, expected \[9\]"):
        RunFolder(saved.parent).progress(wanted)
    with pytest.raises(IzhiError, match="from another network: .* has shape"):
        checkpoint.load_weights(saved, build.network(wanted, 4, 3), content()["model"])
    other = build.network(experiment({"dataset": "iris", "hidden": "8", "connection": "recurrent"}), 4, 3)
    with pytest.raises(IzhiError, match="is in one of the two only"):
        checkpoint.load_weights(saved, other, content()["model"])


def test_a_full_disk_keeps_the_older_checkpoint(saved):
    resource = pytest.importorskip("resource", reason="limits of files are of Unix")
    before = saved.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
        with pytest.raises(IzhiError, match="cannot write .*checkpoint.pt"):
            checkpoint.save(saved, content(hidden="512"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["checkpoint.pt"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IzhiError, match="cannot write"):
        checkpoint.write_bytes(tmp_path / "file" / "x", b"1")


def test_run_folder_of_other_settings(tmp_path):
    folder = RunFolder(tmp_path)
    folder.open(experiment({"dataset": "iris", "seed": 1}), resume=False)
    with pytest.raises(IzhiError, match="already holds a run; resume it with --resume"):
        folder.open(experiment({"dataset": "iris", "seed": 1}), resume=False)
    with pytest.raises(IzhiError, match="holds a run with seed = 1, not 2"):
        folder.open(experiment({"dataset": "iris", "seed": 2}), resume=True)
    folder.open(experiment({"dataset": "iris", "seed": 1, "epochs": 99}), resume=True)


def test_buffer_is_what_torch_loads(saved):
    assert torch.load(io.BytesIO(saved.read_bytes()), weights_only=True)["format"] == 1


def test_weights_that_do_not_say_what_their_neurons_are_still_load(saved):
    older = {name: x for name, x in content()["model"].items() if not name.endswith("_extra_state")}
    assert len(older) < len(content()["model"])
    network = build.network(experiment({"dataset": "iris", "hidden": "8", "seed": 1}), 4, 3)
    checkpoint.load_weights(saved, network, older)
    assert all(torch.equal(network.state_dict()[name], x) for name, x in older.items())


def test_weights_of_other_neurons(saved):
    other = build.network(experiment({"dataset": "iris", "hidden": "8", "neuron": "hls-ip", "gain": 2.0}), 4, 3)
    with pytest.raises(IzhiError, match="from another network: layers.0.neuron: its neurons have .*gain"):
        checkpoint.load_weights(saved, other, content()["model"])


def test_a_checkpoint_describes_its_encoder(tmp_path):
    run = tmp_path / "run"
    words = ["--dataset", "iris", "--hidden", "4", "--epochs", "1", "--steps", "5", "--encoding", "latency", "--quiet"]
    assert cli.main(["train", *words, "--out", str(run)]) == 0
    whole = checkpoint.load(run / checkpoint.NAME)
    assert whole["encoder"] == ValueEncoderSpec("latency", 5, (4,)).table()
    other = {**whole, "encoder": {**whole["encoder"], "steps": 6}}
    checkpoint.save(run / checkpoint.NAME, other)
    assert trained.load(run).encoder.steps == 6, "the description is what evaluates"
    checkpoint.save(run / checkpoint.NAME, {name: x for name, x in other.items() if name != "encoder"})
    assert trained.load(run).encoder.steps == 5, "older checkpoints have none"
    checkpoint.save(run / checkpoint.NAME, {**whole, "encoder": {"kind": "Morse"}})
    with pytest.raises(IzhiError, match="describes another encoder: unknown encoder 'Morse'"):
        trained.load(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": -1}, "has epoch -1, expected a whole number"),
        ({"epoch": True}, "has epoch True, expected a whole number"),
        ({"epoch": 2**63}, "has epoch 9223372036854775808, expected a whole number"),
        ({"epoch": 1.0}, r"has epoch 1\.0, expected a whole number"),
        ({"classes": []}, r"has classes \[\], expected a list of texts, at least one"),
        ({"classes": [1]}, r"has classes \[1\], expected a list of texts, at least one"),
    ],
    ids=str,
)  # fmt: skip
def test_values_of_another_kind(changes, message):
    checkpoint.expect("x", content(), {"epoch": checkpoint.WHOLE, "classes": checkpoint.CLASSES})
    with pytest.raises(IzhiError, match=message):
        checkpoint.expect("x", content() | changes, {"epoch": checkpoint.WHOLE, "classes": checkpoint.CLASSES})
