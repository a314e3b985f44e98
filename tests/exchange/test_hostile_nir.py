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


@pytest.fixture(autouse=True)
def _forked(request):
    """Files are read in processes of their own; those of ``samples`` in light ones."""
    if "samples" not in request.fixturenames:
        request.getfixturevalue("forked_processes")


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


@pytest.mark.slow
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


@pytest.mark.slow
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
@pytest.mark.parametrize(
    "count", [50, pytest.param(500, marks=pytest.mark.slow), pytest.param(5000, marks=pytest.mark.long)]
)
def test_damaged_files(samples, count, tmp_path):
    cases = list(mutations(samples, count))
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
    assert 0.1 < len(readable) / count < 0.995, "some are damaged, and some sound"

    def made(packed):
        tree = hdf5.tree(packed).get("node")
        if not isinstance(tree, dict):
            raise ExchangeError("holds no graph")
        reader.convert(graph(tree))

    assert complaints(made, readable) == []


NEURONS, WEIGHTS = "node/nodes/neurons_1/", "node/nodes/weights_1/"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: put(f, NEURONS + "tau", np.full(3, 1e-3)), r"arrays of different shapes \(r .5,., tau .3,."),
        (lambda f: put(f, NEURONS + "r", np.zeros(0)), "LIF neurons_1 has an empty r, expected at least one number"),
        (lambda f: put(f, NEURONS + "r", np.full(5, 1e300)), "has 1e.300 in its r, expected at most 3.4"),
        (lambda f: put(f, WEIGHTS + "weight", np.full((5, 6), 1e39)), "has 1e.39 in its weight, expected at most"),
        (lambda f: put(f, NEURONS + "v_threshold", np.zeros((5, 1))), "arrays of different shapes"),
        (lambda f: f["node/nodes"].create_group("@type"), "cannot be read as NIR .* has the name of an attribute"),
    ],
)
def test_arrays_that_do_not_fit(path, change, message):
    refused(changed(path, change), message)


def test_products_beyond_float32(path):
    def change(file):
        put(file, NEURONS + "r", np.full(5, 1e38))
        put(file, WEIGHTS + "weight", np.full((5, 6), 1e10))

    refused(changed(path, change), "values up to .*, which float32 does not hold")


def write_network(path, *layers, feedback=False):
    network = Network([Layer(Linear(6, 5, recurrent=feedback, **layers[0]), layers[1])])
    izhi.nir.write(network, path)
    return path


@pytest.mark.parametrize("value", [np.full(5, 1e13), np.zeros(0), np.array([1e-3, 2e-3, 3e-3, 4e-3, 5e-3])])
def test_time_constants_of_synapses(value, tmp_path):
    path = write_network(tmp_path / "s.nir", {"synapse": ExponentialSynapse(5.0)}, izhi.LIF(0.9, reset="zero"))
    place = (arrays(path, "/tau_syn") or [x for x in arrays(path, "/tau") if "neurons" not in x])[0]
    refused(changed(path, lambda f: put(f, place, value)), place.rpartition("/")[2])


@pytest.mark.parametrize("field", ["rests", "substeps", "dt"])
@pytest.mark.parametrize("value", [np.zeros(0), np.ones(2)])
def test_fields_of_izhikevich_neurons(field, value, tmp_path):
    path = write_network(tmp_path / "i.nir", {}, izhi.Izhikevich("normalized"))
    refused(changed(path, lambda f: put(f, NEURONS + field, value)), f"Izhikevich neurons_1 has (an empty|a|) ?{field}")


def test_a_scalar_of_recurrent_weights(tmp_path):
    path = write_network(tmp_path / "r.nir", {}, izhi.LIF(0.9, reset="zero"), feedback=True)
    place = next(name for name in arrays(path, "/weight") if file_shape(path, name) == (5, 5))
    refused(changed(path, lambda f: put(f, place, np.array(2.0))), "expected 2 dimensions")


def arrays(path, ending):
    names = []
    with h5py.File(path) as file:
        file.visit(lambda name: names.append(name) if name.endswith(ending) else None)
    return names


def file_shape(path, name):
    with h5py.File(path) as file:
        return file[name].shape


def test_numbers_that_pack_well_are_counted_as_they_are_used(path):
    def change(file):
        del file[WEIGHTS + "weight"]
        file.create_dataset(WEIGHTS + "weight", data=np.zeros((5, 4_000_000), np.int8), compression="gzip")

    refused(changed(path, change), "more than the file's size justifies")


@pytest.mark.slow
def test_golden_spikes_of_more_neurons_than_memory_holds(tmp_path):
    network = Network([nn.Unflatten(1, (1, 512, 512)), nn.Conv2d(1, 16, 3, padding=1), izhi.LIF(0.9)])
    with pytest.warns(izhi.errors.LossWarning):
        izhi.nir.write(network, tmp_path / "n.nir")
    with h5py.File(tmp_path / "n.nir", "r+") as file:  # each array becomes one number
        neurons = next(x for x in file["node/nodes"].values() if "v_threshold" in x)
        for name in ("r", "tau", "v_leak", "v_threshold", "v_reset"):
            put(neurons, name, neurons[name][()].ravel()[:1])
    with h5py.File(tmp_path / "n-golden.nir", "w") as file:
        for name, samples in (("input", 31), ("output", 1)):
            data = file.create_group(f"nodes/{name}/observables/spikes")
            data.create_dataset("data", data=np.zeros((samples, 1, 512 * 512), bool), compression="gzip")
    with pytest.raises(ExchangeError, match="takes .* GB of memory, expected at most 2.0; use less data"):
        izhi.nir.check(tmp_path / "n.nir")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe(path, tmp_path):
    os.mkfifo(tmp_path / "pipe.nir")
    refused(tmp_path / "pipe.nir", "is a pipe or a device, expected a file")
    with pytest.raises(ExchangeError, match="is a pipe or a device"):
        izhi.nir.check(path, tmp_path / "pipe.nir")


@pytest.mark.parametrize("ends", [["Input"], ["Output"], ["Input", "Output", "Output"], ["Input", "Input", "Output"]])
def test_a_graph_within_a_graph_has_one_way_in_and_one_out(ends):
    inner = {"nodes": {f"{k}": {"type": end} for k, end in enumerate(ends)}, "edges": [], "type": "NIRGraph"}
    with pytest.raises(ExchangeError, match="the graph 'inner' has not one Input and one Output, expected both"):
        graph({"nodes": {"inner": inner}, "edges": []})
