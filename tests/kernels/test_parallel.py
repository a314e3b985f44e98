"""The threads that kernels run in where those of torch cannot be taken over: on macOS, Windows, with another OpenMP."""

import json
import os
import subprocess
import sys

import pytest

#: No library that is opened knows how to begin a parallel region.
NOWHERE = """
import ctypes

class CDLL(ctypes.CDLL):
    def __getattr__(self, name):
        if name.startswith("GOMP_"):
            raise AttributeError(name)
        return super().__getattr__(name)

ctypes.CDLL = CDLL
"""
TRAINED = """
import hashlib, json, torch, izhi
from izhi.connections import Linear
from izhi.kernels.cpu import parallel
from izhi.network import Layer, Network
from izhi.network.synapses import ExponentialSynapse

torch.set_num_threads(2)
torch.manual_seed(0)
network = Network([
    Layer(Linear(20, 300, recurrent=True), izhi.Izhikevich("normalized", kernel="cpu", learn=("a2",))),
    Layer(Linear(300, 10, synapse=ExponentialSynapse(2.0)), izhi.LIF(kernel="cpu")),
])
currents = (torch.rand(12, 9, 20) < 0.5).float().requires_grad_()
spikes = network(currents).output
(spikes * torch.rand_like(spikes)).sum().backward()
numbers = [spikes, currents.grad, *(p.grad for p in network.parameters() if p.grad is not None)]
print(json.dumps([
    parallel._OPENMP is not None,
    spikes.sum().item(),
    [hashlib.sha256(x.detach().contiguous().numpy().tobytes()).hexdigest() for x in numbers],
]))
"""


def trained(before=""):
    """Whether torch's threads are taken over, the number of spikes, and of all that is computed a hash."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    code = f"{before}\n{TRAINED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_same_numbers_without_the_threads_of_torch():
    _, spikes, numbers = trained()
    assert spikes > 0
    assert len(numbers) > 5
    assert trained(NOWHERE) == [False, spikes, numbers]
