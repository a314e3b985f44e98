"""Delays: where spikes arrive, gradients, continuation over chunks, and learning to wait."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from izhi import LIF, Izhikevich, cli
from izhi.errors import DivergenceError, SettingError, ShapeError
from izhi.kernels import PackedSpikes, delayed, delayed_product, product
from izhi.network.connections import AxonalDelay, ConductanceSynapse, Linear, SynapticDelay
from izhi.network.layers import Layer
from izhi.network.network import Network


def spikes_of(*shape, density=0.3, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density).float()


def test_each_neuron_waits_its_own_number_of_steps():
    x = torch.zeros(6, 1, 3)
    x[1] = 1
    y = delayed(x, torch.zeros(5, 1, 3), torch.tensor([0.0, 1.4, 3.6]))
    assert y[:, 0].nonzero().tolist() == [[1, 0], [2, 1], [5, 2]]
    past = torch.zeros(5, 1, 3)
    past[4] = 1
    y = delayed(torch.zeros(6, 1, 3), past, torch.tensor([0.0, 1.0, 3.0]))
    assert y[:, 0].nonzero().tolist() == [[0, 1], [2, 2]]


@pytest.mark.usefixtures("kernels_of")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.integers(1, 40), st.integers(0, 20),
    st.sampled_from([torch.float32, torch.bfloat16]),
)  # fmt: skip
def test_the_kernel_is_the_gather_of_torch(steps, depth, batch, width, seed, dtype):
    random = torch.Generator().manual_seed(seed)
    g = torch.randn(steps, batch, width, generator=random)
    delays = depth * torch.rand(width, generator=random) * 1.2 - 0.1
    found = []
    for kind in (dtype, torch.float64):
        x = spikes_of(steps, batch, width, seed=seed).to(kind).requires_grad_()
        past = spikes_of(depth + 1, batch, width, seed=seed + 1).to(kind).requires_grad_()
        d = delays.clone().requires_grad_()
        y = delayed(x, past, d)
        y.backward(g.to(dtype).to(kind))
        found.append([t.double() for t in (y.detach(), x.grad, past.grad, d.grad)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.integers(1, 12), st.integers(1, 7),
    st.integers(0, 20),
)  # fmt: skip
def test_synapses_with_delays_are_as_many_axons_with_delays(steps, depth, batch, n, m, seed):
    # Synapse by synapse: its axon delayed, and its weight; axonal delays have tests of their own.
    random = torch.Generator().manual_seed(seed)
    g = torch.randn(steps, batch, m, generator=random, dtype=torch.float64)
    past = spikes_of(depth + 1, batch, n, seed=seed + 1).double()
    found = []
    for synaptic in (True, False):
        random.manual_seed(seed)
        x = spikes_of(steps, batch, n, seed=seed).double().requires_grad_()
        w = torch.randn(m, n, generator=random, dtype=torch.float64).requires_grad_()
        # Not at the longest, where the slope has only one side here, but two for axons.
        d = ((depth - 0.6) * torch.rand(m, n, generator=random) - 0.1).clamp(max=depth - 1).requires_grad_()
        if synaptic:
            y = delayed_product(torch.cat([past[1:], x]), w, d, depth)
        else:
            axons = [delayed(x, past, d[j]) @ w[j] for j in range(m)]
            y = torch.stack(axons, -1)
        y.backward(g)
        found.append([t.double() for t in (y.detach(), x.grad, w.grad, d.grad)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_synapse_learns_to_wait_for_the_other():
    # Two spikes 9 steps apart make the neuron fire only if they arrive together.
    torch.manual_seed(0)
    x = torch.zeros(40, 1, 2)
    x[8, :, 0] = x[17, :, 1] = 1
    smooth = torch.exp(-((torch.arange(-12.0, 13) / 4) ** 2))[:, None, None]
    x = torch.nn.functional.conv1d(x.permute(1, 2, 0), smooth.permute(1, 2, 0).repeat(2, 1, 1), padding=12, groups=2)
    x = x.permute(2, 0, 1)
    delay = SynapticDelay(2, 1, 15)
    optimizer = torch.optim.Adam(delay.parameters(), lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        arriving, _ = delay(x)
        (-delay.weigh(arriving, torch.ones(1, 2), product).square().sum()).backward()
        optimizer.step()
    assert delay.steps.min() > -3  # one that cannot wait less does not run away from 0
    first, second = delay.steps.detach()[0].clamp(0, 15)
    assert first - second == pytest.approx(9, abs=1)


def test_the_gradient_is_that_of_a_moved_spike_train():
    # A smooth bump instead of spikes: the loss against the same bump at another delay is known.
    t = torch.arange(60.0)

    def bump(delay):
        return torch.exp(-((t - 30 - delay) ** 2) / 50)[:, None, None]

    delays = torch.tensor([5.0], requires_grad=True)
    loss = (delayed(bump(0), torch.zeros(11, 1, 1), delays) - bump(8)).square().sum()
    loss.backward()
    step = 0.01
    expected = ((bump(5 + step) - bump(8)).square().sum() - (bump(5 - step) - bump(8)).square().sum()) / (2 * step)
    assert delays.grad.item() == pytest.approx(expected.item(), rel=0.05)


def test_delays_learn_when_a_neuron_must_be_hit():
    torch.manual_seed(0)
    t = torch.arange(80.0)
    pulse = torch.exp(-((t - 20) ** 2) / 30)[:, None, None]
    target = torch.exp(-((t - 32) ** 2) / 30)[:, None, None]
    delay = AxonalDelay(1, 20)
    optimizer = torch.optim.Adam(delay.parameters(), lr=0.2)
    for _ in range(150):
        optimizer.zero_grad()
        (delay(pulse)[0] - target).square().sum().backward()
        optimizer.step()
    assert delay.steps.item() == pytest.approx(12, abs=1)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("delays", [AxonalDelay, SynapticDelay])
@pytest.mark.parametrize("neuron", [Izhikevich, LIF])
def test_a_network_goes_on_from_its_state_and_keeps_only_every_kth(neuron, delays):
    x = spikes_of(20, 4, 30)

    def layer(synapse, before, after, largest):
        sizes = (before,) if delays is AxonalDelay else (before, after)
        return Layer(Linear(before, after, synapse=synapse), neuron(), delays(*sizes, largest))

    def make(keep_every=None):
        torch.manual_seed(1)
        network = Network([layer(None, 30, 20, 6), layer(ConductanceSynapse(), 20, 5, 3)], keep_every=keep_every)
        for each in network.layers:
            each.connection.weight.data.abs_().mul_(4)
        return network

    whole = make()
    out = whole(x)
    assert out.output.any()
    first = whole(x[:7])
    second = whole(x[7:], first.state)
    assert torch.equal(torch.cat([first.output, second.output]), out.output)
    out.output.sum().backward()
    chunked = make(keep_every=6)
    chunked(x).output.sum().backward()
    for a, b in zip(whole.parameters(), chunked.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)
    assert torch.equal(make()(PackedSpikes.pack(x)).output, out.output)


def test_bad_input():
    with pytest.raises(SettingError, match="largest is 0, expected at least 1"):
        AxonalDelay(3, 0)
    for delay, shape in ((AxonalDelay(3, 2), r"\(3,\)"), (SynapticDelay(2, 4, 5), r"\(4, 2\)")):
        with pytest.raises(ShapeError, match=rf"delays have shape {shape}, expected \(4,\) or \(2, 4\)"):
            Layer(Linear(4, 2), LIF(), delay)


@pytest.mark.parametrize("kind", ["axonal", "synaptic"])
def test_delays_and_dropout_train_and_repeat(tmp_path, kind):
    results = []
    for out in "ab":
        assert cli.main(["train", "--dataset", "iris", "--hidden", "16,12", "--epochs", "2", "--batch-size", "16",
                         "--delays", "4", "--delay-type", kind, "--dropout", "0.3", "--quiet",
                         "--out", str(tmp_path / out)]) == 0  # fmt: skip
        lines = (tmp_path / out / "metrics.csv").read_text().splitlines()
        results.append([line.split(",")[1] for line in lines])
    assert results[0] == results[1]
    assert cli.main(["evaluate", str(tmp_path / "a")]) == 0


def test_dropout_silences_neurons_for_a_whole_sample():
    torch.manual_seed(0)
    network = Network([Layer(Linear(20, 400), LIF())], Linear(400, 2), dropout=0.25)
    seen = []
    network.readout.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.ones(10, 3, 20)
    network(x)
    network.eval()
    network(x)
    active = seen[1].sum(0) > 0
    kept = (seen[0].sum(0) > 0)[active].float().mean()
    assert kept == pytest.approx(0.75, abs=0.05)
    assert seen[0].unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    with pytest.raises(SettingError, match="dropout is 1, expected a share"):
        Network([Layer(Linear(2, 2), LIF())], dropout=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("odd", [float("nan"), -float("nan")])
def test_a_delay_that_is_no_number_reaches_into_no_memory(dtype, odd):
    x, delays = torch.zeros(10, 1, 2, dtype=dtype), torch.tensor([1.0, odd])
    with pytest.raises(DivergenceError, match="1 of 2 delays are not numbers; lower delay_rate"):
        delayed(x, torch.zeros(4, 1, 2, dtype=dtype), delays)
    with pytest.raises(DivergenceError, match="2 of 4 delays are not numbers"):
        delayed_product(x, torch.ones(2, 2, dtype=dtype), delays.expand(2, 2), 3)


@pytest.mark.parametrize("kernels", ["torch", pytest.param("cuda", marks=pytest.mark.slow)])
def test_a_gpu_shows_it_in_what_arrives(kernels, monkeypatch):
    """It would have to be waited for; neurons whose states are no numbers raise the error, see ``izhi.network``."""
    if kernels == "cuda":
        pytest.importorskip("triton")
    kind = None if kernels == "torch" else "cuda"
    monkeypatch.setattr("izhi.kernels.device.device_of_kernels", lambda *_: (kind, ""))
    monkeypatch.setattr("izhi.kernels.delay._waits", lambda _: True)
    x, past, delays = spikes_of(10, 2, 3), torch.zeros(4, 2, 3), torch.tensor([1.0, float("nan"), float("inf")])
    found = delayed(x, past, delays)
    assert found[:, :, 1].isnan().all()
    assert torch.equal(found[1:, :, 0], x[:-1, :, 0])
    assert torch.equal(found[3:, :, 2], x[:-3, :, 2])
    odd = torch.zeros(2, 3)
    odd[1, 2] = float("nan")
    weighed = delayed_product(x, torch.ones(2, 3), odd, 3)
    assert weighed[..., 1].isnan().all()
    assert not weighed[..., 0].isnan().any()


def test_infinite_delays_are_held_like_any_other():
    x = spikes_of(6, 1, 2)
    past = spikes_of(4, 1, 2, seed=1)
    held = delayed(x, past, torch.tensor([3.0, 0.0]))
    assert torch.equal(delayed(x, past, torch.tensor([float("inf"), -float("inf")])), held)
