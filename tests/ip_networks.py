"""Random networks and inputs for the FPGA IP."""

import numpy as np

from izhi.hardware import ip as hls_ip
from izhi.hardware.artifact import IPArtifact
from izhi.hardware.ip import IPNetwork


def a_network(seed=1, sizes=(4, 8, 3), build="izhi"):
    random = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [random.normal(0, 0.6, shape) for shape in shapes]
    return IPNetwork.of(weights, [random.normal(0.1, 0.2, n) for n, _ in shapes], build)


def currents_of(network, count=6, seed=2):
    return np.random.default_rng(seed).random((count, network.inputs), np.float32)


def artifact_of(network, currents=None):
    currents = currents_of(network, 2) if currents is None else currents
    classes = tuple(map(str, range(network.outputs)))
    return IPArtifact(network, classes, {}, {}, currents, hls_ip.run(network, currents).scores)
