"""The Izhikevich module: event orders, gradients, state, and what it refuses."""

import json
import math
import pickle
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch

import izhi
from izhi import IzhiError, Izhikevich, IzhikevichParameters, IzhikevichState, preset
from izhi.equation import izhikevich
from izhi.equation.emit import PYTHON, statements
from izhi.equation.equation import recorded
from izhi.equation.literature import balanced_resonate_and_fire
from izhi.kernels import SynapticInput, torch_step
from izhi.neurons.izhikevich import parameter_scale
from izhi.spec import ORDERS


def by_hand(p, current):
    """The six orders as their sources write them, in plain Python numbers, with every reset."""
    v, u, q, out = p.v0, p.u0, 0.0, []
    keeps_v, is_smooth = p.reset in ("none", "smooth"), p.reset == "smooth"

    def dv(v, u, i):
        return p.a1 * v * v + p.a2 * v + p.a3 * u + p.a4 + p.gain * i - is_smooth * p.q_damping * q * v

    def du(v, u):
        return p.b1 * v + p.b2 * u + p.b3 - is_smooth * p.q_damping * q * u

    def after_spike(v, u):
        if is_smooth:
            return v, u
        return {"value": p.c, "subtract": v - (p.threshold - p.c), "none": v}[p.reset], u + p.d

    def is_above(v):
        return v >= p.threshold + is_smooth * q

    for i in current:
        if p.order in ("fpga-ip", "izhikevich"):
            spike = is_above(v)
            q = p.q_decay * q + spike
        if p.order == "fpga-ip":
            if spike:
                v, u = after_spike(v, u)
            if not spike or keeps_v:
                v = v + p.dt * dv(v, u, i)
                u = u + p.dt * du(v, u)
        elif p.order == "izhikevich":
            if spike:
                v, u = after_spike(v, u)
            v = v + p.dt / 2 * dv(v, u, i)
            v = v + p.dt / 2 * dv(v, u, i)
            u = u + p.dt * du(v, u)
        elif p.order == "izhikevich-2004":
            v = v + p.dt * dv(v, u, i)
            u = u + p.dt * du(v, u)
            spike = is_above(v)
            if spike:
                v, u = after_spike(v, u)
        elif p.order == "s2nn":
            fired = v >= p.threshold
            if fired:
                v, u = after_spike(v, u)
            if not fired or keeps_v:
                for _ in range(2):
                    v, u = v + p.dt / 2 * dv(v, u, i), u + p.dt / 2 * du(v, u)
                    v = min(v, p.limits[1])
            spike = is_above(v)
        elif p.order == "snntorch":
            if v >= p.threshold:
                v, u = after_spike(v, u)
            v = v + p.dt * dv(v, u, i)
            u = u + p.dt * du(v, u)
            spike = is_above(v)
        elif p.order == "simultaneous":
            v, u = v + p.dt * dv(v, u, i), u + p.dt * du(v, u)
            spike = is_above(v)
            if spike:
                v, u = after_spike(v, u)
        if p.order not in ("fpga-ip", "izhikevich"):
            q = p.q_decay * q + spike
        out.append((float(spike), v, u, q)[: 4 if is_smooth else 3])
    return np.array(out).T


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["RS", "normalized"])
def test_order_follows_its_source(order, name):
    p = preset(name).replace(order=order, gain=1.0)
    if order == "s2nn":
        p = p.replace(v_max=p.threshold)
    current = np.random.default_rng(1).normal(*((9, 4) if name == "RS" else (0.1, 0.1)), 120)
    trace = Izhikevich(p).trace(torch.from_numpy(current).reshape(-1, 1, 1))
    got = np.array([x.flatten().numpy() for x in trace])
    expected = by_hand(p, current)
    assert expected[0].sum() >= 3
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1:], expected[1:], rtol=1e-9, atol=1e-9)


#: r = 0.97 and an angle of 0.5 a step: what is left of an impulse after a period is about a half.
RESONATOR = IzhikevichParameters(
    a1=0.0, a2=-0.03, a3=-0.48, a4=0.0, b1=0.48, b2=-0.03, b3=0.0, c=-0.5, d=0.2, threshold=0.5
)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("reset", ["subtract", "none", "smooth"])
def test_reset_follows_its_equation(order, reset):
    p = RESONATOR.replace(order=order, reset=reset, q_damping=0.05)
    current = np.random.default_rng(1).normal(0, 0.5, 120)
    trace = Izhikevich(p).trace(torch.from_numpy(current).reshape(-1, 1, 1))
    got, expected = np.array([x.flatten().numpy() for x in trace]), by_hand(p, current)
    assert expected[0].sum() >= 5
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_allclose(got[1:], expected[1:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
@pytest.mark.parametrize("omega", [5.0, 50.0])
def test_smooth_reset_is_balanced_resonate_and_fire(kernel, omega):
    """v ← v + δ(b·v − ω·u + I), u ← u + δ(ω·v + b·u), b = p − b′ − q, in the simultaneous order with dt = 1."""
    delta, offset = 0.01, 0.5
    divergence = (math.sqrt(1 - (delta * omega) ** 2) - 1) / delta
    p = IzhikevichParameters(
        a1=0.0, a2=delta * (divergence - offset), a3=-delta * omega, a4=0.0, b1=delta * omega,
        b2=delta * (divergence - offset), b3=0.0, c=0.0, d=0.0, threshold=1.0, gain=delta, order="simultaneous",
        reset="smooth", q_decay=0.9, q_damping=delta,
    )  # fmt: skip
    theirs = balanced_resonate_and_fire(omega=omega, offset=offset, divergence=divergence, step=delta, kernel=kernel)
    current = 30 * torch.randn(200, 3, 8, generator=torch.Generator().manual_seed(0)) + 20
    results = []
    for neuron in (Izhikevich(p, jacobian_limit=math.inf, kernel=kernel), theirs):
        leaf = current.clone().requires_grad_()
        spikes, state = neuron(leaf)
        weight = torch.linspace(-1, 1, spikes.numel()).view(spikes.shape)
        ((spikes * weight).sum() + sum(0.01 * x.sum() for x in state[:3])).backward()
        results.append([x.detach() for x in (spikes, *state[:3], leaf.grad)])
    (spikes, *ours), (expected, *known) = results
    assert expected.sum() > 200
    assert torch.equal(spikes, expected)
    for x, y in zip(ours, known, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5 * float(y.abs().max()))


def test_the_value_reset_records_the_step_of_before():
    """The operations of each order, by a hash of their text: kernels of published runs are compiled from them."""
    texts = []
    for order in list(ORDERS.values())[:5]:
        step = recorded(izhikevich(order))
        texts.append(statements(step.results, PYTHON, step.names))
    assert sha256(repr(texts).encode()).hexdigest()[:16] == "a1e131806f41aa05"


def test_equations_of_the_same_arguments_are_one_object():
    order = ORDERS["fpga-ip"]
    assert izhikevich(order) is izhikevich(order, "value") is izhikevich(order, reset="value")
    assert pickle.loads(pickle.dumps(izhikevich(order, "smooth"))) is izhikevich(order, "smooth")


def test_the_width_of_the_surrogate_is_free_of_c():
    """A wider span gives a wider, flatter surrogate, and changes no spike."""
    current, grads = torch.full((1, 1, 1), 0.3), []
    for span in (None, RESONATOR.threshold - RESONATOR.c, 0.1):
        p, leaf = RESONATOR.replace(surrogate_span=span, order="simultaneous"), current.clone().requires_grad_()
        Izhikevich(p)(leaf)[0].sum().backward()
        grads.append(leaf.grad.item())
    x, slope = (0.3 - 0.5) / 0.1, 2.0
    assert grads[0] == grads[1]
    assert grads[2] == pytest.approx(slope / 2 / (1 + (math.pi * slope / 2 * x) ** 2) / 0.1, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reset": "zero"}, "reset is 'zero', which Izhikevich neurons do not have; choose value, which sets v to c"),
        ({"reset": "soft"}, "reset is 'soft', which Izhikevich neurons do not have; choose subtract"),
        ({"reset": "smoth"}, "unknown reset 'smoth'"),
        ({"q_decay": 1.5}, "q_decay is 1.5, expected a decay from 0 to 1"),
        ({"q_damping": -1.0}, "q_damping is -1.0, expected 0 or more"),
        ({"surrogate_span": 0.0}, "surrogate_span is 0.0, expected a number above 0"),
        ({"surrogate_span": math.nan}, "surrogate_span is nan, expected a finite number"),
    ],
)
def test_wrong_resets(changes, message):
    with pytest.raises(IzhiError, match=message):
        RESONATOR.replace(**changes)


def test_coefficients_of_another_reset_cannot_be_learned():
    for reset, name in (("value", "q_decay"), ("none", "c"), ("smooth", "d")):
        with pytest.raises(IzhiError, match=f"'{name}', which the reset '{reset}' has no use for"):
            Izhikevich(RESONATOR.replace(reset=reset), learn=[name])
    with pytest.raises(IzhiError, match="whose q rises by 1"):
        RESONATOR.replace(reset="smooth").scaled(2.0)


def test_the_refractory_coefficients_are_learned_within_bounds():
    neuron = Izhikevich(RESONATOR.replace(reset="smooth"), learn="q_decay,q_damping")
    spikes, state = neuron(torch.randn(60, 2, 5, generator=torch.Generator().manual_seed(0)))
    assert spikes.sum() > 20
    (state.v.sum() + state.q.sum()).backward()
    assert all(x.grad.abs() > 0 for x in neuron.learned.values())
    neuron.learned["q_decay"].data.fill_(2.0)
    neuron.learned["q_damping"].data.fill_(-1.0)
    assert [float(x.detach()) for x in neuron.coefficients()[-2:]] == [1.0, 0.0]


def test_a_first_trace_of_the_fpga_order():
    """v = 0, 0.5, 1.145 at I = 0.5: the spike leaves one step after v passes 0.7."""
    spikes, v, u = Izhikevich("normalized").trace(torch.full((5, 1, 1), 0.5, dtype=torch.float64))
    assert spikes.flatten().tolist() == [0, 0, 1, 0, 0]
    u1 = -0.5 / 32
    v2 = 0.5 + 0.25 - 0.105 - 0.019 * u1 + 0.5
    assert v.flatten()[:2].tolist() == pytest.approx([0.5, v2])
    assert u.flatten()[0].item() == pytest.approx(u1)


def test_a_first_trace_of_the_fpga_order_resets_without_integrating():
    spikes, v, _ = Izhikevich("normalized").trace(torch.full((8, 1, 1), 0.5))
    at = int(spikes.flatten().argmax())
    assert v.flatten()[at].item() == pytest.approx(0.105)


def spikes_in(order, current):
    neuron = Izhikevich("normalized")
    constants = neuron.settings.constants
    constants = constants._replace(substep=constants.dt / order.substeps)
    neuron.settings = replace(neuron.settings, equation=izhikevich(order), constants=constants)
    return neuron(current)[0]


def test_which_parts_of_an_order_change_spikes():
    """Where the reset stands, and which v is looked at, do not, but for a step; resting and half steps do."""
    known = ORDERS["snntorch"]
    current = 0.05 + 0.2 * torch.randn(300, 2, 20, generator=torch.Generator().manual_seed(0))
    found = spikes_in(known, current)
    assert found.sum() > 100
    assert torch.equal(spikes_in(ORDERS["izhikevich-2004"], current), found)
    assert torch.equal(spikes_in(replace(known, spike_on="old v"), current)[1:], found[:-1])
    assert torch.equal(spikes_in(ORDERS["fpga-ip"], current)[1:], spikes_in(replace(known, rests=True), current)[:-1])
    for other in ({"rests": True}, {"substeps": 2}, {"u_from": "old v"}):
        assert not torch.equal(spikes_in(replace(known, **other), current), found), other


def test_spikes_equal_the_fpga_ip(real_data):
    """Every layer's spikes of six networks, as the IP's own arithmetic gives them."""
    path = real_data / "hls_ip" / "vectors.json"
    if not path.is_file():
        pytest.skip("hls_ip/vectors.json is not in IZHI_DATA")
    fired = 0
    for vector in json.loads(path.read_text())["vectors"]:
        x = torch.tensor(vector["in_c"]).expand(30, 1, -1)
        for layer, expected in zip(vector["layers"], vector["layer_spikes"], strict=True):
            current = x @ torch.tensor(layer["weight"]).T + torch.tensor(layer["bias"])
            x, _ = Izhikevich("normalized")(current)
            assert x[:, 0].T.int().tolist() == expected
            fired += int(x.sum())
    assert fired > 100


def smooth_loss(p, current, gain, monkeypatch):
    surrogate = izhi.surrogate.ATan(3.0)
    monkeypatch.setattr(torch_step, "spike", lambda x, s, strict=False: s.smooth(x))
    neuron = Izhikevich(p, surrogate=surrogate, jacobian_limit=math.inf, kernel="reference")
    spikes, state = neuron(current * gain)
    return (spikes * torch.linspace(0.5, 1.5, len(spikes))[:, None, None]).sum() + state.u.sum()


@pytest.mark.parametrize("order", ORDERS)
def test_plain_gradient_is_that_of_finite_differences(order, monkeypatch):
    """With the smooth step in place of the spike, below threshold, autograd is exact."""
    p = preset("normalized").replace(order=order)
    current = torch.rand(6, 1, 2, dtype=torch.float64) * 0.08
    gain = torch.ones(1, dtype=torch.float64, requires_grad=True)
    smooth_loss(p, current, gain, monkeypatch).backward()
    h = 1e-6
    with torch.no_grad():
        up, down = (smooth_loss(p, current, 1 + s, monkeypatch) for s in (h, -h))
    numeric = ((up - down) / (2 * h)).item()
    assert abs(numeric) > 0.01
    assert gain.grad.item() == pytest.approx(numeric, rel=1e-6)


@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
@pytest.mark.parametrize("name", ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "threshold", "gain"])
def test_gradient_of_each_coefficient(name, monkeypatch):
    monkeypatch.setattr(torch_step, "spike", lambda x, s, strict=False: s.smooth(x))
    current = torch.rand(8, 2, 3, dtype=torch.float64) * 0.08 + 0.02

    def loss(value=None):
        neuron = Izhikevich("normalized", learn=[name], jacobian_limit=math.inf).double()
        if value is not None:
            neuron.learned[name].data.fill_(value)
        spikes, _ = neuron(current)
        return spikes.sum(), neuron.learned[name]

    total, parameter = loss()
    total.backward()
    start, h = parameter.item(), 1e-6
    numeric = (loss(start + h)[0] - loss(start - h)[0]).item() / (2 * h)
    assert abs(numeric) > 1e-4
    assert parameter.grad.item() == pytest.approx(numeric, rel=1e-4)


@pytest.mark.parametrize("name", ["c", "d", "a", "b"])
def test_reset_and_biological_coefficients_learn(name):
    neuron = Izhikevich("RS", learn=[name], gain=1.0)
    spikes, state = neuron(torch.full((60, 1, 4), 15.0))
    assert spikes.sum() > 0
    (state.v.sum() + state.u.sum()).backward()
    assert torch.isfinite(neuron.learned[name].grad)
    assert neuron.learned[name].grad != 0


def test_a_and_b_set_b1_and_b2():
    neuron = Izhikevich("RS", learn=["a", "b"])
    p = neuron.coefficients()
    assert (p.b1.item(), p.b2.item()) == pytest.approx((0.004, -0.02))
    with pytest.raises(IzhiError, match="one form only"):
        Izhikevich("RS", learn=["a", "b1"])


def test_b1_may_change_sign_and_b2_stays_stable():
    neuron = Izhikevich("normalized", learn=["b1", "b2", "threshold", "a1"])
    for name, value in (("b1", 0.3), ("b2", 0.5), ("threshold", -3.0), ("a1", -1.0)):
        neuron.learned[name].data.fill_(value)
    p = neuron.coefficients()
    assert p.b1.item() == pytest.approx(0.3)
    assert p.b2.item() == 0
    assert p.threshold.item() > p.c
    assert p.a1.item() == 0
    p.b2.backward()
    assert neuron.learned["b2"].grad == 1, "a held value must still be able to come back"


def test_per_neuron_parameters():
    neuron = Izhikevich("normalized", parameter_shape=3, learn=["threshold"])
    neuron.learned["threshold"].data = torch.tensor([0.3, 0.7, 50.0])
    spikes, _ = neuron(torch.full((40, 2, 3), 0.1))
    counts = spikes.sum((0, 1))
    assert counts[0] > counts[1] > counts[2] == 0
    with pytest.raises(IzhiError, match=r"features \(4,\), expected \(3,\)"):
        neuron(torch.zeros(5, 2, 4))


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
@pytest.mark.parametrize("order", ORDERS)
def test_state_goes_in_and_out(kernel, order):
    neuron = Izhikevich(preset("RS").replace(order=order), kernel=kernel, gain=1.0)
    current = torch.rand(50, 3, 4) * 20
    whole, end = neuron(current)
    first, middle = neuron(current[:17])
    second, last = neuron(current[17:], middle)
    assert whole.any()
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(end.v, last.v)
    assert torch.equal(end.u, last.u)


def test_step_is_one_step_of_forward():
    neuron = Izhikevich("FS", gain=1.0)
    current = torch.rand(30, 2, 5) * 25
    whole, _ = neuron(current)
    state, steps = None, []
    for current_t in current:
        spikes, state = neuron.step(current_t, state)
        steps.append(spikes)
    assert whole.any()
    assert torch.equal(whole, torch.stack(steps))


def test_the_jacobian_limit_tames_the_upstroke():
    """At high v the plain factor is above 1 in every step, and gradients grow with T."""

    def gradient(limit, kernel):
        neuron = Izhikevich("normalized", jacobian_limit=limit, kernel=kernel)
        current = torch.full((25, 1, 1), 0.05, requires_grad=True)
        spikes, _ = neuron(current)
        spikes.sum().backward()
        return current.grad.abs().max().item()

    for kernel in ("reference", "cpu"):
        assert gradient(math.inf, kernel) > 2 * gradient(1.0, kernel)
        assert 0 < gradient(1.0, kernel) < 25


def test_surrogate_width_scales_with_the_model():
    """One slope gives comparable gradients in mV and in normalised units, per span."""
    grads = []
    for p, rest in ((preset("RS"), -60.0), (preset("normalized"), 0.1)):
        p = p.replace(v0=rest, u0=0.0, order="snntorch", gain=1.0)
        current = torch.zeros(1, 1, 1, requires_grad=True)
        spikes, _ = Izhikevich(p)(current)
        spikes.sum().backward()
        grads.append(current.grad.item() * p.span)
    assert 0.2 < grads[0] / grads[1] < 5


@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
def test_any_snntorch_surrogate_works():
    from snntorch import surrogate

    functions = [
        surrogate.atan(), surrogate.fast_sigmoid(), surrogate.sigmoid(), surrogate.triangular(),
        surrogate.straight_through_estimator(), surrogate.spike_rate_escape(), surrogate.SSO(),
        surrogate.SFS(B=-1), surrogate.heaviside(),
    ]  # fmt: skip
    hard = Izhikevich("normalized")(torch.full((12, 1, 2), 0.2))[0]
    assert hard.any()
    for function in functions:
        current = torch.full((12, 1, 2), 0.2, requires_grad=True)
        spikes, _ = Izhikevich("normalized", surrogate=function)(current)
        assert torch.equal(spikes, hard)
        spikes.sum().backward()
        assert torch.isfinite(current.grad).all()
        assert current.grad.any()


def test_v_stays_within_its_limits():
    for name in ("normalized", "RS"):
        neuron = Izhikevich(name)
        low, high = neuron.base_parameters.limits
        _, v, _ = neuron.trace(torch.randn(200, 1, 8) * (3.0 if name == "normalized" else 900.0))
        assert low - 1e-3 < v.min() < low + 1e-3
        assert high - 1e-3 < v.max() < high + 1e-3


def test_a_conductance_pulls_v_to_its_reversal():
    neuron = Izhikevich("RS", gain=1.0)
    g = torch.full((400, 1, 1), 1.0)
    _, state = neuron(SynapticInput(g * -80.0, g))
    p, v = neuron.base_parameters, state.v.item()
    rest = p.a1 * v**2 + p.a2 * v - state.u.item() + p.a4 + (-80 - v)
    assert -80 < v < -65
    assert rest == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize(
    ("current", "message"),
    [
        (torch.zeros(5), r"shape \(5,\), expected \(T, B, features\)"),
        (torch.zeros(5, 2), r"shape \(5, 2\), expected \(T, B, features\)"),
        (torch.zeros(0, 2, 3), "expected at least one time step"),
        (torch.zeros(5, 2, 3, dtype=torch.int64), "expected floating point"),
    ],
)
def test_wrong_currents(current, message):
    for neuron in (Izhikevich(), izhi.LIF()):
        with pytest.raises(IzhiError, match=message):
            neuron(current)


def test_wrong_state_and_settings():
    with pytest.raises(IzhiError, match=r"state has shape \(2, 4\), expected \(2, 3\)"):
        Izhikevich()(torch.zeros(5, 2, 3), IzhikevichState(torch.zeros(2, 4), torch.zeros(2, 4)))
    for limit in (0.0, -1.0, math.nan):
        with pytest.raises(IzhiError, match="expected a number above 0 or inf"):
            Izhikevich(jacobian_limit=limit)
    with pytest.raises(IzhiError, match="unknown learnable coefficient 'tau'"):
        Izhikevich(learn=["tau"])
    with pytest.raises(IzhiError, match="unknown kernel 'gpu'"):
        Izhikevich(kernel="gpu")
    with pytest.raises(IzhiError, match="does not cover this call"):
        Izhikevich(kernel="cpu")(torch.zeros(5, 2, 3, dtype=torch.float64))


def test_rivals_from_the_same_equation_lack_one_term_each():
    """QIF has no u; AdLIF is linear below its threshold, and its u makes it adapt."""
    _, state = Izhikevich("qif")(torch.full((300, 1, 1), 0.2))
    assert state.u.abs().max() == 0
    spikes, v, u = Izhikevich("adlif").trace(torch.stack([torch.full((9, 1), x) for x in (0.02, 0.05, 0.07)], 2))
    assert not spikes.any()
    torch.testing.assert_close(v[..., 0] + v[..., 1], v[..., 2])
    assert u.any()
    for name in ("qif", "adlif"):
        weaker, stronger = (int(Izhikevich(name)(torch.full((300, 1, 1), x))[0].sum()) for x in (0.16, 0.4))
        assert 0 < weaker < stronger


def test_scales_of_coefficients():
    """The unit of spreads and rates of learning: the size of a coefficient, or of the terms beside it."""
    p = izhi.PRESETS["RS"]
    neuron = Izhikevich(p)
    expected = {
        "a": abs(p.b2), "b": abs(p.b1 / p.b2), "a4": p.a2**2 / (4 * p.a1), "b3": abs(p.b2) * (p.threshold - p.c),
        "c": 0.2 * (p.threshold - p.c), "threshold": 0.2 * (p.threshold - p.c), "q_decay": 1 - p.q_decay, "a1": p.a1,
        "d": p.d, "gain": p.connection_gain,
    }  # fmt: skip
    assert {name: neuron.parameter_scale(name) for name in expected} == pytest.approx(expected)
    assert p.replace(d=0.0).d == 0
    assert Izhikevich(p.replace(d=0.0)).parameter_scale("d") == 1
    linear = Izhikevich(p.replace(a1=0.0, b2=0.0))
    assert (linear.parameter_scale("a4"), linear.parameter_scale("b")) == (1, 1)
    resonators = Izhikevich(izhi.Resonators(frequency=(0.1, 1.0)), size=4, learn=["frequency"])
    assert resonators.parameter_scale("frequency") == 1
    assert parameter_scale(p.replace(q_decay=1.0), "q_decay") == 0.01
