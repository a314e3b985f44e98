"""Networks to and from NIR: the equations, step by step, and back to the same spikes."""

from itertools import pairwise

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

import izhi
import izhi.nir
from izhi.connections import AxonalDelay, ConductanceSynapse, Conv1d, Conv2d, ExponentialSynapse, Linear, SynapticDelay
from izhi.errors import ExchangeError, LossWarning
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.network.builder import describe
from tiers import slow_but

#: Files are read in processes of their own.
pytestmark = pytest.mark.usefixtures("forked_processes")

DT = 1e-4


def spikes(inputs, seed=0, steps=60, batch=4, rate=0.3):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, inputs, generator=generator) < rate).float()


def strong(inputs, outputs, **options):
    """A matrix whose weights make neurons fire."""
    found = Linear(inputs, outputs, **options)
    with torch.no_grad():
        found.weight.mul_(3)
    return found


def run(network, x):
    """By the reference, which needs no compiling."""
    for module in network.modules():
        if isinstance(module, (izhi.LIF, izhi.Izhikevich)):
            module.kernel = "reference"
    with torch.no_grad():
        return network.eval().record(x)


def there_and_back(network, inputs, tmp_path, **options):
    """Spikes of every layer, of the network and of what its file holds."""
    x = spikes(inputs)
    izhi.nir.write(network, tmp_path / "network.nir", **options)
    back = izhi.nir.read(tmp_path / "network.nir", library=options.get("library"))
    one, other = run(network, x), run(back, x)
    rates = [float(s.mean()) for s in one.spikes]
    assert all(0.01 < rate < 0.9 for rate in rates), rates
    return one, other


def assert_same(one, other):
    assert len(one.spikes) == len(other.spikes)
    for a, b in zip(one.spikes, other.spikes, strict=True):
        assert torch.equal(a, b)
    assert torch.allclose(one.output, other.output, atol=1e-5)


LIF = {"beta": 0.9, "reset": "zero"}
NETWORKS = {
    "lif": lambda: Network([
        Layer(strong(20, 30), izhi.LIF(**LIF)), Layer(strong(30, 10), izhi.LIF(0.8, 0.7, reset="zero")),
    ]),
    "lif to a value": lambda: Network([
        Layer(strong(20, 30), izhi.LIF(0.9, reset="value", v_reset=-0.3)),
        Layer(strong(30, 10),
              izhi.LIF(0.9, parameter_shape=10, learn="v_reset", spread=0.1, reset="value", v_reset=0.3)),
    ]),
    "integrator": lambda: Network([Layer(strong(20, 30), izhi.LIF(1.0, reset="zero"))]),
    "readout": lambda: Network([Layer(strong(20, 30), izhi.LIF(**LIF))], readout=Linear(30, 5)),
    "membrane": lambda: Network([Layer(strong(20, 30), izhi.LIF(**LIF))], Linear(30, 5, synapse=ExponentialSynapse(5))),
    "membrane of each output": lambda: Network(
        [Layer(strong(20, 30), izhi.LIF(**LIF))],
        Linear(30, 5, synapse=ExponentialSynapse(izhi.spread(tau=(2, 50)), per_output=5, filters_bias=True)),
    ),
    "synapse": lambda: Network([
        Layer(strong(20, 30, synapse=ExponentialSynapse(4, filters_bias=True)), izhi.LIF(**LIF)),
    ]),
    "synapse with its bias behind": lambda: Network([
        Layer(strong(20, 30, synapse=ExponentialSynapse(4)), izhi.LIF(**LIF)),
    ]),
    "recurrent": lambda: Network([Layer(strong(20, 30, recurrent=True), izhi.LIF(**LIF))], readout=Linear(30, 5)),
    "recurrent with a synapse": lambda: Network([
        Layer(strong(20, 30, recurrent=True, synapse=ExponentialSynapse(3)), izhi.LIF(**LIF)),
        Layer(strong(30, 20, recurrent=True, synapse=ExponentialSynapse(3, filters_bias=True)), izhi.LIF(**LIF)),
    ]),
    "delays": lambda: Network([Layer(strong(20, 30), izhi.LIF(**LIF), AxonalDelay(20, 9))]),
    "own beta and threshold": lambda: Network([
        Layer(strong(20, 30), izhi.LIF(0.9, parameter_shape=30, learn="beta,threshold", spread=0.2, reset="zero")),
    ]),
    "normalized": lambda: Network([
        Layer(strong(20, 30), izhi.Izhikevich("normalized")),
        Layer(strong(30, 10, recurrent=True),
              izhi.Izhikevich("normalized", parameter_shape=10, learn="c,d,a,b,gain", spread=0.3)),
    ]),
    **{name: lambda name=name: Network([
        Layer(strong(20, 30, synapse=ExponentialSynapse(4)), izhi.Izhikevich(name), AxonalDelay(20, 7)),
        Layer(strong(30, 20, recurrent=True, synapse=ExponentialSynapse(4)), izhi.Izhikevich(name)),
    ], readout=Linear(20, 3)) for name in ("RS", "FS", "CH")},
    **{order: lambda order=order: Network([
        Layer(strong(20, 30), izhi.Izhikevich(izhi.preset("normalized").replace(order=order, gain=2.0))),
    ]) for order in izhi.ORDERS},
    **{f"reset {reset}": lambda reset=reset: Network([
        Layer(strong(20, 30), izhi.Izhikevich(izhi.preset("adlif").replace(order="snntorch", reset=reset, gain=2.0))),
        Layer(strong(30, 10), izhi.Izhikevich(
            izhi.preset("normalized").replace(reset=reset), parameter_shape=10, spread=0.1,
            learn="q_decay,q_damping,a2" if reset == "smooth" else "a2,threshold",
        )),
    ]) for reset in ("value", "subtract", "none", "smooth")},
    "convolutions": lambda: Network([
        nn.Unflatten(1, (1, 8, 8)),
        Layer(Conv2d(1, 4, (3, 5), padding=(1, 2)), izhi.LIF(0.9, 0.3, reset="zero"), norm=BatchNorm(4)),
        nn.AvgPool2d(2),
        Layer(Conv2d(4, 4, 3, groups=2),
              izhi.Izhikevich("normalized", parameter_shape=(4, 1, 1), learn="c", spread=0.5)),
        nn.Flatten(),
        Layer(strong(16, 10), izhi.LIF(0.9, 0.2, reset="zero")),
    ]),
    "convolution along a row": lambda: Network([
        nn.Unflatten(1, (2, 16)),
        Layer(Conv1d(2, 4, 3, stride=2, recurrent=True), izhi.LIF(0.9, 0.3, reset="zero"), AxonalDelay(2, 3)),
    ]),
}  # fmt: skip
WIDTHS = {"convolutions": 64, "convolution along a row": 32}


#: Whose parts the others have as well.
ALIKE = ("lif", "synapse", "membrane", "recurrent", "FS", "CH", *list(izhi.ORDERS)[:4], "reset subtract", "reset none")


@pytest.mark.parametrize("name", slow_but([x for x in NETWORKS if x not in ALIKE], NETWORKS))
def test_networks_come_back_with_every_spike(name, tmp_path):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.mean.normal_()
            module.variance.uniform_(0.5, 2)
    assert_same(*there_and_back(network, WIDTHS.get(name, 20), tmp_path))


def test_a_threshold_that_is_subtracted_comes_back_and_what_others_lose_is_said(tmp_path):
    torch.manual_seed(0)
    for reset, late in (("subtract", True), ("subtract", False), ("soft", True)):
        network = Network([Layer(strong(20, 30), izhi.LIF(0.9, reset=reset, reset_delay=late))])
        with pytest.warns(LossWarning, match="layer 1 subtracts the threshold"):
            assert_same(*there_and_back(network, 20, tmp_path))


# ---------------------------------------------------------------- graphs of others, by their equations


def euler(x, weight, bias, *, tau, r, leak, threshold, reset, dt=DT, tau_syn=None, w_in=1.0, back=None):
    """Spikes (T, B, N) of NIR's LIF or CubaLIF behind weights, in double precision."""
    steps, batch, _ = x.shape
    v, current = np.full((batch, len(weight)), float(leak)), np.zeros((batch, len(weight)))
    out, last = [], np.zeros((batch, len(weight)))
    for t in range(steps):
        arriving = x[t] @ weight.T + bias + (0 if back is None else last @ back.T)
        current = arriving if tau_syn is None else current + dt / tau_syn * (-current + w_in * arriving)
        v = v + dt / tau * ((leak - v) + r * current)
        last = (v > threshold).astype(float)
        v = np.where(last > 0, reset, v)
        out.append(last)
    return np.stack(out)


def weights(inputs=10, outputs=8, seed=1):
    random = np.random.default_rng(seed)
    return random.normal(0.2, 0.5, (outputs, inputs)), random.normal(0, 0.1, outputs)


def lif(count=8, **changes):
    values = {"tau": 10 * DT, "r": 10.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **changes}
    return nir.LIF(**{name: np.broadcast_to(value, (count,)).astype(float) for name, value in values.items()})


def graph_of(*nodes, inputs=10, **options):
    return nir.NIRGraph.from_list(nir.Input(np.array([inputs])), *nodes, **options)


def spikes_of(graph, x, **options):
    return run(izhi.nir.from_graph(graph, **options), torch.from_numpy(x).float()).spikes[-1].numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"r": 1.0, "v_threshold": 0.1},
        {"v_leak": -0.3, "v_reset": -0.3},
        {"v_leak": -0.5, "v_reset": -0.8, "v_threshold": 0.2},
        {"v_reset": -0.4},
        {"tau": np.linspace(3, 20, 8) * DT, "v_threshold": np.linspace(0.5, 1.5, 8), "r": np.linspace(5, 12, 8)},
        {"v_reset": np.linspace(-0.4, 0.2, 8)},
    ],
)
def test_a_lif_follows_the_equations(changes):
    weight, bias = weights()
    x = spikes(10).numpy().astype(float)
    node = lif(**changes)
    wanted = euler(
        x, weight, bias, tau=node.tau, r=node.r, leak=node.v_leak if node.v_leak.std() else node.v_leak[0],
        threshold=node.v_threshold, reset=node.v_reset,
    )  # fmt: skip
    assert 0.02 < wanted.mean() < 0.8
    assert np.array_equal(spikes_of(graph_of(nir.Affine(weight, bias), node), x), wanted)


@pytest.mark.parametrize(("r", "w_in"), [(10.0, 3.0), (1.0, 30.0)])
def test_a_current_based_lif_follows_the_equations_its_bias_through_the_synapse(r, w_in):
    weight, bias = weights()
    x = spikes(10).numpy().astype(float)
    ones = np.ones(8)
    node = nir.CubaLIF(
        tau_syn=3 * DT * ones, tau_mem=10 * DT * ones, r=r * ones, v_leak=0 * ones, v_threshold=ones,
        v_reset=-0.2 * ones, w_in=w_in * ones,
    )  # fmt: skip
    wanted = euler(
        x, weight, bias, tau=10 * DT, r=r, leak=0, threshold=1, reset=-0.2, tau_syn=3 * DT, w_in=w_in
    )  # fmt: skip
    assert 0.02 < wanted.mean() < 0.8
    assert np.array_equal(spikes_of(graph_of(nir.Affine(weight, bias), node), x), wanted)


@pytest.mark.parametrize("is_inner", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
def test_recurrence_in_an_inner_graph_and_by_a_loop(is_inner, has_bias):
    weight, bias = weights()
    back, more = weights(8, 8, seed=2)
    back, more = back - 0.2, more if has_bias else np.zeros(8)
    loop = nir.Affine(back, more) if has_bias else nir.Linear(back)
    ends = {"input": nir.Input(np.array([8])), "output": nir.Output(np.array([8]))}
    own = [("lif", "w_rec"), ("w_rec", "lif")]
    if is_inner:
        inner = nir.NIRGraph({**ends, "lif": lif(), "w_rec": loop}, [("input", "lif"), *own, ("lif", "output")])
        graph = graph_of(nir.Affine(weight, bias), inner, type_check=False)
    else:
        graph = nir.NIRGraph(
            {"input": nir.Input(np.array([10])), "w": nir.Affine(weight, bias), "lif": lif(), "w_rec": loop,
             "output": ends["output"]},
            [("input", "w"), ("w", "lif"), *own, ("lif", "output")], type_check=False,
        )  # fmt: skip
    x = spikes(10).numpy().astype(float)
    wanted = euler(x, weight, bias + more, tau=10 * DT, r=10.0, leak=0, threshold=1, reset=0, back=back)
    assert np.array_equal(spikes_of(graph, x), wanted)


def test_scales_and_pools_fold_into_weights():
    weight, bias = weights(8)
    x = spikes(32).numpy().astype(float)
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    graph = nir.NIRGraph.from_list(
        nir.Input(np.array([2, 4, 4])), pool, nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1),
        nir.Scale(np.linspace(0.2, 0.4, 8)), nir.Affine(weight, bias), nir.Scale(np.full(8, 0.5)), lif(),
    )  # fmt: skip
    sums = x.reshape(60, 4, 2, 2, 2, 2, 2).sum((4, 6)).reshape(60, 4, 8) * np.linspace(0.2, 0.4, 8)
    wanted = euler(sums, weight / 2, bias / 2, tau=10 * DT, r=10.0, leak=0, threshold=1, reset=0)
    assert np.array_equal(spikes_of(graph, x), wanted)


def test_delays_are_whole_steps_and_neurons_alone_have_a_weight_each():
    x = spikes(8).numpy().astype(float)
    steps = np.array([0, 1, 2, 5, 0, 3, 1, 9])
    graph = nir.NIRGraph.from_list(nir.Input(np.array([8])), nir.Delay(steps * DT), lif(v_threshold=1.5))
    late = np.zeros_like(x)
    for k, n in enumerate(steps):
        late[n:, :, k] = x[: len(x) - n, :, k]
    wanted = euler(late, np.eye(8), 0, tau=10 * DT, r=10.0, leak=0, threshold=1.5, reset=0)
    assert np.array_equal(spikes_of(graph, x), wanted)
    with pytest.raises(ExchangeError, match=r"Delay delay has a delay of 0.5 steps of 0.001 s.*\(dt\)"):
        izhi.nir.from_graph(graph, dt=1e-3, library=None)


def test_the_step_is_what_is_said_or_else_what_the_file_says():
    weight, bias = weights()
    graph = graph_of(nir.Affine(weight, bias), lif(tau=10e-3, r=10.0))
    x = spikes(10).numpy().astype(float)
    graph.metadata = {"dt": 1e-3}
    wanted = euler(x, weight, bias, tau=10e-3, r=10.0, leak=0, threshold=1, reset=0, dt=1e-3)
    assert np.array_equal(spikes_of(graph, x), wanted)
    assert np.array_equal(spikes_of(graph_of(nir.Affine(weight, bias), lif(tau=10e-6)), x, library="norse"), wanted)
    other = euler(x, weight, bias, tau=10e-3, r=10.0, leak=0, threshold=1, reset=0, dt=2e-3)
    assert np.array_equal(spikes_of(graph, x, dt=2e-3), other)


# ---------------------------------------------------------------- the Izhikevich node


def test_the_node_is_read_by_nir_itself(tmp_path):
    network = Network([Layer(strong(20, 30), izhi.Izhikevich("RS", parameter_shape=30, learn="c", spread=0.5))])
    written = izhi.nir.write(network, tmp_path / "network.nir")
    graph = nir.read(tmp_path / "network.nir")
    node, own = graph.nodes["neurons_1"], written.nodes["neurons_1"]
    assert type(node) is izhi.nir.Izhikevich
    for name in ("a1", "c", "d", "v_threshold", "dt", "spike_on", "reset", "rests", "substeps", "u_from"):
        assert np.array_equal(getattr(node, name), getattr(own, name)), name
    assert len(set(node.c)) == 30
    x = spikes(20)
    assert torch.equal(run(izhi.nir.from_graph(graph), x).output, run(network, x).output)


def plain_simulation(node, current):
    """Spikes (T, B, N) by docs/nir.md alone, in double precision."""
    v = np.broadcast_to(node.v_0, current.shape[1:]).copy()
    u = np.broadcast_to(node.u_0, current.shape[1:]).copy()
    out, q, decay, damping = [], np.zeros_like(v), 0.0, 0.0
    is_smooth, keeps_v = node.after_spike == "smooth", node.after_spike in ("none", "smooth")
    if is_smooth:
        decay, damping = node.q_decay, node.q_damping

    def after_spike(fired, v, u):
        if is_smooth:
            return v, u
        reset = {"value": node.c, "subtract": v - (node.v_threshold - node.c), "none": v}[node.after_spike]
        return np.where(fired, reset, v), np.where(fired, u + node.d, u)

    for i in current:
        fired = v >= node.v_threshold
        old = v >= node.v_threshold + q
        if is_smooth and node.spike_on == "old v":
            q = decay * q + old
        vs, us = v, u
        if node.reset == "before":
            vs, us = after_spike(fired, v, u)
        h = node.dt / node.substeps
        vn, un = vs, us
        for _ in range(node.substeps):
            change = node.a1 * vn**2 + node.a2 * vn + node.a3 * un + node.a4 + node.r * i - damping * q * vn
            if node.u_from == "old v":
                un = un + h * (node.b1 * vn + node.b2 * un + node.b3 - damping * q * un)
            vn = np.clip(vn + h * change, node.v_min, node.v_max)
        if node.u_from == "new v":
            un = un + node.dt * (node.b1 * vn + node.b2 * un + node.b3 - damping * q * un)
        if node.rests and not keeps_v:
            vn, un = np.where(fired, vs, vn), np.where(fired, us, un)
        spike = old if node.spike_on == "old v" else vn >= node.v_threshold + q
        if is_smooth and node.spike_on == "new v":
            q = decay * q + spike
        if node.reset == "after":
            vn, un = after_spike(vn >= node.v_threshold, vn, un)
        v, u = vn, un
        out.append(spike.astype(float))
    return np.stack(out)


@pytest.mark.parametrize("order", izhi.ORDERS)
@pytest.mark.parametrize("reset", ["value", "subtract", "none", "smooth"])
def test_a_simulator_written_from_the_specification_gives_the_same_spikes(order, reset):
    torch.manual_seed(0)
    # At the default limit a subtraction could reach the threshold itself, where rounding decides.
    p = izhi.preset("RS") if reset == "value" else izhi.preset("adlif").replace(reset=reset, v_max=3.0)
    network = Network([Layer(strong(20, 30), izhi.Izhikevich(p.replace(order=order)))])
    graph = izhi.nir.to_graph(network)
    x = spikes(20)
    affine = graph.nodes["weights_1"]
    current = x.numpy().astype(float) @ affine.weight.T.astype(float) + affine.bias
    wanted = plain_simulation(graph.nodes["neurons_1"], current)
    found = run(network, x).spikes[0].numpy()
    assert wanted.mean() > 0.01
    assert (found != wanted).mean() < 1e-3  # the upstroke of v doubles what single precision rounds


def test_a_node_of_bad_values_is_refused_where_it_is_made():
    ones = {name: np.ones(3) for name in izhi.exchange.izhikevich.COEFFICIENTS}
    with pytest.raises(ValueError, match="a2 has shape"):
        izhi.nir.Izhikevich(**{**ones, "a2": np.ones(4)})
    with pytest.raises(ValueError, match="substeps is 3, expected 1 or 2"):
        izhi.nir.Izhikevich(**ones, substeps=3)
    with pytest.raises(ValueError, match="u_from is 'v', expected one of: old v, new v"):
        izhi.nir.Izhikevich(**ones, u_from="v")
    with pytest.raises(ValueError, match="after_spike is 'zero', expected one of: value, subtract, none, smooth"):
        izhi.nir.Izhikevich(**ones, after_spike="zero")
    with pytest.raises(ValueError, match="q_decay is missing, expected it with 'smooth' alone"):
        izhi.nir.Izhikevich(**ones, after_spike="smooth")


def test_a_node_that_resets_to_c_has_the_fields_of_earlier_files():
    network = Network([Layer(strong(20, 30), izhi.Izhikevich("RS"))])
    whole = izhi.nir.to_graph(network).nodes["neurons_1"].to_dict()
    assert whole.keys().isdisjoint({"after_spike", "q_decay", "q_damping"})
    assert izhi.nir.Izhikevich.from_dict(whole).after_spike == "value"


def test_a_reset_that_no_neuron_has_is_refused():
    network = Network([Layer(strong(20, 30), izhi.Izhikevich("RS"))])
    graph = izhi.nir.to_graph(network)
    graph.nodes["neurons_1"].after_spike = "soft"
    with pytest.raises(ExchangeError, match="after_spike 'soft', expected value, subtract, none, smooth"):
        izhi.nir.from_graph(graph)


# ---------------------------------------------------------------- what cannot be written, or read


def shaped(*shape):
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: Network([Layer(Linear(4, 3, synapse=ConductanceSynapse()), izhi.LIF())]), "layer 1 is a conductance"),
        (lambda: Network([Layer(Linear(4, 3), izhi.LIF(), SynapticDelay(4, 3, 5))]), "a delay for each synapse"),
        (lambda: Network([Layer(Linear(4, 3), izhi.LIF(reset="none"))]), "without a reset"),
        (lambda: Network([Residual([Layer(Linear(4, 4), izhi.LIF())])]), "begins with Residual"),
        (
            lambda: Network([nn.Unflatten(1, (1, 2, 2)), nn.MaxPool2d(2), nn.Flatten()], readout=Linear(1, 2)),
            "is MaxPool2d, which NIR does not have",
        ),
        (lambda: Network([Layer(Conv2d(1, 2, 3), izhi.LIF())]), r"begin it with nn.Unflatten"),
    ],
)  # fmt: skip
def test_what_nir_does_not_have_is_refused_with_the_reason(network, message):
    with pytest.raises(ExchangeError, match=message):
        izhi.nir.to_graph(network())


@pytest.mark.parametrize("library", ["sinabs", "rockpool"])
def test_libraries_that_count_spikes_are_asked_for(library):
    network = Network([Layer(Linear(4, 3), izhi.LIF(**LIF))])
    with pytest.raises(ExchangeError, match=f"{library} makes of a LIF neurons that fire several times in a step"):
        izhi.nir.to_graph(network, library=library)
    graph = graph_of(nir.Affine(*weights()), lif())
    with pytest.raises(ExchangeError, match=f"{library}'s neurons fire several times"):
        izhi.nir.from_graph(graph, library=library)


def chain(*nodes, edges=None, inputs=10):
    """A graph that nir does not look at."""
    names = [f"{type(x).__name__.lower()}_{k}" for k, x in enumerate(nodes)]
    row = ["input", *names, "output"]
    made = dict(zip(row, [nir.Input(np.array([inputs])), *nodes, nir.Output(np.array([8]))], strict=True))
    return nir.NIRGraph(made, edges or list(pairwise(row)), type_check=False)


AFFINE = nir.Affine(*weights())
BAD = {
    "an edge to nowhere": (
        chain(AFFINE, lif(), edges=[("input", "affine_0"), ("affine_0", "lif_1"), ("lif_1", "nowhere")]),
        "an edge from 'lif_1' to 'nowhere', but no node 'nowhere'",
    ),
    "a loop of weights": (
        chain(AFFINE, nir.Affine(np.eye(8), np.zeros(8)), edges=[
            ("input", "affine_0"), ("affine_0", "affine_1"), ("affine_1", "affine_0"), ("affine_0", "output"),
        ]),
        "several places|to several|follows",
    ),
    "a loop without weights": (
        chain(AFFINE, lif(), edges=[
            ("input", "affine_0"), ("affine_0", "lif_1"), ("lif_1", "lif_1"), ("lif_1", "output"),
        ]),
        "spikes come back from LIF lif_1 to lif_1 without weights",
    ),
    "two ways": (
        chain(AFFINE, lif(), lif(), edges=[
            ("input", "affine_0"), ("affine_0", "lif_1"), ("affine_0", "lif_2"), ("lif_1", "output"),
            ("lif_2", "output"),
        ]),
        "leads to 'lif_1' and 'lif_2', expected one",
    ),
    "no end": (chain(AFFINE, lif(), edges=[("input", "affine_0"), ("affine_0", "lif_1")]), "LIF lif_1 leads nowhere"),
    "a node aside": (
        chain(AFFINE, lif(), lif(), edges=[("input", "affine_0"), ("affine_0", "lif_1"), ("lif_1", "output")]),
        "LIF lif_2 is on no path",
    ),
    "weights of another width": (chain(AFFINE, lif(), inputs=11), r"takes 10 features, expected \(11,\)"),
    "neurons of another width": (chain(AFFINE, lif(7, tau=np.linspace(1, 2, 7))), r"LIF lif_1 has shape \(7,\)"),
    "two matrices": (chain(AFFINE, nir.Affine(np.eye(8), np.zeros(8)), lif()), "without neurons between"),
    "not a number": (chain(nir.Affine(weights()[0] * np.nan, np.zeros(8)), lif()), "has nan in its weight"),
    "a bias of another length": (chain(nir.Affine(weights()[0], np.zeros(3)), lif()), r"bias of shape \(3,\)"),
    "a time constant below the step": (chain(AFFINE, lif(tau=DT / 2)), "tau of 5e-05 s, expected at least"),
    "a threshold below the reset": (chain(AFFINE, lif(v_reset=2.0)), "threshold at or below"),
    "thresholds that ours would clamp": (
        chain(AFFINE, lif(v_threshold=np.array([0.01, *[1.0] * 7]))), "LIF lif_1 has threshold beyond the bounds",
    ),
    "a node that we lack": (chain(AFFINE, nir.Threshold(np.ones(8))), "there is no Threshold here"),
    "an integrator": (chain(AFFINE, nir.I(np.ones(8))), "there is no I here"),
    "features without end": (chain(AFFINE, lif(), inputs=1 << 29), "features that come in are .* expected 1 to"),
    "neurons without end and without weights": (chain(lif(5000), inputs=5000), "have no weights before them"),
    "a pool of a row": (
        chain(nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), AFFINE, lif()),
        r"expected \(channels, height, width\)",
    ),
    "a delay at the end": (chain(AFFINE, lif(), nir.Delay(np.ones(8) * DT)), "ends in a delay"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_graphs_that_are_no_network_are_refused_in_one_line(name):
    graph, message = BAD[name]
    with pytest.raises(ExchangeError, match=message) as caught:
        izhi.nir.from_graph(graph)
    assert "\n" not in str(caught.value)


def test_an_unknown_library_is_named():
    with pytest.raises(izhi.errors.SettingError, match=r"unknown library 'nors' \(did you mean 'norse'\?\)"):
        izhi.nir.from_graph(chain(AFFINE, lif()), library="nors")


# ---------------------------------------------------------------- any network


@st.composite
def networks(draw):
    torch.manual_seed(draw(st.integers(0, 10_000)))
    width, layers = draw(st.integers(1, 12)), []
    first = width
    for _ in range(draw(st.integers(1, 3))):
        out = draw(st.integers(1, 12))
        synapse = (
            ExponentialSynapse(draw(st.floats(1.5, 20)), filters_bias=draw(st.booleans()))
            if draw(st.booleans())
            else None
        )
        connection = strong(width, out, synapse=synapse, recurrent=draw(st.booleans()), bias=draw(st.booleans()))
        delay = AxonalDelay(width, draw(st.integers(1, 12))) if draw(st.booleans()) else None
        if draw(st.booleans()):
            neuron = izhi.LIF(draw(st.floats(0.1, 0.99)), draw(st.floats(0.1, 2)), reset="zero")
        else:
            neuron = izhi.Izhikevich(draw(st.sampled_from(["normalized", "RS", "CH"])))
        layers.append(Layer(connection, neuron, delay))
        width = out
    return Network(layers, Linear(width, 3) if draw(st.booleans()) else None), first


@pytest.mark.slow
@given(networks())
@settings(max_examples=40, deadline=None)
def test_any_row_comes_back_with_every_spike(drawn):
    network, inputs = drawn
    x = spikes(inputs, steps=30)
    assert_same(run(network, x), run(izhi.nir.from_graph(izhi.nir.to_graph(network)), x))


def outline(network):
    """The description of a network without what a file has no field for, or has in another form."""
    tables = describe(network).tables()
    for table in tables:
        del table["bias"]  # zeros for none
        for name, key in (("synapse", "filters_bias"), ("delay", "largest")):
            table.get(name, {}).pop(key, None)
        parameters = table.get("neuron", {}).get("parameters", {})
        for name in ("unit", "v_min", "v_max", "gain", "current_scale"):
            parameters.pop(name, None)
    return tables


def rounded(value):
    """The same numbers, to the precision of a file."""
    if isinstance(value, dict):
        return {key: rounded(x) for key, x in value.items()}
    if isinstance(value, list):
        return [rounded(x) for x in value]
    return pytest.approx(value, rel=1e-5) if isinstance(value, float) else value


@given(networks())
@settings(max_examples=40, deadline=None)
def test_any_network_comes_back_with_its_description(drawn):
    network, _ = drawn
    assert outline(izhi.nir.from_graph(izhi.nir.to_graph(network))) == rounded(outline(network))
