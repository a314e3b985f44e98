"""Convolutions that visit what is not 0, against torch's in float64, forward and backward."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from izhi.errors import ShapeError
from izhi.kernels import PackedSpikes, convolve, routes
from izhi.kernels.cpu import convolution
from izhi.kernels.cpu.geometry import Convolution
from izhi.kernels.packed import as_bits
from izhi.network import Network
from izhi.network.connections import Conv1d, Conv2d
from izhi.network.layers import Layer
from izhi.neurons import LIF

#: Kernel and stride along the columns, and channels, of which each has kernels of its own.
KINDS = [((3, 3), 1, 8), ((1, 9), 1, 33), ((2, 4), 3, 20), ((1, 1), 1, 70), ((1, 1), 2, 70)]


def close(found, expected, dtype):
    scale = float(expected.abs().max()) or 1.0
    error = float((found.double() - expected).abs().max()) / scale
    assert error < (2e-6 if dtype == torch.float32 else 1e-2), error


@given(
    kind=st.sampled_from(KINDS), rows=st.integers(5, 19), columns=st.integers(9, 40), down=st.integers(1, 3),
    before=st.tuples(st.integers(0, 3), st.integers(0, 3)), after=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    gap=st.integers(1, 2), groups=st.integers(1, 3), inputs=st.integers(1, 18),
    images=st.tuples(st.integers(1, 4), st.integers(1, 4)), density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    is_binary=st.booleans(), dtype=st.sampled_from([torch.float32, torch.bfloat16]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
@pytest.mark.slow
def test_sums_are_those_of_torch(
    kind, rows, columns, down, before, after, gap, groups, inputs, images, density, is_binary, dtype, seed
):
    torch.manual_seed(seed)
    kernel, right, outputs = kind
    c = Convolution(
        inputs * groups, outputs * groups, (rows, columns), kernel, (down, right), (gap, 1), before, after, groups
    )
    x = torch.ones(*images, c.inputs, rows, columns) if is_binary else torch.randn(*images, c.inputs, rows, columns)
    x = (x * (torch.rand(x.shape) < density)).to(dtype)
    weight = torch.randn(c.outputs, inputs, *kernel).to(dtype)
    whole, exact = x.double().requires_grad_(), weight.double().requires_grad_()
    padded = nn.functional.pad(whole.flatten(0, 1), (before[1], after[1], before[0], after[0]))
    expected = nn.functional.conv2d(padded, exact, None, c.stride, 0, c.dilation, groups).view(
        *images, c.outputs, *c.places
    )
    g = (torch.randn(expected.shape) * (torch.rand(expected.shape) < 0.6)).to(dtype)
    expected.backward(g.double())
    close(convolution.forward(c, x, weight), expected.detach(), dtype)
    close(convolution.weight_gradient(c, x, g), exact.grad, torch.float32)
    close(convolution.input_gradient(c, weight, g), whole.grad, dtype)


def spikes_of(*shape, density=0.1, seed=0):
    torch.manual_seed(seed)
    return (torch.rand(shape) < density).float()


#: Label → a share of numbers that are not 0 for which it is chosen in float32.
DENSITIES = {"sums over what is not 0": 0.1, "torch's, but for the gradient of the weights": 0.3, "torch's": 0.6}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("label", list(DENSITIES)[:2])
@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.Conv2d(6, 8, 3, padding=1), (20, 20)), (nn.Conv2d(6, 8, 4, padding="same"), (20, 20)),
        (nn.Conv2d(6, 8, (2, 3), stride=2, dilation=(3, 1)), (20, 20)), (nn.Conv2d(6, 16, 3, groups=2), (20, 20)),
        (nn.Conv1d(6, 8, 5, padding=2), (400,)), (nn.Conv1d(8, 8, 4, padding="same"), (400,)),
        (nn.Conv1d(8, 24, 7, stride=3), (400,)),
    ],
)  # fmt: skip
def test_connections_use_them_as_torch_does(module, size, label):
    spikes = spikes_of(7, 6, module.in_channels, *size, density=DENSITIES[label]).requires_grad_()
    connection = (Conv1d if isinstance(module, nn.Conv1d) else Conv2d).of(module)
    with routes.recorded() as found:
        current = connection(spikes).current
    assert [route.kernel for route in found] == [label]
    expected = nn.functional.conv1d if isinstance(module, nn.Conv1d) else nn.functional.conv2d
    expected = expected(
        spikes.flatten(0, 1), module.weight, None, module.stride, module.padding, module.dilation, module.groups
    ).view(7, 6, module.out_channels, *current.shape[3:])
    torch.testing.assert_close(current, expected, rtol=1e-5, atol=1e-6)
    g = torch.randn(current.shape)
    wanted = [spikes, module.weight]
    for one, other in zip(
        torch.autograd.grad(current, wanted, g), torch.autograd.grad(expected, wanted, g), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("density", DENSITIES.values())
@pytest.mark.parametrize(
    ("module", "size"),
    [
        (nn.Conv2d(6, 8, 3, padding=1), (20, 20)), (nn.Conv2d(6, 8, 4, padding="same"), (20, 20)),
        (nn.Conv2d(6, 8, 3, dilation=2, groups=2), (20, 20)), (nn.Conv1d(8, 24, 4, padding="same"), (400,)),
    ],
)  # fmt: skip
def test_spikes_that_are_bits_are_kept_as_bits(module, size, density):
    numbers = spikes_of(35, 6, module.in_channels, *size, density=density).requires_grad_()
    connection = (Conv1d if isinstance(module, nn.Conv1d) else Conv2d).of(module)
    bits = as_bits(numbers.detach()).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x), x)[1], lambda x: x):
        one = connection(bits).current
    assert sum(x.nbytes for x in kept) < numbers.nbytes / 10
    other = connection(numbers).current
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    g = torch.randn(one.shape)
    gradients = [torch.autograd.grad(y, (x, module.weight), g) for y, x in ((one, bits), (other, numbers))]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.fixture
def several_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("several_threads")
def test_numbers_depend_on_no_number_of_threads():
    spikes, module = spikes_of(9, 5, 8, 16, 17).requires_grad_(), nn.Conv2d(8, 24, 3)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        current = convolve(spikes, module.weight, (1, 1), (1, 1), (1, 1))
        found.append((current, *torch.autograd.grad(current.square().sum(), (spikes, module.weight))))
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.slow
def test_autocast_is_in_bfloat16_with_gradients_of_the_weights_format():
    spikes, module = spikes_of(9, 5, 8, 16, 17), nn.Conv2d(8, 24, 3)
    with torch.autocast("cpu", torch.bfloat16):
        current = convolve(spikes, module.weight, (1, 1), (0, 0), (1, 1))
        expected = nn.functional.conv2d(spikes.flatten(0, 1), module.weight).view_as(current)
    assert current.dtype == torch.bfloat16
    torch.testing.assert_close(current, expected, rtol=1e-2, atol=1e-2)
    g = torch.randn(current.shape).bfloat16()
    one, other = (torch.autograd.grad(x, module.weight, g)[0] for x in (current, expected))
    assert one.dtype == torch.float32
    torch.testing.assert_close(one, other, rtol=2e-2, atol=0.2)


@pytest.mark.parametrize(
    ("spikes", "module", "reason"),
    [
        (spikes_of(9, 5, 8, 16, 17, density=0.6), nn.Conv2d(8, 24, 3), "of inputs are not 0"),
        (spikes_of(2, 5, 8, 16, 17), nn.Conv2d(8, 24, 3), "it is small"),
        (spikes_of(9, 5, 8, 16, 17), nn.Conv2d(8, 7, 3), "so few channels leave vectors empty"),
        (spikes_of(9, 5, 8, 16, 17), nn.Conv2d(8, 32, 3, groups=8), "so few channels leave vectors empty"),
        (spikes_of(9, 5, 8, 16, 17), nn.Conv2d(8, 24, 3, dilation=2), "its kernel is dilated"),
        (spikes_of(9, 5, 8, 16, 17).double(), nn.Conv2d(8, 24, 3).double(), "it is in float64"),
    ],
)
def test_others_are_left_to_torch(spikes, module, reason):
    with routes.recorded() as found:
        current = Conv2d.of(module)(spikes).current
    assert [route.kernel for route in found] == ["torch's"]
    assert reason in found[0].reason
    expected = nn.functional.conv2d(spikes.flatten(0, 1), module.weight, None, 1, 0, module.dilation, module.groups)
    assert torch.equal(current, expected.view_as(current))


def test_tensors_without_memory_have_shapes():
    current = Conv2d(8, 24, 3).to("meta")(torch.zeros(9, 5, 8, 16, 17, device="meta")).current
    assert (current.shape, current.device.type) == ((9, 5, 24, 14, 15), "meta")


def test_what_is_not_a_number_stays_so():
    spikes = spikes_of(9, 5, 8, 16, 17)
    spikes[4, 3, 2, 8, 8] = torch.nan
    current = convolve(spikes, nn.Conv2d(8, 24, 3).weight, (1, 1), (0, 0), (1, 1))
    assert current[4, 3].isnan().sum() == 24 * 9
    assert current.isnan().sum() == 24 * 9


def test_formats_that_torch_does_not_multiply_are_refused_however_few_spikes_there_are():
    for density in (0.01, 0.9):
        with pytest.raises(RuntimeError, match="should be the same"):
            convolve(
                spikes_of(9, 5, 8, 16, 17, density=density).bfloat16(),
                nn.Conv2d(8, 24, 3).weight,
                (1, 1),
                (0, 0),
                (1, 1),
            )


def test_images_of_several_samples_are_counted():
    spikes = spikes_of(128, 32, 8, 9, 9, density=0.6)  # whose 64th images are all of one sample
    spikes[:, 0] = 0
    with routes.recorded() as found:
        convolve(spikes, nn.Conv2d(8, 24, 3).weight, (1, 1), (0, 0), (1, 1))
    assert [route.kernel for route in found] == ["torch's"]


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ShapeError, match="spikes have 6 channels, expected 8"):
        convolve(spikes_of(9, 5, 6, 16, 17), nn.Conv2d(8, 24, 3).weight, (1, 1), (0, 0), (1, 1))


def test_a_second_derivative_is_refused():
    module = nn.Conv2d(8, 24, 3)
    current = convolve(spikes_of(9, 5, 8, 16, 17), module.weight, (1, 1), (0, 0), (1, 1))
    (g,) = torch.autograd.grad(current.square().sum(), module.weight, create_graph=True)
    with pytest.raises(Exception, match="kernels have first derivatives alone"):
        g.sum().backward()


@pytest.mark.slow
def test_gradients_flow_through_layers_as_with_torch():
    torch.manual_seed(0)
    layers = [Layer(Conv2d(2, 8, 3), LIF()), nn.MaxPool2d(2), Layer(Conv2d(8, 16, 3, bias=False), LIF()), nn.Flatten()]
    network = Network([*layers, nn.Linear(16 * 36, 3)])
    x = spikes_of(20, 8, 2, 18, 18, density=0.1)
    found = []
    for kernel, limits in zip(DENSITIES, [(2.0, 2.0), (0.0, 2.0), (0.0, 0.0)], strict=True):
        network.zero_grad()
        with routes.recorded() as routed, pytest.MonkeyPatch.context() as patch:
            patch.setattr(routes, "DENSE_CONVOLUTION", dict.fromkeys(routes.DENSE_CONVOLUTION, limits))
            out = network(x)
            out = out[0] if isinstance(out, tuple) else out
            out.float().square().sum().backward()
        assert [r.kernel for r in routed if r.operation.startswith("convolution")] == [kernel] * 2
        found.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    *ours, of_torch = found
    for gradients in ours:
        for one, other in zip(gradients, of_torch, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_packed_spikes_are_no_images():
    with pytest.raises(ShapeError, match="expected 5 dimensions"):
        Conv2d(1, 8, 3)(PackedSpikes.pack(spikes_of(3, 2, 9)))
