"""Pools: the kernels against torch's own modules, forward and backward."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import nn

from izhi.kernels import pool, pool_bits
from izhi.kernels.packed import BinarySpikes, as_bits
from izhi.network.connections import Conv2d
from izhi.network.layers import Layer
from izhi.network.sequence import each_step
from izhi.neurons import LIF

SIZES = st.integers(1, 9)


@pytest.mark.usefixtures("kernels_of")
@given(
    kind=st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]), shape=st.tuples(SIZES, SIZES, SIZES, SIZES),
    kernel=st.sampled_from([(2, 2), (3, 2), (1, 4), (4, 3)]), dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    ties=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pools_are_those_of_torch(kind, shape, kernel, dtype, ties, seed):
    torch.manual_seed(seed)
    x = torch.randn(shape)
    x = ((x > 0.5).float() if ties else x).to(dtype).requires_grad_()
    module = kind(kernel)
    found = pool(module, x)
    if shape[2] < kernel[0] or shape[3] < kernel[1]:
        assert found is None
        return
    expected = module(x)
    g = torch.randn(expected.shape).to(dtype)
    exactly = {"rtol": 0, "atol": 0} if dtype == torch.float32 or kind is nn.MaxPool2d else {"rtol": 1e-2, "atol": 1e-2}
    torch.testing.assert_close(found, expected, **exactly)
    gradients = (torch.autograd.grad(y, x, g)[0] for y in (found, expected))
    torch.testing.assert_close(*gradients, **exactly)


@pytest.mark.usefixtures("kernels_of")
@given(
    steps=st.sampled_from([1, 31, 32, 65]), shape=st.tuples(st.integers(1, 3), *[SIZES] * 3),
    kernel=st.sampled_from([(2, 2), (3, 2), (1, 4), (4, 3)]), density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pools_of_bits_are_those_of_numbers(steps, shape, kernel, density, dtype, seed):
    torch.manual_seed(seed)
    numbers = (torch.rand(steps, *shape) < density).to(dtype)
    module, bits = nn.MaxPool2d(kernel), as_bits(numbers).requires_grad_()
    found = pool_bits(module, bits)
    if shape[2] < kernel[0] or shape[3] < kernel[1]:
        assert found is None
        return
    expected = module(numbers.requires_grad_().flatten(0, 1)).view(found.shape)
    assert isinstance(found, BinarySpikes)
    assert (found.dtype, bool((found == expected).all())) == (dtype, True)
    g = torch.randn(expected.shape).to(dtype)
    assert torch.equal(*(torch.autograd.grad(y, x, g)[0] for y, x in ((found, bits), (expected, numbers))))


@pytest.mark.usefixtures("kernels_of")
def test_bits_are_pooled_along_one_direction():
    numbers = (torch.rand(5, 4, 3, 11) < 0.3).float()
    found = pool_bits(nn.MaxPool1d(3), as_bits(numbers))
    assert torch.equal(found + 0, nn.functional.max_pool1d(numbers.flatten(0, 1), 3).view(found.shape))


@pytest.mark.parametrize("module", [nn.AvgPool2d(2), nn.MaxPool2d(3, stride=2), nn.MaxPool1d(2)])
def test_other_pools_take_numbers(module):
    spikes = as_bits(torch.ones(3, 2, 1, 4, 4))
    assert pool_bits(module, spikes) is None
    spikes[0, 0, 0, 0, 0] = 3.0  # no bit
    assert pool_bits(nn.MaxPool2d(2), spikes) is None


def test_what_lies_between_layers_of_images_stays_bits():
    torch.manual_seed(0)
    layers = [Layer(Conv2d(1, 4, 3), LIF()), nn.MaxPool2d(2), Layer(Conv2d(4, 8, 3, bias=False), LIF()), nn.Flatten()]
    spikes, found = 3 * torch.rand(9, 5, 1, 12, 12), []
    for module in layers:
        spikes = module(spikes)[0] if isinstance(module, Layer) else each_step(module, spikes)
        found.append(spikes)
    assert all(isinstance(x, BinarySpikes) for x in found)
    assert [x.shape[2:] for x in found] == [(4, 10, 10), (4, 5, 5), (8, 3, 3), (72,)]
    assert found[-1].any()


@pytest.mark.usefixtures("kernels_of")
@pytest.mark.parametrize("module", [nn.MaxPool1d(3), nn.AvgPool1d(2)])
def test_pools_along_one_direction(module):
    x = torch.randn(4, 3, 11, requires_grad=True)
    found, expected = pool(module, x), module(x)
    assert torch.equal(found, expected)
    g = torch.randn(expected.shape)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, g)[0] for y in (found, expected)))


@pytest.mark.usefixtures("kernels_of")
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_not_a_number_stays_so(place):
    x = torch.ones(1, 1, 4, 4)
    x[0, 0, place, place] = torch.nan
    assert pool(nn.MaxPool2d(2), x).isnan().sum() == 1


@pytest.mark.parametrize(
    "module",
    [
        nn.MaxPool2d(3, stride=2), nn.MaxPool2d(3, padding=1), nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(2, return_indices=True), nn.MaxPool2d(2, dilation=2), nn.AvgPool2d(2, divisor_override=3),
        nn.AvgPool2d(3, padding=1), nn.MaxPool2d(17), nn.LPPool2d(2, 2), nn.AdaptiveAvgPool2d(2),
    ],
)  # fmt: skip
def test_others_are_left_to_torch(module):
    assert pool(module, torch.ones(1, 1, 20, 20)) is None


def test_hooks_of_a_pool_are_called():
    module, seen = nn.MaxPool2d(2), []
    module.register_forward_hook(lambda module, given, out: seen.append(out))
    each_step(module, torch.ones(3, 2, 1, 4, 4))
    assert len(seen) == 1


def test_hooks_of_a_pool_are_called_in_the_backward_pass():
    module, seen = nn.MaxPool2d(2), []
    module.register_full_backward_hook(lambda module, to, given: seen.append(given))
    each_step(module, torch.ones(3, 2, 1, 4, 4, requires_grad=True)).sum().backward()
    assert len(seen) == 1


def test_a_compiled_network_has_torchs_own_pool():
    compiled = torch.compile(lambda x: each_step(nn.MaxPool2d(2), x), backend="eager", fullgraph=True)
    x = torch.randn(3, 2, 1, 4, 4)
    assert torch.equal(compiled(x), each_step(nn.MaxPool2d(2), x))
