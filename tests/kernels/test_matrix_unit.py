"""Products and layers by the matrix unit: what dense products and kernels of neurons alone give, for any shape.

CPUs without one, and without AVX-512 BF16, multiply tiles as float32.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings, strategies as st
from llvmlite.binding import get_host_cpu_features
from torch import Tensor, nn

import numpy_kernels
from izhi import LIF, Izhikevich
from izhi.kernels import PackedSpikes, SynapticInput, product, routes, takes_bits
from izhi.kernels.cpu import bits, event_tiles, events, matrix_unit
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.network.connections import CONNECTIONS, AxonalDelay, Linear, SynapticDelay
from spikes import spikes_of_some
from tiers import slow_but

quick = settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
steps, batches, widths = st.integers(1, 70), st.integers(1, 9), st.integers(1, 100)
#: Largest difference of what is rounded to bfloat16, relative to the largest number.
ROUNDING = 2.0**-8


@pytest.fixture(autouse=True)
def many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def tiles_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every CPU."""
    monkeypatch.setattr(matrix_unit, "has_bf16_dot", lambda: True)


@pytest.mark.slow
def test_tiles_are_the_same_without_instructions_for_bfloat16() -> None:
    """As on a CPU that has none, which runs all tests of this module so."""
    features = get_host_cpu_features()
    lacking = [name for name in features if name.startswith(("amx", "avx512"))]
    if not any(features[name] for name in lacking):
        pytest.skip("this CPU has none")
    features.update(dict.fromkeys(lacking, False))
    environment = {**os.environ, "NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": features.flatten()}
    names = "test_products_and_gradients or test_recurrence"
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "2 passed" in done.stdout


@quick
@given(
    steps, batches, widths, st.integers(1, 150), st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from([0.0, 0.6]), st.integers(0, 99),
)  # fmt: skip
# One block of outputs, which threads share by their inputs: each reads places from the first that is its own.
@example(4, 9, 84, 64, 0.6, 1.0, 0.6, 0)
def test_products_and_gradients_are_those_of_dense_spikes(
    time: int, batch: int, inputs: int, outputs: int, density: float, active: float, usual: float, seed: int
) -> None:
    spikes = spikes_of_some((time, batch, inputs), density, active, seed, usual=usual)
    found = PackedSpikes.pack(spikes).events()
    weight, g = torch.randn(outputs, inputs), torch.randn(time, batch, outputs).bfloat16()
    out, gradient = event_tiles.product(found, weight), event_tiles.weight_gradient(found, g)
    expected = spikes.double() @ weight.bfloat16().double().t()
    assert out.dtype == torch.bfloat16
    assert out.shape == expected.shape
    torch.testing.assert_close(out.double(), expected, rtol=ROUNDING, atol=1e-5)
    exact = g.double().flatten(0, 1).t() @ spikes.double().flatten(0, 1)
    torch.testing.assert_close(gradient.double(), exact, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    ("connection", "widths"),
    slow_but(
        [("linear", (70, 40)), ("recurrent", (96,))],
        [("linear", (70, 40)), ("linear", (128, 64)), *((name, (96,)) for name in CONNECTIONS)],
    ),
)
def test_a_network_learns_as_without_the_unit(
    connection: str, widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16 both ways: the first layer's gradients differ by roundings alone."""
    spikes = PackedSpikes.pack(spikes_of_some((30, 20, 200), 0.4, 0.2, 1))
    labels = torch.arange(20) % 10

    def gradients() -> tuple[float, list[Tensor]]:
        torch.manual_seed(0)
        synapse, recurrent = CONNECTIONS[connection]
        rows, before = [], 200
        for width in (*widths, 10):
            linear = Linear(before, width, synapse=None if synapse is None else synapse(5.0), recurrent=recurrent)
            rows.append(Layer(linear, LIF(threshold=0.03 if "conductance" in connection else 1.0)))
            before = width
        network = Network(rows)
        with torch.autocast("cpu", torch.bfloat16):
            out = network(spikes)
        loss = nn.functional.cross_entropy(out.output.float().sum(0), labels)
        loss.backward()
        return loss.item(), [p.grad for p in network.parameters() if p.grad is not None]

    with_unit = gradients()
    assert all(x.any() for x in with_unit[1])
    monkeypatch.setattr(matrix_unit, "has_bf16_dot", lambda: False)
    without = gradients()
    if "recurrent" in connection:  # which is then in float32
        assert with_unit[0] == pytest.approx(without[0], rel=0.05)
        return
    assert with_unit[0] == pytest.approx(without[0], rel=1e-3)
    for one, other in zip(with_unit[1], without[1], strict=True):
        assert (one - other).norm() <= 0.02 * other.norm()


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    "between", ["axonal delays", "delays", "pool", "dropout", "parts", "normalisation", "residual"]
)
def test_what_stands_behind_bits_takes_them(between: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spikes = PackedSpikes.pack(spikes_of_some((40, 20, 200), 0.4, 0.2, 1))

    def gradients() -> tuple[Tensor, list[Tensor]]:
        torch.manual_seed(0)
        first, width = Layer(Linear(200, 64), LIF()), 64
        rows: list[nn.Module] = [first]
        delay, norm = None, None
        if between == "axonal delays":
            delay = AxonalDelay(64, 3)
        elif between == "delays":
            delay = SynapticDelay(64, 10, 3)
        elif between == "pool":
            rows, width = [first, nn.Unflatten(1, (1, 64)), nn.MaxPool1d(2), nn.Flatten()], 32
        elif between == "normalisation":
            norm = BatchNorm(10)
        elif between == "residual":
            rows = [first, Residual([Layer(Linear(64, 64), LIF())])]
        keep_every = 16 if between == "parts" else None
        network = Network(
            [*rows, Layer(Linear(width, 10), LIF(), delay, norm)], keep_every=keep_every,
            dropout=0.3 if between == "dropout" else 0.0,
        )  # fmt: skip
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            out = network(spikes).output.float()
        (out.sum(0) * torch.linspace(-1, 1, 10)).sum().backward()
        return out, [p.grad for p in network.parameters() if p.grad is not None]

    one = gradients()
    assert one[0].any()
    assert all(x.any() for x in one[1])
    monkeypatch.setattr(matrix_unit, "has_bf16_dot", lambda: False)
    two = gradients()
    assert (one[0] != two[0]).float().mean() < 0.01
    for x, y in zip(one[1], two[1], strict=True):
        assert (x - y).norm() <= 0.05 * y.norm() + 1e-6


@pytest.mark.slow
@quick
@given(st.integers(1, 40), st.integers(1, 70), st.sampled_from([32, 64, 96]), st.booleans(), st.integers(0, 99))
def test_recurrence_by_the_unit_is_that_of_single_steps(
    time: int, batch: int, neurons: int, learn: bool, seed: int
) -> None:
    """Each step's product is rounded to bfloat16 once it is added to the current."""
    torch.manual_seed(seed)
    neuron = Izhikevich(learn=("a", "gain") if learn else ())
    current = torch.randn(time, batch, neurons).bfloat16()
    feedback = nn.Parameter(torch.randn(neurons, neurons) / neurons**0.5)

    def run() -> tuple[Tensor, list[Tensor]]:
        own = current.clone().requires_grad_()
        neuron.zero_grad()
        feedback.grad = None
        out, _ = neuron(SynapticInput(own, feedback=feedback))
        (out.float() * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
        return out, [own.grad, feedback.grad, *(p.grad for p in neuron.parameters() if p.grad is not None)]

    one = run()
    assert one[1][0].any() == (time > 1)  # the current of the last step fires in the next one
    assert bool(one[1][1].any()) == bool(
        one[0][:-2].any()
    )  # a spike arrives in the next step, which fires in the one after
    with pytest.MonkeyPatch.context() as patch:
        numpy_kernels.use(patch)
        two = run()
    if torch.equal(one[0], two[0]):  # sums in another order may move a current over a threshold
        for x, y in zip(one[1], two[1], strict=True):
            assert (x - y).norm() <= 0.02 * y.norm() + 1e-6
    else:
        assert (one[0] != two[0]).float().mean() < 0.02


@pytest.mark.parametrize("rate", [0.05, 0.9])
def test_bits_in_bfloat16_need_no_autocast_however_many_fire(rate: float) -> None:
    x = (torch.rand(20, 4, 30) < rate).bfloat16()
    weight = torch.randn(24, 30, requires_grad=True)
    out = product(PackedSpikes.pack(x), weight)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), x.float() @ weight.T, rtol=0.02, atol=0.05)
    out.float().sum().backward()
    torch.testing.assert_close(weight.grad, x.float().sum((0, 1)).expand(24, -1), rtol=0.02, atol=0.05)


def test_ways_are_said() -> None:
    spikes = PackedSpikes.pack(spikes_of_some((20, 6, 50), 0.5, 0.3, 2))
    network = Network([Layer(Linear(50, 24), LIF()), Layer(Linear(24, 10), LIF())])
    with routes.recorded() as found:
        network(spikes)
    assert [x.kernel for x in found] == [
        f"{matrix_unit.name()}, spikes as bits along time",
        "one kernel, product and all (Numba)",
        f"{matrix_unit.name()}, spikes as bits along time",
        "one kernel through all steps (Numba)",
    ]


def test_without_the_unit_products_in_bfloat16_are_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_unit, "has_bf16_dot", lambda: False)
    spikes = PackedSpikes.pack(spikes_of_some((20, 6, 50), 0.5, 0.3, 2))
    with torch.autocast("cpu", torch.bfloat16):
        out = product(spikes, torch.randn(24, 50))
    assert type(out) is Tensor
    assert not takes_bits(torch.bfloat16, "cpu")
    assert takes_bits(torch.float32, "cpu")


@quick
@given(steps, batches, widths, st.integers(0, 9))
def test_bits_are_counted(time: int, batch: int, inputs: int, seed: int) -> None:
    spikes = spikes_of_some((time, batch, inputs), 0.4, 0.8, seed)
    assert torch.equal(bits.counted(PackedSpikes.pack(spikes).words), spikes.float().sum((0, 1)))


@quick
@given(steps, batches, widths, st.integers(0, 9))
def test_words_of_inputs_that_fire_lie_side_by_side(time: int, batch: int, inputs: int, seed: int) -> None:
    words = PackedSpikes.pack(spikes_of_some((time, batch, inputs), 0.4, 0.5, seed)).words
    found = events.listed(words, time)
    for b in range(batch):
        count = int(found.counts[b])
        places = found.places[b, :count].long()
        assert torch.equal(words[b].any(0).nonzero().flatten(), places)
        assert torch.equal(found.gathered[b, :, :count], words[b][:, places])
        assert not found.gathered[b, :, count : -(-count // 32) * 32].any()
    assert found.active == pytest.approx(float((words != 0).any(1).float().mean()))
