"""The snnTorch adapter, as a snnTorch user meets it."""

import copy
import gc
import pickle
import weakref
from collections import deque
from functools import partial

import pytest
import snntorch as snn
import torch
from snntorch import surrogate, utils
from snntorch.functional import ce_count_loss, quant
from torch import nn

import izhi
from izhi import IzhiError
from izhi.errors import SilentLayerWarning
from izhi.kernels import SynapticInput
from izhi.snntorch import DEFAULT, SURROGATE, Izhikevich, RIzhikevich, reset
from izhi.surrogate import ATan, ClosedForm, FastSigmoid
from numpy_kernels import uncompiled
from tiers import slow_but

__all__ = ["uncompiled"]  # for all tests here

CURRENT = torch.rand(30, 2, 3) * 0.3


@pytest.mark.parametrize("name", ["normalized", "RS", "tonic bursting"])
def test_equals_the_layer_step_for_step(name):
    current = CURRENT * (1 if name == "normalized" else 0.4)
    expected, state = izhi.Izhikevich(name)(SynapticInput(current))  # as a connection delivers it
    neuron, mem, u = Izhikevich(name), None, None
    for t, current_t in enumerate(current):
        spk, mem, u = neuron(current_t, mem, u)
        assert torch.equal(spk, expected[t])
    assert torch.equal(mem, state.v)
    assert torch.equal(u, state.u)
    assert expected.sum() > 0


def test_the_default_surrogate_is_narrow_and_another_one_can_be_had():
    """An arc tangent's long tails drive neurons that fire already: at high learning rates networks come apart."""
    for neuron in (Izhikevich(), RIzhikevich(linear_features=3), Izhikevich("RS", spike_grad=None)):
        assert neuron.spike_grad == FastSigmoid(25.0)
    assert Izhikevich(spike_grad=snn.surrogate.atan(alpha=3.0)).spike_grad == ATan(3.0)
    assert not isinstance(Izhikevich(surrogate_disable=True).spike_grad, ClosedForm)


def test_is_a_spiking_neuron_and_returns_what_its_options_say():
    assert isinstance(Izhikevich(), snn.SpikingNeuron)
    assert len(Izhikevich()(CURRENT[0])) == 3
    assert isinstance(Izhikevich(init_hidden=True)(CURRENT[0]), torch.Tensor)
    assert len(Izhikevich(init_hidden=True, output=True)(CURRENT[0])) == 3
    with pytest.raises(TypeError, match="init_hidden"):
        Izhikevich(init_hidden=True)(CURRENT[0], torch.zeros(2, 3))


def test_init_hidden_keeps_state_and_reset_mem_clears_it():
    neuron, currents = Izhikevich(init_hidden=True), 4 * CURRENT
    first = torch.stack([neuron(x) for x in currents])
    carried = torch.stack([neuron(x) for x in currents])
    neuron.reset_mem()
    again = torch.stack([neuron(x) for x in currents])
    assert first.sum() > 0
    assert torch.equal(first, again)
    assert not torch.equal(first, carried)


def test_reset_mem_starts_at_the_preset():
    neuron = Izhikevich("RS", init_hidden=True)
    neuron(CURRENT[0])
    mem, u = neuron.reset_mem()
    assert (mem == -70).all()
    assert (u == -14).all()


def mixed():
    return nn.Sequential(
        nn.Linear(3, 8), Izhikevich(init_hidden=True), nn.Linear(8, 5),
        snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(5, 4), Izhikevich("RS", gain=40, init_hidden=True),
        nn.Linear(4, 2), snn.Synaptic(alpha=0.9, beta=0.8, init_hidden=True, output=True),
    )  # fmt: skip


def states(network):
    return [(m.mem.clone(), getattr(m, "u", torch.zeros(0)).clone()) for m in network if hasattr(m, "mem")]


@pytest.mark.slow
def test_mixed_with_leaky_in_one_network_trains():
    network = mixed()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    x, y = torch.rand(16, 3), torch.randint(0, 2, (16,))
    losses = []
    for _ in range(30):
        reset(network)
        total = sum(network(x)[2] for _ in range(15))
        loss = nn.functional.cross_entropy(total, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad.any() for p in network.parameters())


def test_reset_resets_this_network_and_no_other():
    one, two = mixed(), mixed()
    for _ in range(10):
        one(torch.rand(4, 3))
        two(torch.rand(4, 3))
    before = states(two)
    reset(one)
    assert all(torch.equal(a, b) for x, y in zip(before, states(two), strict=True) for a, b in zip(x, y, strict=True))
    mem, u = states(one)[0]
    assert (mem == 0).all()
    assert (u == 0).all()
    assert (states(one)[1][0] == 0).all()
    assert (states(one)[2][0] == -70).all()
    assert (states(one)[3][0] == 0).all()


def test_reset_finds_nested_layers():
    inner = nn.ModuleDict({"cell": Izhikevich(init_hidden=True)})
    outer = nn.ModuleList([nn.ModuleList([inner])])
    inner["cell"](torch.full((1, 2), 3.0))
    reset(outer)
    assert (inner["cell"].mem == 0).all()


HIDDEN = {
    "Izhikevich": lambda **options: Izhikevich(gain=8.0, init_hidden=True, **options),
    "RIzhikevich": lambda **options: RIzhikevich(gain=8.0, linear_features=6, init_hidden=True, **options),
}


def hidden(kind, last="izhi", **options):
    neuron = partial(HIDDEN[kind], **options)
    final = neuron(output=True) if last == "izhi" else snn.Leaky(beta=0.9, init_hidden=True, output=True)
    return nn.Sequential(nn.Linear(3, 6), neuron(), nn.Linear(6, 6), final)


@pytest.mark.parametrize("copied", [lambda x: x, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("kind", HIDDEN)
def test_the_reset_of_snntorch_is_a_reset(kind, copied):
    """One batch, three times, gives the same spikes; so does a copy of the network."""
    network, x = copied(hidden(kind)), torch.rand(4, 3)
    counts = []
    for _ in range(3):
        utils.reset(network)
        with torch.no_grad():
            counts.append(torch.stack([network(x)[0] for _ in range(40)]))
    assert torch.equal(counts[0], counts[1])
    assert torch.equal(counts[0], counts[2])
    assert counts[0].sum() > 20


@pytest.mark.parametrize("kind", HIDDEN)
def test_the_reset_of_snntorch_begins_a_new_graph(kind):
    network = hidden(kind)
    for _ in range(3):
        utils.reset(network)
        sum(network(torch.rand(4, 3))[0].sum() for _ in range(8)).backward()


def test_the_reset_of_snntorch_starts_at_the_preset_and_goes_to_every_network():
    one, two = (nn.Sequential(Izhikevich("RS", init_hidden=True)) for _ in range(2))
    for network in (one, two):
        network(torch.rand(2, 3))
    utils.reset(one)
    for network in (one, two):
        assert (network[0].mem == -70).all()
        assert (network[0].u == -14).all()


def test_the_reset_of_snntorch_still_finds_neurons_after_its_list_was_emptied(monkeypatch):
    monkeypatch.setattr(snn.SpikingNeuron, "instances", [])
    network = nn.Sequential(Izhikevich(init_hidden=True))
    network(torch.full((2, 3), 0.3))
    utils.reset(network)
    assert (network[0].mem == 0).all()


def test_classes_reset_and_detach_their_own():
    plain, recurrent = HIDDEN["Izhikevich"](), HIDDEN["RIzhikevich"]()
    x = torch.full((2, 6), 0.3, requires_grad=True)
    for neuron in (plain, recurrent):
        neuron(x)
    RIzhikevich.detach_hidden()
    assert plain.mem.requires_grad
    assert not any(s.requires_grad for s in (recurrent.spk, recurrent.mem, recurrent.u))
    RIzhikevich.reset_hidden()
    assert (recurrent.mem == 0).all()
    assert (plain.mem != 0).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("last", "kind"),
    slow_but([("Leaky", "RIzhikevich")], [(last, kind) for last in ("izhi", "Leaky") for kind in HIDDEN]),
)
def test_trains_with_bptt_of_snntorch(kind, last):
    from snntorch import backprop

    network = hidden(kind, last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    x, y = torch.rand(24, 3), torch.randint(0, 2, (24,))
    batches = [(x[k : k + 8].expand(12, 8, 3), y[k : k + 8]) for k in (0, 8, 16)]
    losses = [backprop.BPTT(network, batches, optimizer, ce_count_loss()).item() for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad.any() for p in network.parameters())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", HIDDEN)
def test_truncated_training_of_snntorch(kind):
    """TBPTT detaches states between its pieces, RTRL after each step, which must then have a gradient of its own."""
    from snntorch import backprop

    network = hidden(kind, parameters=izhi.preset("normalized").replace(order="snntorch"))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    batches = [(torch.rand(8, 3), torch.randint(0, 2, (8,))) for _ in range(2)]
    settings = {"num_steps": 6, "time_var": False}
    for train, more in ((backprop.TBPTT, {"K": 2}), (backprop.RTRL, {})):
        before = [p.detach().clone() for p in network.parameters()]
        assert torch.isfinite(train(network, batches, optimizer, ce_count_loss(), **settings, **more))
        for old, p in zip(before, network.parameters(), strict=True):
            assert torch.isfinite(p).all()
            assert not torch.equal(old, p)


def by_hand(neuron, current, recurrent, gain):
    """A recurrent Izhikevich neuron in the order of the FPGA IP, in plain torch: spikes of every step."""
    p = neuron.layer.base_parameters
    v, u, spk = torch.zeros_like(current[0]), torch.zeros_like(current[0]), torch.zeros_like(current[0])
    out = []
    for x in current:
        x = x + recurrent(spk)
        fired = v >= p.threshold
        spk = SURROGATE((v - p.threshold) / p.span)
        v, u = torch.where(fired, torch.full_like(v, p.c), v), torch.where(fired, u + p.d, u)
        limited = v.detach() * (1 + 2 * p.a1 * v.detach() + p.a2).clamp(-1, 1)
        stepped = v.detach() + p.a1 * v.detach() ** 2 + p.a2 * v.detach()
        stepped = stepped + (1 + 2 * p.a1 * v + p.a2).detach().clamp(-1, 1) * v - limited
        after = stepped + p.a3 * u + gain * x
        after = after - (after - after.clamp(*p.limits)).detach()
        u_after = u + p.b1 * after + p.b2 * u
        v, u = torch.where(fired, v, after), torch.where(fired, u, u_after)
        out.append(spk)
    return torch.stack(out)


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((4, 6), {"linear_features": 6}),
        ((4, 2, 5, 5), {"conv2d_channels": 2, "kernel_size": 3}),
        ((4, 2, 5, 7), {"conv2d_channels": 2, "kernel_size": (1, 3)}),
        ((4, 6), {"all_to_all": False}),
        ((4, 6), {"all_to_all": False, "V": torch.linspace(-0.5, 0.5, 6)}),
    ],
)
def test_recurrence_is_that_of_a_loop_by_hand(shape, options, learn):
    gain = 6.0
    neuron = RIzhikevich(DEFAULT.replace(order="fpga-ip"), gain=gain, learn_recurrent=learn, **options)
    current = torch.rand(20, *shape, requires_grad=True)
    spk = mem = u = None
    steps = []
    for x in current:
        spk, mem, u = neuron(x, spk, mem, u)
        steps.append(spk)
    weight = torch.rand(20, *shape)
    learned = [p for p in neuron.recurrent.parameters() if p.requires_grad]
    assert bool(learned) == learn
    expected = by_hand(neuron, current, neuron.recurrent, gain)
    spikes = torch.stack(steps)
    assert torch.equal(spikes, expected)
    assert expected.sum() > 100
    got = torch.autograd.grad((spikes * weight).sum(), [current, *learned])
    wanted = torch.autograd.grad((expected * weight).sum(), [current, *learned])
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_recurrence_beside_rleaky():
    """The same options make the same recurrence, and the loop is the same."""
    ours, theirs = RIzhikevich(linear_features=5), snn.RLeaky(beta=0.9, linear_features=5)
    ours.recurrent.load_state_dict(theirs.recurrent.state_dict())
    state, other = ours.reset_mem(), theirs.reset_mem()
    for _ in range(5):
        x = torch.rand(2, 5)
        spk, *state = ours(x, None, *state[1:]) if len(state) == 3 else ours(x, *state)
        state = [spk, *state]
        other = theirs(x, *other)
        assert spk.shape == other[0].shape
    assert spk.any()
    assert isinstance(RIzhikevich(linear_features=5, init_hidden=True)(torch.rand(2, 5)), torch.Tensor)
    with pytest.raises(TypeError, match="`spk`, `mem`, `u` should not be passed"):
        RIzhikevich(linear_features=5, init_hidden=True)(torch.rand(2, 5), torch.zeros(2, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "given: no size, expected linear_features, or conv2d_channels and kernel_size"),
        ({"linear_features": 3, "kernel_size": 3}, "given: kernel_size, linear_features, expected"),
        ({"conv2d_channels": 3}, "given: conv2d_channels, expected"),
        ({"all_to_all": False, "linear_features": 3}, "linear_features is given, expected none"),
        ({"conv2d_channels": 3, "kernel_size": 2}, "kernel_size is 2, expected odd sizes"),
    ],
)
def test_recurrence_without_a_meaning(options, message):
    with pytest.raises(IzhiError, match=message):
        RIzhikevich(**options)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"linear_features": 3}, (2, 4)),
        ({"conv2d_channels": 3, "kernel_size": 3}, (2, 4, 5, 5)),
        ({"all_to_all": False, "V": torch.ones(3)}, (2, 4)),
    ],
)
def test_currents_that_a_recurrence_does_not_fit(options, shape):
    with pytest.raises(IzhiError, match=r"current has shape \(2, 4.*expected one that"):
        RIzhikevich(**options)(torch.zeros(shape))


def loop(neuron, current, mem=None, u=None):
    """Spikes of every step, and the last state."""
    steps = []
    for x in current:
        spk, mem, u = neuron(x, mem, u)
        steps.append(spk)
    return torch.stack(steps), mem, u


@pytest.mark.parametrize(
    ("order", "learn", "dtype"),
    [
        *((order, learn, torch.float32) for order in izhi.ORDERS for learn in ((), ("a2", "c", "d"))),
        ("fpga-ip", ("gain",), torch.float32),
        ("izhikevich", (), torch.bfloat16),
    ],
)
@pytest.mark.parametrize("name", ["normalized", "RS"])
def test_one_kernel_gives_the_numbers_of_the_reference(name, order, learn, dtype):
    p = izhi.preset(name).replace(order=order)
    current = (torch.rand(12, 3, 2, 700) * (0.4 if name == "normalized" else 0.15)).to(dtype)
    options = {"learn": learn, "learn_threshold": len(learn) > 1}
    weight, found = torch.rand(12, 3, 2, 700), []
    for kernel in ("auto", "reference"):
        neuron, x = Izhikevich(p, kernel=kernel, **options), current.clone().requires_grad_()
        spikes, mem, u = loop(neuron, x)
        total = (spikes * weight).sum() + (mem + u).sum() / p.span
        grads = torch.autograd.grad(total, [x, *neuron.parameters()])
        found.append((spikes, mem, u, grads))
    fused, reference = found
    assert fused[0].dtype == dtype
    assert fused[0].sum() > 100
    for a, b in zip(fused[:3], reference[:3], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(fused[3], reference[3], strict=True):
        torch.testing.assert_close(
            a, b, rtol=1e-3 if dtype == torch.float32 else 2e-2, atol=1e-3 * float(b.abs().max())
        )


def test_one_kernel_takes_states_wherever_they_lie():
    """Views, other formats and states of the user's own; a state can be detached in place."""
    neuron, same = Izhikevich(), Izhikevich(kernel="reference")
    for v, u in (
        (torch.rand(5, 4).t(), torch.zeros(5, 4).t()),
        (torch.rand(4, 10)[:, ::2], torch.zeros(4, 5)),
        (torch.rand(4, 5).bfloat16(), torch.zeros(4, 5).bfloat16()),
        tuple(torch.rand(2, 4, 5)),
    ):
        x = torch.rand(5, 4).t() * 0.3
        for a, b in zip(neuron(x, v, u), same(x, v.float(), u.float()), strict=True):
            assert torch.equal(a, b)
    x = torch.rand(4, 5, requires_grad=True)
    _, mem, u = neuron(x, torch.rand(4, 5), torch.zeros(4, 5))
    mem.detach_()
    assert u.requires_grad
    assert not mem.requires_grad


def test_a_step_in_inference_mode_leaves_training_as_it_was():
    current = torch.rand(6, 2, 3, requires_grad=True)
    p = izhi.preset("normalized").replace(gain=0.87)  # constants that no other test has made
    with torch.inference_mode():
        loop(Izhikevich(p), current)
    loop(Izhikevich(p), current)[0].sum().backward()
    assert current.grad.abs().sum() > 0


def test_a_threshold_that_is_loaded_is_used():
    neuron, current = Izhikevich(), CURRENT
    neuron(current[0])
    saved = neuron.state_dict()
    saved["threshold"] = torch.tensor(50.0)
    neuron.load_state_dict(saved)
    assert loop(neuron, current, torch.zeros(2, 3), torch.zeros(2, 3))[0].sum() == 0


TRACED = {
    "export": lambda neuron, *state: torch.export.export(neuron, state).module(),
    "trace": lambda neuron, *state: torch.jit.trace(neuron, state),
    "compile": lambda neuron, *state: torch.compile(neuron, fullgraph=True, backend="aot_eager"),
    "vmap": lambda neuron, *state: lambda *x: [y.squeeze(1) for y in torch.vmap(neuron)(*(y.unsqueeze(1) for y in x))],
}


@pytest.mark.parametrize("kernel", slow_but(["auto"], ["auto", "reference"]))
@pytest.mark.parametrize("how", TRACED)
def test_what_torch_traces_gives_the_same_numbers(how, kernel):
    neuron = Izhikevich(kernel=kernel)
    state = torch.rand(4, 6) * 0.5, torch.rand(4, 6) * 3.6, torch.zeros(4, 6)
    expected = neuron(*state)
    traced = TRACED[how](neuron, *state)
    assert expected[0].sum() > 0
    for a, b in zip(traced(*state), expected, strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(neuron(*state), expected, strict=True):
        assert torch.equal(a, b), "and leaves the neuron as it was"


def test_a_trace_can_be_saved_and_differentiated(tmp_path):
    neuron = Izhikevich()
    x, v, u = torch.rand(4, 6) * 0.5, torch.rand(4, 6) * 0.9, torch.zeros(4, 6)
    torch.jit.save(torch.jit.trace(neuron, (x, v, u)), tmp_path / "step.pt")
    traced = torch.jit.load(tmp_path / "step.pt")
    grads = []
    for step in (neuron, traced):
        w = v.clone().requires_grad_()
        spk, mem, _ = step(x, w, u)
        grads.append(torch.autograd.grad((spk + mem).sum(), w)[0])
    torch.testing.assert_close(*grads)
    assert (grads[0] != 0).all()


@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_gradients_by_torch_func(kernel):
    neuron, current = Izhikevich(kernel=kernel), torch.rand(8, 2, 3) * 0.5
    found = torch.func.grad(lambda x: loop(neuron, x)[0].sum())(current)
    neuron.reset_mem()
    x = current.clone().requires_grad_()
    loop(neuron, x)[0].sum().backward()
    assert x.grad[:-1].all()
    torch.testing.assert_close(found, x.grad)
    each = torch.vmap(torch.func.grad(lambda x: loop(neuron, x[:, None])[0].sum()), in_dims=1, out_dims=1)(current)
    torch.testing.assert_close(each, x.grad)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_a_network_of_hidden_states_compiles_and_trains(kernel):
    network = nn.Sequential(nn.Linear(3, 6), Izhikevich(gain=8.0, init_hidden=True, kernel=kernel))
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    x, found = torch.rand(4, 3), []
    for step in (network, compiled):
        reset(network)
        total = sum(step(x) for _ in range(10))
        found.append((total, *torch.autograd.grad(total.sum(), list(network.parameters()))))
    assert found[0][0].sum() > 0
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("how", ["export", "trace", "vmap"])
def test_a_kernel_that_is_asked_for_says_what_to_use_instead(how):
    state = torch.rand(4, 6), torch.rand(4, 6), torch.zeros(4, 6)
    with pytest.raises(IzhiError, match="use 'auto' or kernel=\"reference\"") as caught:
        TRACED[how](Izhikevich(kernel="cpu"), *state)(*state)
    assert str(caught.value).count("\n") == 0


def test_a_silent_neuron_that_is_trained_warns_once():
    neuron, currents = Izhikevich("RS", gain=1.0, init_hidden=True), nn.Linear(3, 6)(torch.rand(300, 4, 3))
    for current in currents[:99]:
        neuron(current)
    with pytest.warns(SilentLayerWarning, match=r"a layer of \(6,\) Izhikevich neurons is silent") as seen:
        deque((neuron(current) for current in currents[99:]), maxlen=0)
    assert len(seen) == 1
    assert seen[0].filename == __file__


def test_snntorch_keeps_no_neuron_alive():
    neuron = Izhikevich()
    assert not any(n is neuron for n in snn.SpikingNeuron.instances)
    alive = weakref.ref(neuron)
    del neuron
    gc.collect()
    assert alive() is None


def test_threshold_learns():
    neuron = Izhikevich("normalized", learn_threshold=True)
    assert "threshold" in dict(neuron.named_parameters())
    mem = u = None
    total = 0.0
    for x in CURRENT:
        spk, mem, u = neuron(x, mem, u)
        total = total + spk.sum()
    total.backward()
    assert neuron.threshold.grad < 0, "a higher threshold gives fewer spikes"


def test_state_quant_is_applied_to_both_states():
    q = quant.state_quant(num_bits=4, uniform=True, lower_limit=0.0, upper_limit=0.0, threshold=1)
    neuron = Izhikevich("normalized", state_quant=q)
    mem = u = None
    values = set()
    for x in CURRENT:
        _, mem, u = neuron(x, mem, u)
        assert torch.equal(q(mem), mem)
        values |= set(mem.flatten().tolist())
    assert 2 < len(values) <= 17


def test_graded_spikes_surrogates_and_disabled_gradients():
    spk, _, _ = Izhikevich(DEFAULT.replace(order="fpga-ip"), graded_spikes_factor=3.0)(
        torch.zeros(1, 2), torch.full((1, 2), 3.0), torch.zeros(1, 2)
    )
    assert (spk == 3).all()
    x = torch.full((1, 2), 0.5, requires_grad=True)
    Izhikevich(izhi.preset("normalized").replace(order="snntorch"), spike_grad=surrogate.fast_sigmoid())(x)[
        0
    ].sum().backward()
    assert (x.grad > 0).all()
    off = Izhikevich(izhi.preset("normalized").replace(order="snntorch"), surrogate_disable=True)
    spk, _mem, _ = off(x)
    assert not spk.requires_grad or torch.autograd.grad(spk.sum(), x)[0].abs().sum() == 0


def test_state_dict_is_that_of_a_plain_neuron():
    a, b = Izhikevich("RS", learn=["d"]), Izhikevich("RS", learn=["d"])
    a.layer.learned["d"].data.fill_(5.0)
    a(torch.rand(4, 3))
    b.load_state_dict(a.state_dict())
    assert b.layer.learned["d"] == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 2.0}, "threshold is 2.0, expected none"),
        ({"reset_mechanism": "zero"}, "resets v to c"),
        ({"inhibition": True}, "inhibition is True"),
        ({"learn": ["threshold"]}, "learn_threshold=True"),
        ({"parameters": "RZZ"}, "unknown neuron preset"),
        ({"parameters": izhi.preset("adlif").replace(reset="smooth")}, "whose third state a snntorch.SpikingNeuron"),
    ],
)
def test_options_without_meaning(options, message):
    with pytest.raises(IzhiError, match=message):
        Izhikevich(**options)
