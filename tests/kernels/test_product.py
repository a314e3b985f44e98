"""Products of spikes and weights, and the matrix unit's gradient, where there is one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from izhi.kernels import product
from izhi.kernels.cpu import amx

needs_amx = pytest.mark.skipif(not amx.is_available(), reason="this CPU has no AMX for bfloat16")


@needs_amx
@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 1200),
    outputs=st.integers(1, 600),
    inputs=st.integers(1, 500),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_gradient_of_weights(rows, outputs, inputs, threads, seed):
    """Sums of products of bfloat16 in float32, whatever the shape and the number of threads."""
    torch.manual_seed(seed)
    g, s = torch.randn(rows, outputs).bfloat16(), (torch.rand(rows, inputs) < 0.2).bfloat16()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = amx.weight_gradient(g, s)
    finally:
        torch.set_num_threads(before)
    expected = g.double().t() @ s.double()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("steps", [2, 40])
def test_product_is_a_linear_layer(steps):
    spikes = (torch.rand(steps, 32, 70) < 0.3).bfloat16()
    weight = torch.randn(50, 70, requires_grad=True)
    s = spikes.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = product(s, weight)
    g = torch.randn(out.shape).bfloat16()
    out.backward(g)
    assert out.dtype == torch.bfloat16
    assert weight.grad.dtype == torch.float32
    rounded = weight.detach().bfloat16().double()
    assert (out.double() - spikes.double() @ rounded.t()).abs().max() < 0.1
    expected = torch.einsum("tbn,tbi->ni", g.double(), spikes.double())
    assert (weight.grad - expected).abs().max() < 1e-2 * expected.abs().max()
    assert (s.grad.double() - g.double() @ rounded).abs().max() < 0.5


def test_float32_is_torch():
    spikes, weight = (torch.rand(40, 32, 70) < 0.3).float(), torch.randn(50, 70)
    assert torch.equal(product(spikes, weight), torch.nn.functional.linear(spikes, weight))
