"""Other libraries of spiking networks, each in its fastest documented way on a CPU.

Every network is that of the work: linear layers, or convolutions, with bias, and a layer of neurons behind each.
Where the library lets them be chosen, LIF neurons keep 0.95 of their membrane each step, fire at 1,
and subtract 1 on firing (what a contender leaves out stands in its name); only the linear layers are trained.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from izhi.experiments.benchmark.work import RATE, Steps, Work, torch_steps

#: Arrays of JAX, in whatever they are held.
Tree: TypeAlias = Any
#: A layer of another library.
Neurons: TypeAlias = Any
_DECAY = 0.95
_TAU = 20.0  # steps; 1 - 1/20 = 0.95


class _AtOnce(nn.Sequential):
    """Modules without state on all steps at once, (T, B, …)."""

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = super().forward(x.flatten(0, 1))  # type: ignore[no-untyped-call]
        return output.view(*x.shape[:2], *output.shape[1:])


def _layers(work: Work, neuron: Callable[[], Neurons]) -> list[Neurons]:
    """The work's network over whole sequences: neurons, and the modules between them on all steps at once."""
    layers: list[Neurons] = []
    between: list[nn.Module] = []
    for module in work.row():
        if module is not None:
            between.append(module)
        else:  # a single linear layer accepts sequences
            layers += [between[0] if len(between) == 1 else _AtOnce(*between), neuron()]
            between = []
    return layers


def _amplify(network: nn.Module, gain: float) -> None:
    """Multiply the layers' first weights, for neurons that they would leave silent."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.weight.mul_(gain)


def snntorch_lif(work: Work, *, mixed: bool = False) -> Steps:
    """Leaky in the loop of snnTorch's tutorials: its neurons that reset take a step at a time.

    With ``mixed`` it runs under autocast: the products of the linear layers are in bfloat16.
    """
    import snntorch
    from snntorch import spikegen

    row: list[Neurons] = [module or snntorch.Leaky(beta=_DECAY) for module in work.row()]
    neurons = [index for index, module in enumerate(row) if isinstance(module, snntorch.Leaky)]

    def count(values: Tensor) -> Tensor:
        spikes = spikegen.rate(values, num_steps=work.steps)
        membranes = {index: row[index].reset_mem() for index in neurons}
        record = []
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            for x in spikes:
                for index, module in enumerate(row):
                    if index in membranes:
                        x, membranes[index] = module(x, membranes[index])
                    else:
                        x = module(x)
                record.append(x)
        return torch.stack(record).sum(0)

    return torch_steps(count, [p for module in row for p in module.parameters()])


def snntorch_without_reset(work: Work) -> Steps:
    """LinearLeaky, which takes all steps at once: a causal convolution with the membrane's decay.

    It leaves the reset out, so that a membrane above its threshold goes on firing: less is computed
    than by any other contender's neurons. Its membrane keeps exp(−1/20), 0.951, each step.
    """
    import snntorch
    from snntorch import spikegen

    hidden = snntorch.LinearLeaky(_DECAY, work.inputs, work.hidden)
    readout = snntorch.LinearLeaky(_DECAY, work.hidden, work.classes)

    def count(values: Tensor) -> Tensor:
        fired, _ = hidden(spikegen.rate(values, num_steps=work.steps))
        fired, _ = readout(fired)
        spikes: Tensor = fired
        return spikes.sum(0)

    return torch_steps(count, [*hidden.linear.parameters(), *readout.linear.parameters()])


def spikingjelly(work: Work, *, neuron: str, gain: float = 1, **options: object) -> Steps:
    """A neuron of SpikingJelly in multi-step mode, by the name of its class and its options.

    The linear layers take all steps at once, and a layer of neurons is one operator with a backward
    written by hand, which only SpikingJelly's own surrogates have.
    """
    from spikingjelly.activation_based import encoding, functional, neuron as neurons, surrogate

    def layer() -> Neurons:
        made = getattr(neurons, neuron)
        return made(surrogate_function=surrogate.ATan(), detach_reset=True, step_mode="m", **options)

    network = nn.Sequential(*_layers(work, layer))
    _amplify(network, gain)
    encoder = encoding.PoissonEncoder(step_mode="m")

    def count(values: Tensor) -> Tensor:
        functional.reset_net(network)
        spikes: Tensor = network(encoder(values.expand(work.steps, *values.shape)))
        return spikes.sum(0)

    return torch_steps(count, network.parameters())


def norse(work: Work, *, is_izhikevich: bool) -> Steps:
    """LIF, or Izhikevich (regular spiking, 1 ms steps), over whole sequences: the linear layers take all steps at once.

    Its LIF has a synaptic current besides the membrane, decays of its own, and resets to 0.
    """
    import norse.torch as norse

    neuron, gain = norse.LIF, 4.0
    if is_izhikevich:
        parameters = norse.IzhikevichParameters(a=0.02, b=0.2, c=-65, d=8)
        rest = norse.IzhikevichState(v=torch.tensor(-70.0), u=torch.tensor(-14.0))
        behavior = norse.IzhikevichSpikingBehavior(parameters, rest)
        neuron, gain = partial(norse.Izhikevich, behavior, dt=1 / parameters.tau_inv), 100.0
    network = norse.SequentialState(*_layers(work, neuron))
    _amplify(network, gain)
    # A spike has the probability f_max · dt · value, here the value itself.
    encoder = norse.PoissonEncoder(work.steps, f_max=1000, dt=0.001)

    def count(values: Tensor) -> Tensor:
        spikes: Tensor = network(encoder(values))[0]
        return spikes.sum(0)

    return torch_steps(count, network.parameters())


def spyx_lif(work: Work) -> Steps:
    """LIF by ``spyx.nn.run``, a ``lax.scan``, with encoding, loss and Adam all in one ``jax.jit``.

    The scan is over each layer of neurons rather than over the network, so that the linear layers
    take all steps at once. JAX gets as many threads as torch has, if it has not begun yet.
    """
    os.environ.setdefault("PJRT_NPROC", str(torch.get_num_threads()))
    import jax
    import jax.numpy as jnp
    import spyx
    from flax import nnx

    jax.config.update("jax_platforms", "cpu")
    rngs = nnx.Rngs(0)
    network = spyx.nn.Sequential(
        nnx.Linear(work.inputs, work.hidden, rngs=rngs),
        spyx.nn.LIF((work.hidden,), beta=_DECAY, rngs=rngs),
        nnx.Linear(work.hidden, work.classes, rngs=rngs),
        spyx.nn.LIF((work.classes,), beta=_DECAY, rngs=rngs),
    )
    linear = nnx.Any(nnx.PathContains("kernel"), nnx.PathContains("bias"))
    graph, parameters, fixed = nnx.split(network, linear, ...)

    def count(parameters: Tree, key: Tree, values: Tree) -> Tree:
        linear1, lif1, linear2, lif2 = nnx.merge(graph, parameters, fixed).layers
        spikes = jax.random.bernoulli(key, values, (work.steps, *values.shape))
        hidden, _ = spyx.nn.run(lif1, linear1(spikes.astype(jnp.float32)))
        output, _ = spyx.nn.run(lif2, linear2(hidden))
        return output.sum(0)

    return _jax_steps(count, parameters)


def _jax_steps(count: Callable[[Tree, Tree, Tree], Tree], parameters: Tree) -> Steps:
    """Steps of a JAX library from ``count``: parameters, key and values → encoding, forward, spike counts (B, C)."""
    import jax
    import optax

    optimizer = optax.adam(RATE)
    state = optimizer.init(parameters)
    key = jax.random.key(0)

    def train_step(parameters: Tree, state: Tree, key: Tree, values: Tree, labels: Tree) -> Tree:
        key, draw = jax.random.split(key)

        def loss(parameters: Tree) -> Tree:
            counts = count(parameters, draw, values)
            return optax.softmax_cross_entropy_with_integer_labels(counts, labels).mean()

        gradient = jax.grad(loss)(parameters)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(parameters, updates), state, key

    def infer_step(parameters: Tree, key: Tree, values: Tree) -> Tree:
        key, draw = jax.random.split(key)
        return count(parameters, draw, values).sum(), key

    compiled_train = jax.jit(train_step, donate_argnums=(0, 1))
    compiled_infer = jax.jit(infer_step)

    def train(values: Tensor, labels: Tensor) -> None:
        nonlocal parameters, state, key
        parameters, state, key = jax.block_until_ready(
            compiled_train(parameters, state, key, values.numpy(), labels.numpy())
        )

    def infer(values: Tensor) -> None:
        nonlocal key
        total, key = compiled_infer(parameters, key, values.numpy())
        total.item()

    return Steps(train, infer)


def _batch_first(values: Tensor, steps: int) -> Tensor:
    """Spikes (B, T, N) of those rates."""
    return torch.bernoulli(values.unsqueeze(1).expand(-1, steps, -1))


def sinabs_lif(work: Work) -> Steps:
    """LIF, which takes whole sequences (B, T, N), so that the linear layers take all steps at once.

    At most one spike a step and no normalisation of the input are the options that compute least.
    """
    from sinabs.activation import SingleSpike
    from sinabs.layers import LIF
    from sinabs.utils import reset_states

    def lif() -> Neurons:
        layer = LIF(tau_mem=_TAU, spike_fn=SingleSpike, norm_input=False)
        layer.tau_mem.requires_grad_(False)
        return layer

    network = nn.Sequential(*_layers(work, lif))

    def count(values: Tensor) -> Tensor:
        reset_states(network)
        spikes: Tensor = network(_batch_first(values, work.steps))
        return spikes.sum(1)

    # Its reset writes to the state in place, which inference tensors do not allow.
    return torch_steps(count, network.parameters(), without_gradients=torch.no_grad)


def without_samna() -> None:
    """Keep Rockpool from importing samna: that package, if from PyPI, runs pip to replace itself."""
    sys.modules.setdefault("samna", None)  # type: ignore[arg-type]


def rockpool_lif(work: Work) -> Steps:
    """LinearTorch and LIFTorch, which take whole sequences (B, T, N), with decays as constants.

    As decays, rather than as the time constants that are its default, they need not be computed
    each step. Its LIF has a synaptic current besides the membrane, and computes noise and
    recurrence even when they are zero, as here.
    """
    without_samna()
    from rockpool.nn.combinators import Sequential
    from rockpool.nn.modules import LIFTorch, LinearTorch
    from rockpool.parameters import Constant

    constants = {"alpha": _DECAY, "beta": 0.5, "bias": 0.0, "threshold": 1.0}
    layers: list[Neurons] = []
    for before, after in pairwise((work.inputs, work.hidden, work.classes)):
        values = {name: Constant(value) for name, value in constants.items()}
        layers += [LinearTorch((before, after), has_bias=True), LIFTorch(after, leak_mode="decays", **values)]
    network = Sequential(*layers)

    def count(values: Tensor) -> Tensor:
        network.reset_state()
        spikes: Tensor = network(_batch_first(values, work.steps))[0]
        return spikes.sum(1)

    return torch_steps(count, network.parameters().astorch())


#: Display name → builder.
PEERS: dict[str, Callable[[Work], Steps]] = {
    "snnTorch LIF": snntorch_lif,
    "snnTorch LIF, bf16": partial(snntorch_lif, mixed=True),
    "snnTorch LIF without reset": snntorch_without_reset,
    "SpikingJelly LIF": partial(spikingjelly, neuron="LIFNode", tau=_TAU, decay_input=False, v_reset=None),
    "SpikingJelly Izhikevich": partial(spikingjelly, neuron="IzhikevichNode", gain=4, a=0.1, b=0.2),
    "Norse LIF": partial(norse, is_izhikevich=False),
    "Norse Izhikevich": partial(norse, is_izhikevich=True),
    "spyx LIF": spyx_lif,
    "sinabs LIF": sinabs_lif,
    "Rockpool LIF": rockpool_lif,
}
#: The contender in the figures of growth.
GROWING = "snnTorch LIF"
#: Those that are written for convolutional networks too.
WITH_CONVOLUTIONS = (
    "snnTorch LIF", "snnTorch LIF, bf16", "SpikingJelly LIF", "SpikingJelly Izhikevich", "Norse LIF",
    "Norse Izhikevich", "sinabs LIF",
)  # fmt: skip
