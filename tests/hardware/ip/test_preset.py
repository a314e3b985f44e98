"""Networks of the preset hls-ip in torch, and the same on the IP."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from izhi import Izhikevich, preset
from izhi.hardware import ip as hls_ip
from izhi.network.connections import Linear
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.spec.parameters import COEFFICIENTS
from tiers import slow_but


def a_network(seed, sizes, kernel, scale=0.6):
    """A random network in torch, and the same for the IP."""
    torch.manual_seed(seed)
    layers = []
    for before, width in pairwise(sizes):
        connection = Linear(before, width)
        with torch.no_grad():
            connection.weight.normal_(0, scale)
            connection.input.bias.normal_(0, 0.2)
        layers.append(Layer(connection, Izhikevich("hls-ip", kernel=kernel)))
    pairs = [(x.connection.weight.detach(), x.connection.input.bias.detach()) for x in layers]
    return Network(layers), hls_ip.IPNetwork.of(*zip(*pairs, strict=True))


def test_coefficients_are_those_of_normalized():
    ip, normalized = preset("hls-ip"), preset("normalized")
    assert all(getattr(ip, x) == getattr(normalized, x) for x in (*COEFFICIENTS, "v0", "u0", "dt"))
    assert ip.order == "fpga-ip"
    assert ip.limits == (-math.inf, math.inf)


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
@pytest.mark.parametrize("sizes", slow_but([[12, 16, 16, 3]], [[4, 16, 3], [12, 16, 16, 3], [16, 16, 16, 16, 16, 5]]))
@pytest.mark.parametrize(("scale", "allowed"), [(0.3, 0), (0.6, 2e-3)])
def test_spikes_in_torch_are_those_of_the_ip(sizes, scale, allowed, kernel):
    """Sums are rounded in another order there, which moves a spike only where large currents throw v about."""
    fired = different = 0
    for seed in range(12):
        network, same = a_network(seed, sizes, kernel, scale)
        currents = torch.rand(40, sizes[0])
        with torch.no_grad():
            out = network.record(currents.expand(hls_ip.STEPS, -1, -1).contiguous())
        expected = hls_ip.run(same, currents.numpy())
        for a, b in zip(out.spikes, expected.spikes, strict=True):
            different += int((a.numpy() != b).sum())
            fired += int(b.sum())
    assert fired > 10_000
    assert different <= allowed * fired


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
@pytest.mark.parametrize("gradient", [False, True])
def test_v_has_no_limits(kernel, gradient):
    """Far below rest v overshoots, as on the IP, and returns from infinity by its reset."""
    network, same = a_network(1, (1, 4), kernel, scale=3.0)
    currents = torch.tensor([[-2.0], [-1e15], [-1e30], [3.0], [1e25]])
    with torch.set_grad_enabled(gradient):
        out = network.record(currents.expand(hls_ip.STEPS, -1, -1).contiguous())
    expected = hls_ip.run(same, currents.numpy())
    assert np.array_equal(out.spikes[0].detach().numpy(), expected.spikes[0])
    assert expected.spikes[0].sum() > 100


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
def test_gradients_are_finite(kernel):
    network, _ = a_network(2, (4, 16, 3), kernel)
    out = network(torch.rand(20, 4).expand(hls_ip.STEPS, -1, -1).contiguous())
    out.output.sum().backward()
    gradients = [x.grad for x in network.parameters() if x.requires_grad]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)
