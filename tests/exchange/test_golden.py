"""Golden spikes: written in the format's own data, read by nir itself, and compared place by place."""

import nir
import numpy as np
import pytest
import torch
from test_nir import spikes, strong

import izhi
import izhi.nir
from izhi.connections import Linear
from izhi.errors import ExchangeError
from izhi.exchange.golden import golden_name
from izhi.network import Layer, Network

#: Files are read in processes of their own.
pytestmark = pytest.mark.usefixtures("forked_processes")


@pytest.fixture
def files(tmp_path):
    torch.manual_seed(0)
    network = Network([
        Layer(strong(6, 8, recurrent=True), izhi.LIF(0.9, reset="zero")),
        Layer(strong(8, 5), izhi.Izhikevich("normalized")),
    ], readout=Linear(5, 2))  # fmt: skip
    path = tmp_path / "network.nir"
    izhi.nir.write(network, path)
    izhi.nir.golden(network, spikes(6), golden_name(path))
    return path


def test_a_network_agrees_with_its_own(files):
    found = izhi.nir.check(files)
    assert [x.node for x in found] == ["neurons_1", "neurons_2", "output"]
    assert all(x.spikes > 50 and x.different == 0 for x in found)


def test_nir_reads_them(files):
    data = nir.read_data(golden_name(files))
    grid = data.nodes["neurons_1"].observables["spikes"]
    assert grid.data.dtype == bool
    assert grid.shape == (4, 60, 8)
    assert grid.dt == 1e-4
    assert set(data.nodes) == {"input", "neurons_1", "neurons_2", "output"}
    assert np.array_equal(
        data.nodes["input"].observables["spikes"].data, spikes(6).transpose(0, 1).numpy().astype(bool)
    )


@pytest.mark.slow
def test_another_network_does_not_agree(files):
    graph = nir.read(files)
    graph.nodes["weights_1"].weight[0] += 0.5
    nir.write(files, graph)
    assert izhi.nir.check(files)[0].different > 0


@pytest.mark.slow
def test_data_that_do_not_belong_to_a_network(files, tmp_path):
    other = Network([Layer(strong(6, 9), izhi.LIF(0.9, reset="zero"))])
    izhi.nir.write(other, tmp_path / "other.nir")
    with pytest.raises(ExchangeError, match="has data of neurons_1 of shape .* expected"):
        izhi.nir.check(tmp_path / "other.nir", golden_name(files))
    with pytest.raises(ExchangeError, match="other-golden.nir: No such file"):
        izhi.nir.check(tmp_path / "other.nir")
    with pytest.raises(ExchangeError, match="holds no data of NIR"):
        izhi.nir.check(files, files)
