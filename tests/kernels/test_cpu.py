"""The Numba kernels against the torch reference, on random shapes and parameters."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import izhi
from izhi import LIF, Izhikevich, preset
from izhi.kernels import Drive
from izhi.neurons import ORDERS

SURROGATES = [
    izhi.surrogate.ATan(2.0),
    izhi.surrogate.FastSigmoid(10.0),
    izhi.surrogate.Sigmoid(4.0),
]


def run(neuron, current, conductance=None, state=None):
    leaves = [current.clone().requires_grad_()]
    if conductance is not None:
        leaves.append(conductance.clone().requires_grad_())
    drive = Drive(*leaves)
    spikes, last = neuron(drive, state)
    weight = torch.linspace(-1, 1, spikes.numel()).reshape(spikes.shape)
    loss = (spikes.float() * weight).sum() + sum(0.01 * x.sum() for x in last)
    loss.backward()
    return spikes, last, [leaf.grad.float() for leaf in leaves]


shapes = st.tuples(st.integers(1, 30), st.integers(1, 5), st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(
    shape=shapes,
    order=st.sampled_from(list(ORDERS)),
    name=st.sampled_from(["normalized", "RS", "FS", "CH", "normalized-IB"]),
    coupled=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    surrogate=st.sampled_from(SURROGATES),
    limit=st.sampled_from([1.0, 0.9, float("inf")]),
    seed=st.integers(0, 2**31),
)
def test_izhikevich_equals_the_reference(
    shape, order, name, coupled, dtype, surrogate, limit, seed
):
    torch.manual_seed(seed)
    p = preset(name).replace(order=order)
    scale = 15.0 if p.unit == "mV" else 0.15
    current = ((torch.randn(shape) + 0.7) * scale).to(dtype)
    conductance = torch.rand(shape) * 0.1 if coupled else None
    options = {"surrogate": surrogate, "jacobian_limit": limit, "gain": 1.3}
    one = run(Izhikevich(p, kernel="reference", **options), current, conductance)
    two = run(Izhikevich(p, kernel="cpu", **options), current, conductance)
    assert torch.equal(one[0], two[0])
    for a, b in zip((*one[1], *one[2]), (*two[1], *two[2]), strict=True):
        scale = a.abs().max().clamp(min=1e-6)
        assert torch.isfinite(a).all()
        assert ((a - b).abs().max() / scale) < (2e-2 if dtype == torch.bfloat16 else 1e-4)


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes,
    reset=st.sampled_from(["subtract", "zero", "none"]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    surrogate=st.sampled_from(SURROGATES),
    seed=st.integers(0, 2**31),
)
def test_lif_equals_the_reference(shape, reset, dtype, surrogate, seed):
    torch.manual_seed(seed)
    current = torch.randn(shape).to(dtype)
    one = run(LIF(0.9, reset=reset, surrogate=surrogate, kernel="reference"), current)
    two = run(LIF(0.9, reset=reset, surrogate=surrogate, kernel="cpu"), current)
    assert torch.equal(one[0], two[0])
    torch.testing.assert_close(one[1][0], two[1][0])
    torch.testing.assert_close(one[2][0], two[2][0], rtol=2e-2, atol=1e-4)


def test_more_lanes_than_one_block():
    current = torch.randn(12, 9, 700) * 0.2
    one = run(Izhikevich(kernel="reference"), current)
    two = run(Izhikevich(kernel="cpu"), current)
    assert torch.equal(one[0], two[0])
    torch.testing.assert_close(one[2][0], two[2][0])


def test_a_layout_that_is_not_contiguous():
    current = (torch.randn(9, 4, 12) * 0.2).transpose(0, 2)
    spikes, _ = Izhikevich(kernel="cpu")(current)
    assert torch.equal(spikes, Izhikevich(kernel="reference")(current)[0])


def test_double_precision_goes_to_the_reference():
    current = torch.rand(9, 2, 3, dtype=torch.float64)
    spikes, state = Izhikevich()(current)
    assert spikes.dtype == state.v.dtype == torch.float64


def test_a_second_process_finds_the_compiled_kernels(tmp_path):
    """Nothing is compiled, and nothing added to the cache on disk, the second time."""
    script = (
        "import torch, izhi; x = izhi.encoding.rate(torch.rand(2, 3), 4).requires_grad_();"
        "[neuron(x)[0].sum().backward() for neuron in (izhi.Izhikevich(), izhi.LIF())]"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    counts = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], check=True, env=environment)
        counts.append(sorted(p.name for p in tmp_path.rglob("*.nb?")))
    assert len(counts[0]) == 10, "index and code of two kernels forward, two backward, one encoder"
    assert counts[0] == counts[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_the_reference_runs_on_a_gpu():
    current = torch.randn(20, 4, 30) * 0.2
    here, _ = Izhikevich()(current)
    there, _ = Izhikevich()(current.cuda())
    assert (here != there.cpu()).float().mean() < 0.01
