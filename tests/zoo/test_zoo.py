"""The networks that come with Izhi: their cards are true, their files whole, and the commands that show them."""

import json
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from izhi import zoo
from izhi.cli import main
from izhi.errors import ArtifactError, CheckpointError, DataError, SettingError
from izhi.experiments import run_folder
from izhi.zoo import catalogue as cards
from izhi.zoo.pretrained import read_weights, write_weights
from tiers import slow_but

NAMES = zoo.names()
PAGE = Path(__file__).parents[2] / "docs" / "zoo.md"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A zoo of one network, whose files a test may change."""
    shutil.copytree(cards.FOLDER / "mnist-lif", tmp_path / "mnist-lif")
    monkeypatch.setattr(cards, "FOLDER", tmp_path)
    return tmp_path / "mnist-lif"


def refused(capsys, *words):
    """The line by which a command is refused."""
    assert main(["zoo", *words]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def test_all_networks_take_five_megabytes_in_a_wheel():
    assert len(NAMES) >= 8
    files = [path for path in cards.FOLDER.rglob("*") if path.is_file()]
    assert sum(len(zlib.compress(path.read_bytes())) for path in files) <= 5e6


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_true_of_its_files(name):
    network = zoo.load(name)
    card, integers = network.card, network.artifact
    assert sorted(card.files) == sorted(x.name for x in card.folder.iterdir() if x.name != cards.FILE)
    for file in card.files:
        assert card.path(file).is_file()
    assert integers.steps == card.steps == network.encoder.steps
    assert [layer.outputs for layer in integers.network.layers] == list(card.layers)
    assert integers.classes == network.classes
    assert sum(x.numel() for x in network.network.parameters() if x.requires_grad) == card.parameters
    assert network.network.neurons(network.saved.inputs) == list(card.layers)
    assert integers.provenance["config"]["weight_bits"] == card.weight_bits
    assert len(card.accuracies) == len(card.seeds)
    assert network.saved.experiment.training.seed == card.seeds[0]
    assert network.saved.experiment.data.dataset == card.dataset


@pytest.mark.parametrize("name", slow_but([x for x in NAMES if x != "nmnist-sinabs"], NAMES))
def test_samples_that_come_with_a_network_are_read_by_it(name):
    network = zoo.load(name)
    inputs, labels = network.samples()
    outcome = network.artifact.run(inputs)
    known = labels >= 0
    assert (outcome.classes == labels)[known].mean() > 0.75
    assert all(spikes.any() for spikes in outcome.spikes)


@pytest.mark.parametrize("name", [x for x in NAMES if "sinabs" not in x])
def test_networks_need_no_data_but_to_be_evaluated(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    assert main(["zoo", "run", name]) == 0
    capsys.readouterr()
    if name == "spoken-digits":  # no address is known for it
        assert "unknown data set 'speech'" in refused(capsys, "evaluate", name)


@pytest.mark.parametrize("name", [x for x in NAMES if "sinabs" not in x])
def test_the_float_network_answers_as_the_integers_do(name):
    network = zoo.load(name)
    inputs, labels = network.samples()
    levels = network.saved.experiment.coding.levels or 1
    of = network.artifact.encoding.get("encoding")
    spikes = torch.from_numpy(inputs.astype(np.float32))
    spikes = spikes / levels if of in ("current", "constant", "rows", "pixels") else spikes
    with torch.no_grad():
        output = network.network.eval()(spikes).output
    scores = network.classifier.loss.scores(output) if labels.ndim == 1 else output.transpose(0, 1)
    answers = scores.argmax(-1).numpy()
    assert (answers == network.artifact.run(inputs).classes).mean() >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_golden_spikes_are_those_of_the_file_of_nir(name, capsys):
    folder = zoo.card(name).folder
    assert main(["nir", "check", str(folder / cards.NIR), str(folder / cards.GOLDEN)]) == 0


def test_the_page_has_the_table_and_the_limits_of_the_cards():
    page = PAGE.read_text()
    for card in zoo.cards():
        accuracy = f"{100 * card.integer_accuracy:.2f}"
        assert re.search(rf"\| `{card.name}` \|.*\| {re.escape(accuracy)} \|", page), card.name
        assert f"- `{card.name}`: {card.limits}" in page


def test_the_list_is_for_people_and_for_scripts(capsys):
    assert main(["zoo"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in NAMES)
    assert main(["zoo", "list", "--json", "-"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == NAMES
    assert Path(listed[0]["folder"], "network.izhi").is_file()
    assert main(["zoo", "list", NAMES[0]]) == 0
    said = capsys.readouterr().out
    assert f"limits: {zoo.card(NAMES[0]).limits}" in said
    assert said.count(" nJ a sample, a dense network of its shape ") == len(zoo.card(NAMES[0]).nanojoules) > 0


@pytest.mark.parametrize("name", slow_but(["mnist-lif", "activities"], ["mnist-lif", "ecg", "activities", "smnist"]))
def test_a_sample_is_run_and_drawn(name, tmp_path, capsys):
    out = tmp_path / "sample.png"
    assert main(["zoo", "run", name, "--sample", "1", "--out", str(out), "--json", str(tmp_path / "r.json")]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "r.json").read_text())
    network = zoo.load(name)
    inputs, labels = network.samples()
    expected = network.artifact.run(inputs[:, 1:2])
    assert found["scores"] == expected.scores[0].tolist()
    assert found["spikes"] == [int(x.sum()) for x in expected.spikes]
    assert found["labels"] == labels[1].tolist()
    assert "figure: " in capsys.readouterr().out


def test_bad_words_are_refused_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "unknown action 'walk'; expected one of: list, run, evaluate" in refused(capsys, "walk")
    assert "did you mean 'mnist-lif'" in refused(capsys, "run", "mnist-lf")
    assert "no network is named, expected one of: " in refused(capsys, "run")
    assert "sample is 10, expected 0 to 9" in refused(capsys, "run", "mnist-lif", "--sample", "10")
    assert "expected a figure's ending" in refused(capsys, "run", "mnist-lif", "--out", "a.txt")
    assert "samples is 0, expected at least 1" in refused(capsys, "evaluate", "mnist-lif", "--samples", "0")
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_refused(copied, capsys):
    with (copied / cards.INTEGERS).open("ab") as file:
        file.write(b"0")
    with pytest.raises(ArtifactError, match="has SHA-256 .*, expected .*; install Izhi again"):
        _ = zoo.load("mnist-lif").artifact
    (copied / cards.WEIGHTS).unlink()
    assert "has SHA-256 none…" in refused(capsys, "run", "mnist-lif")
    (copied / cards.FILE).write_text('{"name": 5}')
    with pytest.raises(ArtifactError, match="is no card"):
        zoo.card("mnist-lif")
    with pytest.raises(SettingError, match="unknown network of the zoo 'ecg'"):
        zoo.load("ecg")


def test_weights_are_written_and_read_without_code(tmp_path):
    path = zoo.card("mnist-lif").path(cards.WEIGHTS)
    saved, scale = read_weights(path)
    assert scale is None
    content = {
        "config": saved.experiment.flat(plain=True), "inputs": saved.inputs, "shape": list(saved.shape),
        "classes": list(saved.classes), "network": saved.tables, "model": saved.progress.network,
        "scale": {"low": [0.0], "high": [2.0]}, "optimizer": {"left": "out"},
    }  # fmt: skip
    write_weights(tmp_path / "w.safetensors", content)
    again, scale = read_weights(tmp_path / "w.safetensors")
    assert scale.high == (2.0,)
    for name, x in saved.progress.network.items():
        assert torch.equal(again.progress.network[name], x)
    assert again.experiment == saved.experiment


def test_damaged_weights_are_refused(tmp_path):
    whole = zoo.card("mnist-lif").path(cards.WEIGHTS)
    raw, path = whole.read_bytes(), tmp_path / "w.safetensors"
    for damaged in (b"", raw[:1000], b"\xff" * 64, (1 << 62).to_bytes(8, "little") + raw[8:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="is damaged"):
            read_weights(path)
    weights = load_file(whole)
    for metadata, message in [(None, "lacks config"), ({"izhi": "[]"}, "describes no network"),
                              ({"izhi": '{"config": 5, "inputs": 1, "classes": ["a"]}'}, "has config 5")]:  # fmt: skip
        save_file(weights, path, metadata)
        with pytest.raises(CheckpointError, match=message):
            read_weights(path)
    save_file(weights, path, {"izhi": "{"})
    with pytest.raises(DataError, match="is damaged"):
        read_weights(path)
    assert isinstance(run_folder.Saved, type)


def test_a_network_of_the_zoo_can_be_trained_further():
    network = zoo.load("mnist-lif")
    inputs, labels = network.samples()
    spikes = torch.from_numpy(inputs.astype(np.float32))
    optimizer = torch.optim.SGD(network.network.parameters(), 0.01)
    losses = []
    for _ in range(3):
        output = network.network.train()(spikes).output
        loss = network.classifier.loss(output, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_the_accuracy_on_real_samples_is_near_that_of_the_card(real_data, tmp_path, capsys):
    found = tmp_path / "found.json"
    assert main(["zoo", "evaluate", "mnist-lif", "--samples", "600", "--json", str(found)]) == 0
    accuracy = json.loads(found.read_text())["integers"]["accuracy"]
    assert abs(accuracy - zoo.card("mnist-lif").integer_accuracy) < 0.03
    assert "(card: " in capsys.readouterr().out


def test_the_first_look_shows_digits_and_says_what_is_next(tmp_path, capsys):
    words = ["demo", "--no-core", "--out", str(tmp_path / "d"), "--json", str(tmp_path / "d.json")]
    assert main(words) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "d.json").read_text())
    assert found["right"] >= 9
    assert f"{found['right']} of 10 digits right" in said
    assert "izhi zoo run ecg" in said
    assert (tmp_path / "d" / "digits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_first_look_runs_digits_on_the_core(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "d"), "--json", str(tmp_path / "d.json")]) == 0
    found = json.loads((tmp_path / "d.json").read_text())["core"]
    assert found["different"] == 0
    assert found["cycles"] == zoo.card("mnist-normalized").cycles
    assert "0 spikes different from the integer model" in capsys.readouterr().out
