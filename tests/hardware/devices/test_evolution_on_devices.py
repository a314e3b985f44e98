"""Evolution on devices: members are measured by the device, what was found is what it runs, and nothing is lost."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from test_devices import an_artifact, open_device

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")
pytest.importorskip("cmaes", reason="the extra 'evolve' is not installed")

from izhi.cli import main
from izhi.errors import CheckpointError, DeviceError, SettingError
from izhi.experiments import results
from izhi.experiments.searches import SEARCHES
from izhi.hardware import artifact, devices as board, ip as hls_ip
from izhi.hardware.core import packets, shape_of
from izhi.hardware.devices.evolution import (
    DeviceEvolution,
    SeparableCMA,
    WeightVector,
    cross_entropy,
    drawn,
)

STEPS = 20


def an_ip_artifact(seed=0, inputs=4):
    random = np.random.default_rng(seed)
    weights = [(0.5 * random.standard_normal(s)).astype(np.float32) for s in ((6, inputs), (3, 6))]
    network = hls_ip.IPNetwork.of(weights, [np.full(6, 0.1, np.float32), np.zeros(3, np.float32)])
    currents = random.random((5, inputs), np.float32)
    scores = hls_ip.run(network, currents).scores
    return artifact.IPArtifact(network, ("a", "b", "c"), {}, {}, currents, scores)


def two_groups(count=40):
    """Currents of two kinds that a line tells apart."""
    random = np.random.default_rng(1)
    labels = np.arange(count) % 2
    currents = random.random((count, 4)).astype(np.float32) * 0.3
    currents[labels == 1, :2] += 0.7
    return currents, labels.astype(np.int64)


@pytest.mark.parametrize("search", SEARCHES)
def test_evolution_learns_on_the_ip_and_goes_on_exactly(search):
    currents, labels = two_groups()

    def start():
        device = board.open("hls-ip", an_ip_artifact())
        return DeviceEvolution(device, currents, labels, search=SEARCHES[search], members=24, step_size=0.5, seed=2)

    evolution = start()
    rows = [evolution.generation() for _ in range(25)]
    assert rows[-1]["accuracy"] > 0.9
    assert rows[-1]["loss"] < rows[0]["loss"]
    # The device runs what was found, through its streams.
    scores = evolution.device.run(currents).scores
    assert np.array_equal(scores, hls_ip.run(evolution.found, currents).scores)
    assert rows[-1]["loss"] == pytest.approx(cross_entropy(scores, labels, 1.0))
    again = start()
    again.resume(evolution.state, 25)
    for a, b in zip(again.device.network.layers, evolution.device.network.layers, strict=True):
        assert np.array_equal(a.weight, b.weight)
        assert np.array_equal(a.bias, b.bias)
    assert again.generation() == evolution.generation()


@pytest.mark.slow
@pytest.mark.parametrize("readout", [False, True])
def test_the_simulated_core_evolves_as_the_emulator_does(readout):
    found = an_artifact(readout=readout)
    spikes = random_spikes(5, STEPS, 24, 12)
    labels = np.arange(24) % 4
    rows, networks = [], []
    for name in ("emulator", "simulator"):
        with open_device(name, found) as device:
            evolution = DeviceEvolution(device, spikes, labels, members=5, batch_size=10, seed=4)
            rows.append([evolution.generation() for _ in range(2)])
            networks.append(device.network)
    assert rows[0] == rows[1]
    for a, b in zip(networks[0].layers, networks[1].layers, strict=True):
        assert np.array_equal(a.weight, b.weight)


def test_integers_stay_within_their_bits_and_chosen_layers_alone_change():
    network = random_network(1, readout=True)
    x = np.random.default_rng(0).normal(0, 3, 2000)
    for layers in (None, [2], [0, 2]):
        weights = WeightVector(network, layers)
        changed = weights.of(x[: weights.size])
        parts = [*changed.layers, changed.readout]
        for number, (old, new) in enumerate(zip([*network.layers, network.readout], parts, strict=True)):
            assert new.weight.min() >= -8
            assert new.weight.max() <= 7
            assert (new is old) == (layers is not None and number not in layers)
    assert np.array_equal(WeightVector(network).of(np.zeros(2000)).layers[0].weight, network.layers[0].weight)
    with pytest.raises(SettingError, match="layer is 3, expected 0 to 2"):
        WeightVector(network, [3])
    other = drawn(network, 1)
    assert abs(other.layers[0].weight).max() <= 4
    assert not np.array_equal(other.layers[0].weight, network.layers[0].weight)


def test_a_network_that_is_there_is_not_written_again():
    found = an_artifact()
    with open_device("emulator", found) as device:
        written, write = [], device.write_weights
        device.write_weights = lambda layer, weight: (written.append(layer), write(layer, weight))
        other = WeightVector(found.network).of(np.ones(2000))
        for network in (other, other, found.network):
            device.replace(network)
        assert written == [0, 1, 0, 1]


def test_one_memory_is_what_all_of_them_hold_for_it():
    network = random_network(3, readout=True)
    shape = shape_of(network, STEPS, lanes=4, units=2, largest_input=1)
    every = packets.memories(shape, network)
    assert len(every) == 2 * (len(network.layers) + 1)
    for number, words in enumerate(every):
        assert np.array_equal(packets.memory(shape, network, number), words)


def test_a_device_that_fails_is_one_error_and_earlier_generations_are_kept():
    currents, labels = two_groups()
    device = board.open("hls-ip", an_ip_artifact())
    evolution = DeviceEvolution(device, currents, labels, members=8)
    evolution.generation()
    kept = evolution.state

    def fails(*_):
        raise DeviceError("the IP did not finish PROCESS within 5 s; load the overlay anew")

    device.scores_of = fails
    with pytest.raises(DeviceError, match="did not finish PROCESS"):
        evolution.generation()
    again = DeviceEvolution(board.open("hls-ip", an_ip_artifact()), currents, labels, members=8)
    again.resume(kept, 1)
    assert again.generation()["generation"] == 2


@pytest.mark.slow
def test_a_board_evolves_without_torch(tmp_path):
    artifact.save(an_ip_artifact(), tmp_path / "network.izhi")
    code = f"""
import sys
for name in ("torch", "evotorch", "scipy", "numba", "amaranth", "pydantic", "rich", "matplotlib"):
    sys.modules[name] = None
import numpy as np
from izhi.hardware import artifact, devices as board
from izhi.hardware.devices.evolution import DeviceEvolution
from izhi.errors import SettingError
device = board.open("hls-ip", artifact.load(r"{tmp_path / "network.izhi"}"))
currents, labels = np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0])
search = DeviceEvolution(device, currents, labels, members=8)
print([search.generation()["generation"] for _ in range(3)])
try:
    DeviceEvolution(device, currents, labels, search="snes")
except SettingError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[1, 2, 3]", "unknown search 'snes'; expected one of: sep-cma-es"
    ]  # fmt: skip


def test_too_few_members_and_too_few_losses_are_refused():
    currents, labels = two_groups()
    device = board.open("hls-ip", an_ip_artifact())
    with pytest.raises(SettingError, match="members is 3, expected at least 4"):
        DeviceEvolution(device, currents, labels, members=3)
    with pytest.raises(SettingError, match="unknown search 'sness'"):
        DeviceEvolution(device, currents, labels, search="sness")
    search = SeparableCMA(3, members=4, spread=1, seed=0, measure=lambda x, g: x.sum(1))
    with pytest.raises(CheckpointError, match="has 1 populations, expected 2"):
        search.replay([np.zeros(4)], 2)
    with pytest.raises(CheckpointError, match="other populations than those of 4 members"):
        search.replay([np.zeros(3)], 1)


@pytest.mark.slow
def test_the_command_evolves_an_artifact_and_goes_on_where_it_was_broken_off(tmp_path, capsys):
    found = replace(
        an_ip_artifact(),
        classes=("setosa", "versicolor", "virginica"),
        encoding={"dataset": "iris", "encoding": "constant", "steps": 30},
    )
    file = tmp_path / "network.izhi"
    artifact.save(found, file)
    options = ["--members", "12", "--optimizer", "sep-cma-es", "--quiet"]

    def evolve(folder, epochs, *more):
        out = tmp_path / folder
        command = ["evolve", str(file), *options, "--epochs", str(epochs), "--out", str(out), *more]
        assert main([*command, "--json", str(out) + ".json"]) == 0
        return json.loads((tmp_path / f"{folder}.json").read_text())

    whole = evolve("whole", 12)
    evolve("parts", 5)
    rest = evolve("parts", 12, "--resume")

    def numbers(result):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in result["history"]]

    assert numbers(rest) == numbers(whole)
    a, b = (artifact.load(tmp_path / x / "network.izhi") for x in ("whole", "parts"))
    assert np.array_equal(a.network.layers[0].weight, b.network.layers[0].weight)
    assert not np.array_equal(a.network.layers[0].weight, found.network.layers[0].weight)
    assert a.provenance["evolution"]["optimizer"] == "sep-cma-es"
    kept = results.of(tmp_path / "parts")
    assert kept.title == "network.izhi: sep-cma-es on the device hls-ip"
    assert kept.test_accuracy == whole["test_accuracy"]
    assert [row.loss for row in kept.history] == [row["loss"] for row in whole["history"]]
    assert (tmp_path / "parts" / "evolution.png").read_bytes().startswith(b"\x89PNG")
    for more, message in (
        (["--out", str(tmp_path / "whole")], "already holds a run"),
        (
            ["--out", str(tmp_path / "whole"), "--resume", "--seed", "3"],
            "written with another seed, not 3",
        ),
        (["--hidden", "4"], "hidden is given, but the artifact decides it"),
        (["--optimizer", "adam"], "unknown optimizer 'adam'"),
        (["--device", "emulator"], "open it on the device hls-ip"),
        (["--layers", "0"], "layers names 0, expected 1 to 2"),
        (["--samples", "-5"], "samples is -5, expected at least 1"),
        (["--step-size", "0"], "step_size is '0', expected greater than 0"),
    ):
        assert main(["evolve", str(file), *options, "--out", str(tmp_path / "x"), *more]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "x").exists()
    assert main(["evolve", "--device", "emulator"]) == 2
    assert "device is given, which is for an artifact" in capsys.readouterr().err
