"""Samples that are run through an artifact: a file's, another data set's, or those it carries."""

import json

import numpy as np
import pytest

from izhi import artifact, cli
from izhi.board import save_samples
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.fixed import run
from networks import random_network, random_spikes
from tiers import slow_but


@pytest.fixture
def own(tmp_path):
    """An artifact of no data set, with test vectors; its path and network."""
    network = random_network(0, sizes=(12, 9), readout=True, classes=3)
    inputs = random_spikes(1, 6, 5, 12)
    found = IntegerArtifact(
        network=network, steps=6, encoding={}, classes=("a", "b", "c"), provenance={}, test_inputs=inputs,
        test_scores=run(network, inputs).scores,
    )  # fmt: skip
    artifact.save(found, tmp_path / "own.izhi")
    return tmp_path / "own.izhi", network


def told(capsys, *words):
    """What a command that works prints."""
    capsys.readouterr()
    assert cli.main([str(x) for x in words]) == 0
    return capsys.readouterr().out


def refused(capsys, *words):
    capsys.readouterr()
    assert cli.main([str(x) for x in words]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("command", slow_but([["evaluate"]], [["evaluate"], ["run", "--compare"]]))
def test_an_artifact_of_no_data_set_runs_what_it_carries(own, command, capsys):
    out = told(capsys, command[0], own[0], *command[1:])
    assert "accuracy: 100.00 % of 5" in out


@pytest.mark.parametrize("command", ["evaluate", "run"])
def test_samples_of_a_file(own, command, tmp_path, capsys):
    path, network = own
    inputs = random_spikes(7, 6, 8, 12)
    labels = run(network, inputs).scores.argmax(axis=1).astype(np.int64)
    labels[:2] = (labels[:2] + 1) % 3
    save_samples(tmp_path / "mine.npz", inputs, labels)
    out = told(capsys, command, path, "--samples", tmp_path / "mine.npz", "--json", tmp_path / "found.json")
    assert "accuracy: 75.00 % of 8" in out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found.get("test_accuracy", found.get("accuracy")) == 0.75
    if command == "evaluate":
        assert np.trace(found["confusion"]) == 6
        assert np.sum(found["confusion"], axis=1).tolist() == np.bincount(labels, minlength=3).tolist()
        assert f"class {found['classes'][labels[0]]}: " in out


def test_what_is_no_file_of_samples_for_the_artifact(own, tmp_path, capsys):
    path, _ = own
    labels = np.zeros(4, np.int64)
    for name, inputs, classes in (
        ("wide", np.zeros((6, 4, 13), np.uint8), labels),
        ("currents", np.zeros((4, 12), np.float32), labels),
        ("classes", np.zeros((6, 4, 12), np.uint8), labels + 3),
    ):
        save_samples(tmp_path / f"{name}.npz", inputs, classes)
    for samples, message in (
        ("wide.npz", "holds inputs (6, 4, 13), expected spikes (T, samples, 12)"),
        ("currents.npz", "holds inputs (4, 12), expected spikes"),
        ("classes.npz", "has labels 3 to 3, expected 0 to 2"),
        ("none.npz", "cannot read"),
    ):
        assert message in refused(capsys, "evaluate", path, "--samples", tmp_path / samples)
    assert "leave one out" in refused(capsys, "run", path, "--samples", tmp_path / "wide.npz", "--dataset", "iris")
    assert "samples is 0, expected at least 1" in refused(capsys, "run", path, "--samples", "0", "--dataset", "iris")
    assert "but iris has" in refused(capsys, "evaluate", path, "--dataset", "iris")


def test_a_run_takes_its_own_samples(tmp_path, capsys):
    assert "which is for an artifact" in refused(capsys, "evaluate", tmp_path, "--dataset", "iris")


def test_a_file_of_samples_that_unpacks_to_too_much(own, tmp_path, capsys):
    path, _ = own
    np.savez_compressed(
        tmp_path / "bomb.npz", spikes=np.zeros((6, 1_000_000, 12), np.uint8), labels=np.zeros(1_000_000, np.int64)
    )
    line = refused(capsys, "evaluate", path, "--samples", tmp_path / "bomb.npz")
    assert "unpacks to 80,0" in line
    assert line.count("\n") == 1
