"""Networks under what torch offers beside calls: transforms, export, mixed precision, copies, pruning, checkpoints."""

import copy
import io
from functools import cache

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

import izhi
from izhi import LIF, Izhikevich, quantization
from izhi.errors import SettingError, ShapeError
from izhi.network import BatchNorm, Layer, Network
from izhi.network.connections import (
    AxonalDelay,
    ConductanceSynapse,
    Conv2d,
    ExponentialSynapse,
    Linear,
    SynapticDelay,
)
from tiers import slow_but

X = (torch.rand(6, 4, 20, generator=torch.Generator().manual_seed(1)) < 0.3).float()


@izhi.neuron(states="v, trace", parameters=dict(beta=0.9, threshold=0.5, keep=0.8))
def adaptive(v, trace, I, p):
    v = p.beta * v + I
    s = izhi.spike(v - p.threshold - trace)
    return v - izhi.hold(s) * p.threshold, p.keep * trace + 0.1 * s, s


def line(neuron):
    return Network([nn.Linear(20, 12), neuron, nn.Linear(12, 3)])


def plain(**options):
    return LIF(threshold=0.2, kernel="reference", **options)


NETWORKS = {
    "LIF": lambda: line(LIF(threshold=0.2)),
    "normalised": lambda: line(Izhikevich(gain=3.0, kernel="reference")),
    "biological": lambda: line(Izhikevich("RS", gain=2000, kernel="reference")),
    "resonator": lambda: line(Izhikevich("resonator", gain=6.0, kernel="reference")),
    "learned": lambda: line(Izhikevich(gain=3.0, learn=["c", "d"], parameter_shape=12, kernel="reference")),
    "own": lambda: line(adaptive(kernel="reference")),
    "synapse": lambda: Network([Linear(20, 12, synapse=ExponentialSynapse(3.0)), plain(),
                                Linear(12, 3, synapse=ExponentialSynapse(3.0))]),
    "conductance": lambda: Network([Linear(20, 12, synapse=ConductanceSynapse(3.0)),
                                    Izhikevich("RS", kernel="reference"), nn.Linear(12, 3)]),
    "recurrent": lambda: Network([Linear(20, 12, recurrent=True), plain(), nn.Linear(12, 3)]),
    "axonal delays": lambda: Network([AxonalDelay(20, 3), nn.Linear(20, 12), plain(), nn.Linear(12, 3)]),
    "synaptic delays": lambda: Network([Layer(Linear(20, 12), plain(), delay=SynapticDelay(20, 12, 3)),
                                        nn.Linear(12, 3)]),
    "normalisation": lambda: Network([nn.Linear(20, 12), BatchNorm(12, 0.2), plain(), nn.Linear(12, 3)]),
    "convolution": lambda: Network([nn.Unflatten(1, (1, 5, 4)), Conv2d(1, 4, 3, padding=1), plain(), nn.MaxPool2d(2),
                                    nn.Flatten(), nn.Linear(16, 3)]),
    "quantised": lambda: quantised(line(plain())),
}  # fmt: skip
FLOAT = [name for name in NETWORKS if name != "quantised"]


def quantised(network):
    formats = quantization.calibrate(network, X, 12).formats
    return quantization.quantized(network, 4, formats)


@cache
def prototype(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    assert name == "conductance" or network.record(X).spikes[0].any()
    return network


@pytest.fixture(params=NETWORKS)
def network(request):
    """A network of each kind of neurons and connections."""
    return copy.deepcopy(prototype(request.param))


@pytest.fixture(params=FLOAT)
def floating(request):
    """The same but for the quantised one."""
    return copy.deepcopy(prototype(request.param))


def loss_of(network, x=X):
    return network(x).output.float().square().mean()


def gradients(network, x=X):
    """Gradients by name of what learns."""
    network.zero_grad()
    loss_of(network, x).backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def assert_same_gradients(found, expected):
    assert expected.keys() <= found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6, msg=name)


def trained(network, optimizer, state, steps):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        output, state = network(X, state)
        loss = output.square().mean()
        loss.backward()
        optimizer.step()
        state = state.detach()
        losses.append(loss.item())
    return losses, state


def test_a_copy_in_the_middle_of_training_trains_on_alike(network):
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    _, state = trained(network, optimizer, None, 2)
    other, another, same = copy.deepcopy((network, optimizer, state))
    losses, _ = trained(network, optimizer, state, 2)
    untouched = [p.clone() for p in other.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(untouched, other.parameters(), strict=True))
    assert trained(other, another, same, 2)[0] == losses
    assert len(set(losses)) == 2


def test_transforms_of_torch_give_the_gradients_of_autograd(floating):
    expected = gradients(floating)
    weights = {name: p.detach() for name, p in floating.named_parameters()}
    found = torch.func.grad(lambda weights: functional_call(floating, weights, X).output.square().mean())(weights)
    assert_same_gradients(found, expected)


def test_vmap_runs_samples_and_networks_of_an_ensemble(floating):
    floating.eval()
    with torch.no_grad():
        expected = floating(X).output
        samples = torch.vmap(lambda x: floating(x[:, None]).output[:, 0], in_dims=1, out_dims=1)(X)
        torch.testing.assert_close(samples, expected)
        other = copy.deepcopy(floating)
        for p in other.parameters():
            p.mul_(1.1)
        weights, buffers = torch.func.stack_module_state([floating, other])
        both = torch.vmap(lambda *state: functional_call(floating, state, X).output)(weights, buffers)
    torch.testing.assert_close(both, torch.stack([expected, other(X).output]))


def test_gradients_of_each_sample(floating):
    floating.eval()
    weights = {name: p.detach() for name, p in floating.named_parameters()}
    of_sample = torch.func.grad(lambda w, x: functional_call(floating, w, x[:, None]).output.square().mean())
    found = torch.vmap(of_sample, in_dims=(None, 1))(weights, X[:, :2])
    for k in range(2):
        assert_same_gradients({name: g[k] for name, g in found.items()}, gradients(floating, X[:, k : k + 1]))


@pytest.mark.slow
def test_second_derivatives_by_torch_func_and_tangents(floating):
    x, direction = X + 0.1, torch.rand(X.shape)
    through = torch.func.grad(lambda x: torch.func.grad(lambda x: loss_of(floating, x))(x).square().sum())(x)
    assert through.isfinite().all()
    expected = torch.func.jvp(lambda x: floating(x).output, (x,), (direction,))[1]
    with torch.autograd.forward_ad.dual_level():
        output = floating(torch.autograd.forward_ad.make_dual(x, direction)).output
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(output).tangent, expected)
    (gradient,) = torch.autograd.grad(loss_of(floating, x := x.requires_grad_()), x)
    along = torch.func.jvp(lambda x: loss_of(floating, x), (x.detach(),), (direction,))[1]
    torch.testing.assert_close(along, (gradient * direction).sum(), rtol=1e-3, atol=1e-5)


def test_quantised_networks_say_what_torch_func_cannot_do():
    network = prototype("quantised")
    with pytest.raises(SettingError, match="quantised by Brevitas, which torch.func cannot transform; use loss.backw"):
        torch.func.grad(lambda x: loss_of(network, x))(X)


@pytest.mark.parametrize("penalty", ["of a linear loss", "of a square"])
def test_kernels_refuse_second_derivatives(penalty):
    network, x = line(LIF(threshold=0.2)), (X + 0.1).requires_grad_()
    output = network(x).output
    loss = output.sum() if penalty == "of a linear loss" else output.square().sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    assert gradient.any()
    with pytest.raises(SettingError, match="is differentiated again, .*; use torch.func.grad") as caught:
        (loss + gradient.square().sum()).backward()
    assert "\n" not in str(caught.value)


def test_the_reference_has_second_derivatives():
    network, x = line(plain()), X + 0.1
    expected = torch.func.grad(lambda x: torch.func.grad(lambda x: loss_of(network, x))(x).square().sum())(x)
    (gradient,) = torch.autograd.grad(loss_of(network, x.requires_grad_()), x, create_graph=True)
    (found,) = torch.autograd.grad(gradient.square().sum(), x)
    assert found.any()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)


def test_steps_that_are_computed_again_need_the_same_parameters():
    torch.manual_seed(0)
    network = Network([nn.Linear(20, 12), plain(), nn.Linear(12, 3)], keep_every=2)
    weights = {name: (2 * p).detach().requires_grad_() for name, p in network.named_parameters()}
    loss = functional_call(network, weights, X).output.square().mean()
    with pytest.raises(SettingError, match="keep_every is 2, .*functional_call, expected keep_every=None there"):
        loss.backward()
    found = torch.func.grad(lambda w: functional_call(network, w, X).output.square().mean())(weights)
    network.keep_every = None
    functional_call(network, weights, X).output.square().mean().backward()
    assert_same_gradients({name: w.grad for name, w in weights.items()}, found)
    assert not any(p.grad is not None for p in network.parameters())


@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_gradients_by_rounding_alone(network, dtype):
    expected = gradients(network)
    with torch.autocast("cpu", dtype):
        output, state = network(X)
    assert output.isfinite().all()
    assert {x.dtype for layer in state.layers if layer is not None for x in layer if isinstance(x, torch.Tensor)} <= {
        torch.float32
    }
    network.zero_grad()
    output.float().square().mean().backward()
    for name, p in network.named_parameters():
        if p.grad is not None and expected[name].norm() > 1e-6 and "steps" not in name and "threshold" not in name:
            assert p.grad.dtype == torch.float32
            assert torch.nn.functional.cosine_similarity(p.grad.flatten(), expected[name].flatten(), dim=0) > 0.9, name


def test_scaled_gradients_train_alike(network):
    other = copy.deepcopy(network)
    for one, enabled in ((network, False), (other, True)):
        optimizer = torch.optim.SGD(one.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", enabled=enabled, init_scale=1024.0)
        for _ in range(2):
            optimizer.zero_grad()
            scaler.scale(loss_of(one)).backward()
            scaler.step(optimizer)
            scaler.update()
    for one, same in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, same, rtol=1e-4, atol=1e-6)


def test_a_step_whose_scaled_gradient_overflows_is_left_out():
    network = copy.deepcopy(prototype("LIF"))
    before = copy.deepcopy(network.state_dict())
    optimizer, scaler = torch.optim.SGD(network.parameters(), 0.1), torch.amp.GradScaler("cpu", init_scale=1e38)
    scaler.scale(1e10 * loss_of(network)).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == pytest.approx(5e37)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def replica(network):
    """A copy as nn.DataParallel makes on each GPU: modules without parameters of their own, of which autograd knows."""
    modules = list(network.modules())
    copies = {x: x._replicate_for_data_parallel() for x in modules}
    for module, one in copies.items():
        for name, inner in module._modules.items():
            one._modules[name] = None if inner is None else copies[inner]
        for name, parameter in module._parameters.items():
            if parameter is None:
                one._parameters[name] = None
            else:
                setattr(one, name, parameter.clone())
        for name, buffer in module._buffers.items():
            one._buffers[name] = None if buffer is None else buffer.clone()
    return copies[network]


def test_replicas_of_data_parallel_train_the_network(network):
    expected, output = gradients(network), network(X).output
    network.zero_grad()
    one = replica(network)
    assert not list(one.parameters())
    assert torch.equal(one(X).output, output)
    loss_of(one).backward()
    assert_same_gradients({name: p.grad for name, p in network.named_parameters()}, expected)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_call_has_the_same_gradients(network, reentrant):
    expected = gradients(network)
    network.zero_grad()
    x = X.clone().requires_grad_(reentrant)
    checkpoint(lambda x: loss_of(network, x), x, use_reentrant=reentrant).backward()
    assert_same_gradients({name: p.grad for name, p in network.named_parameters()}, expected)


def first_weights(network):
    return network.spiking[0].connection.input


COMPUTED = {
    "weight norm": parametrizations.weight_norm,
    "weight norm by a hook": nn.utils.weight_norm,
    "spectral norm by a hook": nn.utils.spectral_norm,
    "pruned": lambda module: prune.l1_unstructured(module, "weight", 0.5),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated", "ignore:.*spectral_norm.* is deprecated")
@pytest.mark.parametrize("how", COMPUTED)
@pytest.mark.parametrize("before", [True, False])
def test_weights_that_torch_computes_at_a_call(how, before):
    """Also where the network does not call their module."""
    torch.manual_seed(0)
    weights = nn.Linear(20, 12)
    if before:
        COMPUTED[how](weights)
    network = Network([weights, plain(), nn.Linear(12, 3)])
    if not before:
        COMPUTED[how](weights)
    optimizer = torch.optim.SGD(network.parameters(), 1.0)
    for _ in range(2):
        optimizer.zero_grad()
        output = network(X).output
        output.square().mean().backward()
        optimizer.step()
    weights(X)
    other = Network([nn.Linear(20, 12), plain(), nn.Linear(12, 3)])
    with torch.no_grad():
        first_weights(other).weight.copy_(weights.weight)
        first_weights(other).bias.copy_(weights.bias)
        other.readout.load_state_dict(network.readout.state_dict())
    weights.eval()
    network.eval()
    assert torch.equal(network(X).output, other(X).output)
    assert not torch.equal(network(X).output, output)
    if how == "pruned":
        assert (network.spiking[0].connection.weight == 0).sum() == 120
    with pytest.raises(SettingError, match="the weights of Linear are pruned or parametrized, expected a parameter;"):
        network.calibrate(X)


def test_renamed_keys_are_named():
    network = copy.deepcopy(prototype("LIF"))
    saved = network.state_dict()
    renamed = {f"module.{name}": value for name, value in saved.items()}
    with pytest.raises(RuntimeError, match=r"Missing key.*layers.0.connection.input.weight.*\n.*module.layers.0"):
        network.load_state_dict(renamed)
    missing, unexpected = network.load_state_dict(renamed, strict=False)
    assert "readout.input.weight" in missing
    assert unexpected == list(renamed)
    nn.modules.utils.consume_prefix_in_state_dict_if_present(renamed, "module.")
    network.load_state_dict(renamed, assign=True)
    assert network.readout.weight.data_ptr() == saved["readout.input.weight"].data_ptr()


def test_inference_leaves_training_as_it_was(network):
    network.eval()
    expected, output = gradients(network), network(X).output
    with torch.inference_mode():
        assert torch.equal(network(X).output, output)
        first, state = network(X[:3])
        torch.testing.assert_close(torch.cat([first, network(X[3:], state).output]), output)
        inside = X.clone()
    assert_same_gradients(gradients(network), expected)
    with torch.no_grad():
        assert torch.equal(network(inside, None).output, output)


def test_inputs_of_any_layout(network):
    network.eval()
    expected = gradients(network)
    layouts = [
        X.transpose(0, 1).contiguous().transpose(0, 1), X.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        torch.stack([X, 1 - X], -1)[..., 0], torch.cat([X, X], 1)[:, :4], X.flip(0).flip(0),
    ]  # fmt: skip
    for x in layouts:
        assert_same_gradients(gradients(network, x), expected)
    x, swapped = X.clone().requires_grad_(), X.permute(2, 1, 0).contiguous().requires_grad_()
    loss_of(network, x).backward()
    loss_of(network, swapped.permute(2, 1, 0)).backward()
    torch.testing.assert_close(swapped.grad.permute(2, 1, 0), x.grad)
    x.grad = None
    output = network(x).output
    output.backward(torch.ones(()).expand(output.shape))
    strided = x.grad
    x.grad = None
    network(x).output.permute(2, 1, 0).contiguous().sum().backward()
    torch.testing.assert_close(x.grad, strided)


def test_inputs_of_no_samples_steps_or_features(network):
    output, state = network.eval()(X[:, :0])
    assert output.shape == (6, 0, 3)
    output.sum().backward()
    assert network(X[:2, :0], state).output.shape == (2, 0, 3)
    with pytest.raises(ShapeError, match="expected at least one time step"):
        network(X[:0])


class Outputs(nn.Module):
    """The output of a network alone, in types of torch, as files of exported programs hold it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x).output


@pytest.mark.parametrize("name", slow_but(["LIF"], ["LIF", "own", "axonal delays", "convolution"]))
def test_exported_programs_are_saved(name):
    network, x = copy.deepcopy(prototype(name)).eval(), X[:2]
    program, file = torch.export.export(Outputs(network), (x,)), io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    found = torch.export.load(file).module()(x)
    torch.testing.assert_close(found, network(x).output)


@pytest.mark.parametrize("name", ["own", "synaptic delays"])
def test_networks_compile_as_one_graph(name):
    network, x = copy.deepcopy(prototype(name)), X[:2]
    expected = gradients(network, x)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert_same_gradients(gradients(compiled, x), {f"_orig_mod.{name}": g for name, g in expected.items()})
