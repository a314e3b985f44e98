"""Neurons of the literature against loops over time in torch, written out once more."""

import pytest
import torch

import izhi
from izhi import spec as specs
from izhi.equation import literature
from izhi.kernels.routes import recorded

fires = izhi.surrogate.ATan(2.0)


def upstroke(v, p):
    return p.delta * torch.exp(((v - p.rheobase) / p.delta).clamp(-8, 8))


def parametric_lif(state, I, p):
    (v,) = state
    v = v + (I - (v - p.v_reset)) * torch.sigmoid(torch.as_tensor(p.w))
    return [torch.where(v >= p.threshold, p.v_reset, v)], fires(v - p.threshold)


def exponential(state, I, p):
    (v,) = state
    v = v + p.leak * (p.rest - v + upstroke(v, p)) + I
    return [torch.where(v >= p.peak, p.v_reset, v)], fires(v - p.peak)


def adaptive_exponential(state, I, p):
    v, w = state
    new = v + p.leak * (p.rest - v + upstroke(v, p) - w) + I
    w = w + p.rate * (p.a * (v - p.rest) - w)
    fired = new >= p.peak
    return [torch.where(fired, p.v_reset, new), w + p.b * fired], fires(new - p.peak)


def symplectic_adaptive_lif(state, I, p):
    u, w = state
    u = p.alpha * u + (1 - p.alpha) * (I - w)
    s = fires(u - p.threshold)
    u = u * (1 - s.detach())
    return [u, p.beta * w + (1 - p.beta) * (p.a * u + p.b * s)], s


def balanced_resonate_and_fire(state, I, p):
    u, v, q = state
    b = p.divergence - p.offset - q
    new = u + p.step * (b * u - p.omega * v + I), v + p.step * (p.omega * u + b * v)
    s = fires(new[0] - 1 - q)
    return [*new, p.decay * q + s], s


def multi_timescale_threshold(state, I, p):
    v, fast, slow = state
    v, fast, slow = p.beta * v + I, p.keep_fast * fast, p.keep_slow * slow
    s = fires(v - p.threshold - fast - slow)
    return [v, fast + p.jump_fast * s, slow + p.jump_slow * s], s


def fitzhugh_nagumo(state, I, p):
    v, w = state
    new = v + p.step * (v - v**3 / 3 - w + I)
    new = new + (new.clamp(-4, 4) - new).detach()
    w = w + p.step * p.rate * (v + p.a - p.b * w)
    return [new, w], fires(new - p.threshold) * (v < p.threshold)


def two_compartment_lif(state, I, p):
    v, dendrite = state
    dendrite = p.slow * dendrite - p.back * v + I
    v = p.beta * v + p.coupling * dendrite
    s = fires(v - p.threshold)
    return [v - s.detach() * p.threshold, dendrite - s.detach() * p.back], s


#: Gain and offset of the input with which each fires, by name.
INPUTS = {
    "parametric_lif": (1.5, 1.0),
    "balanced_resonate_and_fire": (40.0, 30.0),
    "fitzhugh_nagumo": (0.5, 0.6),
    "symplectic_adaptive_lif": (4.0, 2.0),
}


@pytest.mark.parametrize("kernel", ["cpu", "reference"])
@pytest.mark.parametrize("model", literature.NEURONS, ids=lambda model: model.function.__name__)
def test_spikes_and_gradients_are_those_of_a_loop_in_torch(model, kernel):
    name = model.function.__name__
    names, gain = tuple(model.parameters), INPUTS.get(name, (0.4, 0.2))
    layer = model(learn=names, kernel=kernel)
    generator = torch.Generator().manual_seed(1)
    current = (gain[0] * torch.randn(60, 3, 20, generator=generator) + gain[1]).requires_grad_()
    weights = torch.randn(60, 3, 20, generator=generator)
    with recorded() as routes:
        spikes, state = layer(current)
    assert ("one kernel" in str(routes[0])) == (kernel == "cpu")
    leaves = [current, *layer.parameters()]
    mine = torch.autograd.grad((spikes * weights).sum() + state.v.sum(), leaves)

    values = [layer.initial_state(current[0])[k] for k in range(len(model.states))]
    outputs = []
    for now in current:
        values, s = globals()[name](values, now, layer.coefficients())
        outputs.append(s)
    out = torch.stack(outputs)
    assert 20 < out.sum() < 0.9 * out.numel()
    assert torch.equal(spikes, out)
    loop = torch.autograd.grad((out * weights).sum() + values[0].sum(), leaves)
    for own, other in zip(mine, loop, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_a_neuron_of_the_package_needs_no_trust():
    spec = specs.neuron_spec("izhi.equation.literature:two_compartment_lif")
    assert spec.kind == "izhi.equation.literature:two_compartment_lif"
    assert spec.names == ("beta", "slow", "coupling", "back", "threshold")
