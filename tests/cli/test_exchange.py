"""Runs to files of NIR, and files to runs that are evaluated, quantised, exported and trained further."""

import json
import subprocess
import sys

import nir
import numpy as np
import pytest
import torch
from test_samples import refused, told

import izhi
import izhi.nir
from izhi import cli
from izhi.connections import Linear
from izhi.experiments import trained
from izhi.network import Layer, Network

QUICK = [
    "--epochs", "2", "--hidden", "24", "--batch-size", "64", "--steps", "10", "--kernel", "reference",
    "--encoding", "rate", "--readout", "spikes", "--quiet",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small network of LIF with hard reset on digits."""
    folder = tmp_path_factory.mktemp("run") / "run"
    words = ["train", "--neuron", "lif", "--reset", "zero", *QUICK, "--learning-rate", "0.01", "--out", str(folder)]
    assert cli.main(words) == 0
    return folder


@pytest.fixture(scope="module")
def taken_over(run, tmp_path_factory):
    """The same, written as NIR and read as a run."""
    folder = tmp_path_factory.mktemp("nir")
    assert cli.main(["nir", "export", str(run), str(folder / "network.nir")]) == 0
    words = ["--dataset", "digits", "--steps", "10", "--epochs", "1", "--kernel", "reference"]
    assert cli.main(["nir", "import", str(folder / "network.nir"), *words, "--out", str(folder / "run")]) == 0
    return folder


@pytest.mark.slow
def test_a_run_that_is_read_back_is_the_run(run, taken_over, tmp_path, capsys):
    for name, folder in (("one", run), ("other", taken_over / "run")):
        told(capsys, "evaluate", folder, "--json", tmp_path / f"{name}.json")
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "other"))
    assert one["test_accuracy"] == other["test_accuracy"] > 0.5
    assert one["confusion"] == other["confusion"]
    found = trained.load(taken_over / "run").network
    wanted = trained.load(run).network
    assert torch.equal(found.layers[0].connection.weight, wanted.layers[0].connection.weight)


def test_golden_spikes_lie_beside_the_file(taken_over, tmp_path, capsys):
    out = told(capsys, "nir", "check", taken_over / "network.nir", "--json", tmp_path / "found.json")
    assert "golden spikes" in out
    found = json.loads((tmp_path / "found.json").read_text())
    assert [x["node"] for x in found] == ["neurons_1", "neurons_2", "output"]
    assert all(x["different"] == 0 for x in found)
    graph = nir.read(taken_over / "network.nir")
    graph.nodes["weights_1"].weight[:] *= 0.5
    nir.write(tmp_path / "other.nir", graph)
    golden = taken_over / "network-golden.nir"
    assert "places differ from its golden spikes" in refused(capsys, "nir", "check", tmp_path / "other.nir", golden)


@pytest.mark.slow
def test_what_is_read_goes_on_to_integers(taken_over, tmp_path, capsys):
    whole = tmp_path / "whole"
    told(capsys, "quantize", taken_over / "run", "--weights", "4", "--method", "ptq", "--out", whole, "--quiet")
    told(capsys, "export", whole)
    out = told(capsys, "evaluate", whole / "network.izhi", "--against", whole)
    assert "layer 1:" in out
    assert "0 different" in out
    told(
        capsys, "quantize", taken_over / "run", "--weights", "4", "--epochs", "1", "--out", tmp_path / "qat", "--quiet"
    )


@pytest.mark.slow
def test_what_is_read_is_trained_further_and_resumed(taken_over, tmp_path, capsys):
    """From its settings alone, and from its weights, also where the run is killed before its first epoch."""
    drawn, begun = tmp_path / "drawn", tmp_path / "begun"
    config = taken_over / "run" / "config.toml"
    assert "[[network.modules]]" in config.read_text()
    told(capsys, "train", "--config", config, "--epochs", "1", "--quiet", "--out", drawn)
    words = ["train", "--start", taken_over / "run", "--epochs", "1", "--learning-rate", "1e-6", "--quiet"]
    told(capsys, *words, "--out", begun)
    first = trained.load(taken_over / "run")
    further = trained.load(begun)
    assert further.history[0]["epoch"] == 1
    assert further.history[0]["test_accuracy"] == pytest.approx(first.history[0]["test_accuracy"], abs=0.02)
    assert trained.load(drawn).history[0]["test_accuracy"] < first.history[0]["test_accuracy"] - 0.1
    (begun / "checkpoint.pt").unlink()
    told(capsys, "train", "--resume", "--out", begun, "--quiet")
    weights = [
        x.state_dict()["layers.0.connection.input.weight"] for x in (further.network, trained.load(begun).network)
    ]
    assert torch.equal(*weights)
    assert "izhi train --start RUN" in refused(capsys, "train", "--resume", "--out", taken_over / "run")


@pytest.mark.parametrize("library", ["snntorch", "norse", "spikingjelly"])
def test_files_for_libraries(run, library, tmp_path, capsys):
    out = told(capsys, "nir", "export", run, tmp_path / "for.nir", "--for", library, "--samples", "2")
    assert "golden spikes:" in out
    assert nir.read(tmp_path / "for.nir").nodes["neurons_1"].v_threshold.shape == (24,)


def test_what_cannot_be_done_is_one_line(run, tmp_path, capsys):
    said = refused(capsys, "nir", "export", run, tmp_path / "x.nir", "--for", "sinabs")
    assert "fire several times in a step" in said
    assert "no file is named" in refused(capsys, "nir", "export", run)
    assert "cannot read" in refused(capsys, "nir", "import", tmp_path / "absent.nir")
    assert "unknown" in refused(capsys, "nir", "import", tmp_path / "absent.nir", "--from", "nors")
    network = Network([Layer(Linear(6, 10), izhi.LIF(reset="zero"))])
    izhi.nir.write(network, tmp_path / "small.nir")
    out = tmp_path / "out"
    said = refused(capsys, "nir", "import", tmp_path / "small.nir", "--dataset", "digits", "--out", out)
    assert "the network takes 6 features, but encoded samples of digits have 64" in said
    izhi.nir.write(Network([Layer(Linear(64, 7), izhi.LIF(reset="zero"))]), tmp_path / "classes.nir")
    said = refused(capsys, "nir", "import", tmp_path / "classes.nir", "--dataset", "digits", "--out", out)
    assert "gives 7 outputs, but there are 10 classes" in said
    assert not out.exists()


def test_what_is_lost_is_said(tmp_path, capsys):
    folder = tmp_path / "run"
    assert cli.main(["train", "--neuron", "lif", *QUICK[2:], "--epochs", "1", "--out", str(folder)]) == 0
    capsys.readouterr()
    assert cli.main(["nir", "export", str(folder), str(tmp_path / "x.nir"), "--samples", "0"]) == 0
    assert "warning: layer 1 subtracts the threshold, for which NIR has no place" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_of_convolutions_becomes_a_run(tmp_path, capsys):
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    nodes = [
        nir.Input(np.array([1, 8, 8])),
        nir.Conv2d((8, 8), random.normal(0, 0.5, (3, 1, 3, 3)), 1, 1, 1, 1, np.zeros(3)),
        nir.LIF(*(np.full((3, 8, 8), x) for x in (1e-3, 10.0, 0.0, 1.0))),
        nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.Flatten({"input": np.array([3, 4, 4])}, 0, -1),
        nir.Affine(random.normal(0, 0.3, (10, 48)), np.zeros(10)),
        nir.LIF(*(np.full(10, x) for x in (1e-3, 10.0, 0.0, 1.0))),
    ]
    nir.write(tmp_path / "conv.nir", nir.NIRGraph.from_list(*nodes))
    run = tmp_path / "run"
    told(capsys, "nir", "import", tmp_path / "conv.nir", "--dataset", "digits", "--steps", "5", "--out", run)
    told(capsys, "quantize", run, "--weights", "8", "--method", "ptq", "--out", tmp_path / "whole", "--quiet")
    told(capsys, "export", tmp_path / "whole")
    assert "0 different" in told(
        capsys, "evaluate", tmp_path / "whole" / "network.izhi", "--against", tmp_path / "whole"
    )


@pytest.mark.usefixtures("forked_processes")
def test_without_the_extra_a_line_says_what_to_install(tmp_path):
    words = ["nir", "import", "network.nir", "--out", str(tmp_path / "run")]
    program = f"import sys; sys.modules['nir'] = None; from izhi import cli; sys.exit(cli.main({words!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "izhi: nir is not installed; pip install 'nir>=1.0.8' 'h5py>=3.10'\n"
    assert not (tmp_path / "run").exists()
