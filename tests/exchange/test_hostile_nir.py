"""Damaged and hostile files of NIR: each is read, or refused in one line, in time, within memory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch
from torch import nn

import izhi
import izhi.nir
from hostility import complaints, mutations
from izhi.connections import AxonalDelay, Conv2d, ExponentialSynapse, Linear
from izhi.errors import ExchangeError
from izhi.exchange import hdf5, reader
from izhi.exchange.graph import graph
from izhi.network import Layer, Network


@pytest.fixture
def path(tmp_path):
    network = Network([Layer(Linear(6, 5), izhi.LIF(0.9, reset="zero"))], readout=Linear(5, 2))
    izhi.nir.write(network, tmp_path / "network.nir")
    return tmp_path / "network.nir"


def refused(path, message):
    began = time.monotonic()
    with pytest.raises(ExchangeError, match=message) as caught:
        izhi.nir.read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert time.monotonic() - began < 30


def changed(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def put(file, place, value):
    del file[place]
    file[place] = value


def test_what_is_no_file_of_nir(tmp_path, path):
    refused(tmp_path / "absent.nir", "cannot read .*No such file")
    refused(tmp_path, "cannot read .*Is a directory")
    (tmp_path / "text.nir").write_text("no HDF5")
    refused(tmp_path / "text.nir", "cannot be read as NIR .*signature")
    raw = path.read_bytes()
    for part in (0.1, 0.5, 0.9, 0.999):
        (tmp_path / "cut.nir").write_bytes(raw[: int(part * len(raw))])
        refused(tmp_path / "cut.nir", "cannot be read as NIR")
    with h5py.File(tmp_path / "other.nir", "w") as file:
        file["numbers"] = np.zeros(3)
    refused(tmp_path / "other.nir", "holds no graph of NIR")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: put(f, "node/nodes/weights_1/weight", np.full((5, 6), np.inf)),
            "Affine weights_1 has inf in its weight",
        ),
        (lambda f: put(f, "node/nodes/weights_1/weight", np.zeros((4, 6))), "has a bias of shape"),
        (
            lambda f: put(f, "node/nodes/weights_1/weight", np.zeros(30)),
            r"weights of shape \(30,\), expected \(outputs",
        ),
        (lambda f: put(f, "node/nodes/neurons_1/tau", "quick"), "LIF neurons_1 has tau 'quick', expected numbers"),
        (lambda f: put(f, "node/nodes/neurons_1/type", "Quick"), "there is no Quick here, expected one of"),
        (lambda f: put(f, "node/nodes/neurons_1/type", 7), "node 'neurons_1' has no type"),
        (lambda f: f.__delitem__("node/nodes/neurons_1"), "no node 'neurons_1'"),
        (lambda f: f.__delitem__("node/nodes/neurons_1/r"), "LIF neurons_1 has no r"),
        (lambda f: f.__delitem__("node/edges"), "is no graph of NIR, expected nodes and edges"),
        (lambda f: put(f, "node/edges", np.zeros((3, 2))), "edges are .* expected pairs of names"),
        (lambda f: put(f, "node/nodes/input/shape", np.array([2**40])), "expected whole numbers"),
        (lambda f: put(f, "node/nodes/input/shape", np.array([10_000_000])), "features that come in are .10000000,."),
        (lambda f: put(f, "node/nodes/input/shape", np.array([2**20, 2**20])), "features that come in are"),
        (lambda f: put(f, "node/nodes/input/shape", np.array([7])), r"takes 6 features, expected \(7,\)"),
        (lambda f: put(f, "node/nodes/input/shape", np.zeros(0)), r"features that come in are \(\)"),
        (lambda f: put(f, "node/metadata/dt", -1.0), "dt is -1.0, expected seconds above 0"),
    ],
)
def test_values_that_cannot_be(path, change, message):
    refused(changed(path, change), message)


def test_nothing_outside_of_the_file_is_read(path, tmp_path):
    """Links and arrays that lie elsewhere are how a file could have another one read."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["weight"] = np.zeros((5, 6))

    def link(file):
        del file["node/nodes/weights_1/weight"]
        file["node/nodes/weights_1/weight"] = h5py.ExternalLink(str(secret), "weight")

    def soft(file):
        del file["node/nodes/weights_1/weight"]
        file["node/nodes/weights_1/weight"] = h5py.SoftLink("/node/nodes/readout/weight")

    def elsewhere(file):
        del file["node/nodes/weights_1/weight"]
        file["node/nodes/weights_1"].create_dataset(
            "weight", (5, 6), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
        )

    def virtual(file):
        del file["node/nodes/weights_1/weight"]
        layout = h5py.VirtualLayout((5, 6), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "weight", (5, 6))
        file["node/nodes/weights_1"].create_virtual_dataset("weight", layout)

    raw = path.read_bytes()
    for change, message in (
        (link, "weight is a link to elsewhere"), (soft, "weight is a link to elsewhere"),
        (elsewhere, "weight is no array of this file"), (virtual, "weight is no array of this file"),
    ):  # fmt: skip
        path.write_bytes(raw)
        refused(changed(path, change), message)


def test_sizes_that_a_file_does_not_justify(path):
    def huge(file):
        del file["node/nodes/weights_1/weight"]
        file["node/nodes/weights_1"].create_dataset(
            "weight", (1 << 20, 1 << 14), "f4", chunks=(64, 64), compression="gzip"
        )

    refused(changed(path, huge), "weight has shape .*, more than the file's size justifies")


def test_groups_without_end(path):
    def loop(file):
        file["node/nodes/neurons_1/again"] = file["node"]

    refused(changed(path, loop), "groups within groups without end|more than 20,000")


def test_graphs_within_graphs(tmp_path):
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}, [("input", "output")]
    )
    for _ in range(5):
        ends = {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}
        inner = nir.NIRGraph({**ends, "g": inner}, [("input", "g"), ("g", "output")], type_check=False)
    with pytest.raises(ExchangeError, match="a network of no layers|do not fit"):
        izhi.nir.from_graph(inner)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Sound files of several networks."""
    folder = tmp_path_factory.mktemp("sound")
    torch.manual_seed(0)
    networks = [
        Network([Layer(Linear(6, 5), izhi.LIF(0.9, reset="zero"))], readout=Linear(5, 2)),
        Network([
            Layer(Linear(4, 4, recurrent=True, synapse=ExponentialSynapse(3, filters_bias=True)),
                  izhi.LIF(0.9, reset="zero"), AxonalDelay(4, 5)),
            Layer(Linear(4, 3, synapse=ExponentialSynapse(3)),
                  izhi.Izhikevich("RS", parameter_shape=3, learn="c", spread=0.1)),
        ]),
        Network([
            nn.Unflatten(1, (1, 4, 4)), Layer(Conv2d(1, 2, 3, padding=1), izhi.LIF(0.9, reset="zero")), nn.AvgPool2d(2),
            nn.Flatten(), Layer(Linear(8, 2), izhi.LIF(0.9, reset="zero")),
        ]),
    ]  # fmt: skip
    found = []
    for number, network in enumerate(networks):
        izhi.nir.write(network, folder / f"{number}.nir")
        found.append((folder / f"{number}.nir").read_bytes())
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are copied")
def test_thousands_of_damaged_files(samples, tmp_path):
    cases = list(mutations(samples, 2000))
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    reader_ = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("light_reader.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    readable = []
    for number, case in enumerate(cases):
        path = tmp_path / f"{number}.nir"
        path.write_bytes(case)
        reader_.stdin.write(f"{path}\n")
        reader_.stdin.flush()
        problem = json.loads(reader_.stdout.readline())
        path.unlink()
        if problem is None:
            readable.append(path.with_suffix(".npz").read_bytes())
        else:
            assert problem, number
            assert "\n" not in problem
    reader_.stdin.close()
    assert reader_.wait() == 0
    assert 200 < len(readable) < 1990, "some are damaged, and some sound"

    def made(packed):
        tree = hdf5.tree(packed).get("node")
        if not isinstance(tree, dict):
            raise ExchangeError("holds no graph")
        reader.convert(graph(tree))

    assert complaints(made, readable) == []
