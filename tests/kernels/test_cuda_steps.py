"""A training step on a GPU: nothing is read by the host or copied from it, few launches, none of which compiles anew.

Without a GPU the CPU plays one: kernels run in Triton's interpreter, or launches are counted and nothing runs.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from izhi import LIF, Izhikevich
from izhi.connections import AxonalDelay, ConductanceSynapse, ExponentialSynapse, Linear, SynapticDelay
from izhi.errors import DivergenceError, SilentLayerWarning
from izhi.kernels import PackedSpikes
from izhi.kernels.deferred import DeferredFlags
from izhi.network import Layer, Network
from tiers import slow_but

pytest.importorskip("triton")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
T, B, INPUTS = 6, 2, 20


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of benchmarks/gpu_launches.py."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gpu_launches")


def network(neuron: Any, hidden: int = 32, **of_connection: Any) -> Network:
    torch.manual_seed(0)
    delay = of_connection.pop("delay", None)
    first = Layer(Linear(INPUTS, hidden, **of_connection), neuron, delay=delay)
    return Network([first, Layer(Linear(hidden, 10), LIF())])


def bits() -> PackedSpikes:
    words = torch.randint(1 << T, (B, 1, INPUTS), dtype=torch.int32)
    return PackedSpikes(words, T, torch.bfloat16, checked=True)


NETWORKS = {
    "lif": (lambda: network(LIF()), "bits"),
    "gain": (lambda: network(Izhikevich(learn=("gain",))), "bits"),
    "each neuron learns": (lambda: network(Izhikevich(learn=("a2", "b1", "gain"), parameter_shape=32)), "bits"),
    "distribution": (lambda: network(Izhikevich("resonator", parameter_shape=32)), "dense"),
    "τ": (lambda: network(LIF(), synapse=ExponentialSynapse(learn_tau=True)), "dense"),
    "conductance": (lambda: network(Izhikevich("RS"), synapse=ConductanceSynapse()), "dense"),
    "recurrent": (lambda: network(LIF(learn=("beta", "threshold")), recurrent=True), "dense"),
    "axonal delays": (lambda: network(LIF(), delay=AxonalDelay(INPUTS, 3)), "dense"),
    "synaptic delays": (lambda: network(LIF(), delay=SynapticDelay(INPUTS, 32, 3)), "dense"),
}


@pytest.mark.parametrize("name", slow_but(["gain"], NETWORKS))
def test_a_step_neither_reads_nor_copies(name: str, launches: Any) -> None:
    make, form = NETWORKS[name]
    spikes = bits() if form == "bits" else bits().dense().float()
    found = launches.counted(make(), spikes)
    assert not found.reads
    assert not found.copies


def test_the_counter_sees_reads_and_copies(launches: Any) -> None:
    operations = launches.Operations()
    with operations:
        x = torch.tensor([1.0, 2.0]) + 1
        assert float(x.sum()) == 5
        assert x.any()
    assert operations.reads.total() == 2
    assert operations.copies.total() == 1


def test_an_encoder_copies_nothing(launches: Any) -> None:
    operations = launches.Operations()
    values = torch.rand(B, INPUTS)
    with operations:
        launches.gpu_kernels.cuda.rate(values, T, 3, None)
    assert not operations.reads
    assert not operations.copies


@pytest.mark.slow
def test_launches_of_a_step_and_what_is_compiled(tmp_path: Path) -> None:
    """Of a network with a hidden layer; another batch or number of steps compiles nothing."""
    script = """
import torch
import gpu_launches
from izhi.kernels import PackedSpikes
recorder = gpu_launches.gpu_kernels.Recorder()
recorder.install()
network = gpu_launches.NETWORKS["Izhikevich, gain learned"]()
for steps, batch in ((100, 16), (100, 16), (40, 7), (33, 128), (1, 16)):
    recorder.launches.clear()
    words = torch.zeros(batch, -(-steps // 32), gpu_launches.SIZES[0], dtype=torch.int32)
    gpu_launches.counted(network, PackedSpikes(words, steps, torch.bfloat16, checked=True))
    print(len(recorder.launches) // 2, len(recorder.variants))
"""
    own = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    own["PYTHONPATH"] = os.pathsep.join([str(BENCHMARKS), own.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", script], env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(rows) == 5
    assert all(count <= 8 for count, _ in rows)
    # Lanes of the readout, 10 to a sample, are divisible by 16 in some batches only: one more of two kernels.
    assert rows[1][1] == rows[0][1]
    assert rows[-1][1] <= rows[0][1] + 2


class Later(DeferredFlags):
    """Flags that arrive when they are told to."""

    has_arrived = False

    def read(self) -> list[bool] | None:
        return super().read() if Later.has_arrived else None


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Flags arrive later, as from a GPU."""
    monkeypatch.setattr("izhi.network.network.waits_for", lambda device: True)
    for module in ("izhi.network.network", "izhi.neurons.silence"):
        monkeypatch.setattr(f"{module}.DeferredFlags", Later)
    yield
    Later.has_arrived = False


@pytest.mark.usefixtures("gpu")
def test_states_that_are_no_numbers_are_an_error_of_a_later_call() -> None:
    net, spikes = network(LIF()), torch.ones(T, B, INPUTS)
    net(spikes * float("nan"))
    net(spikes)  # nothing has arrived yet
    Later.has_arrived = True
    with pytest.raises(DivergenceError, match="layer 1"):
        net(spikes)
    net(spikes)  # what is right again raises nothing
    net(spikes)


@pytest.mark.usefixtures("gpu")
def test_silence_is_counted_in_the_calls_that_were_read() -> None:
    layer = Layer(Linear(INPUTS, 32), Izhikevich("RS", gain=1e-6))
    spikes = torch.ones(50, B, INPUTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SilentLayerWarning)
        for _ in range(9):
            layer(spikes)
    assert layer.watch.calls == 0
    Later.has_arrived = True
    for _ in range(4):
        layer(spikes)
    with pytest.warns(SilentLayerWarning, match="in 5 calls"):
        layer(spikes)


def test_a_copy_of_a_network_waits_for_no_flags() -> None:
    flags = DeferredFlags(torch.tensor([True, False]))
    assert deepcopy(flags).read() == [False, False]
