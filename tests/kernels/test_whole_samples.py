"""Kernels of whole samples: few inputs are multiplied where neurons take the currents, with feedback or without."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

import izhi
from izhi.kernels import routes
from izhi.network import Layer, Network
from izhi.network.connections import Linear
from izhi.network.synapses import ExponentialSynapse

KINDS = {
    "lif": lambda n, kernel: izhi.LIF(learn=("beta", "threshold"), kernel=kernel),
    "normalized": lambda n, kernel: izhi.Izhikevich(kernel=kernel),
    "resonators": lambda n, kernel: izhi.Izhikevich(
        izhi.Resonators(seed=1), parameter_shape=n, learn=("frequency", "decay", "threshold"), kernel=kernel
    ),
    "balanced": lambda n, kernel: izhi.Izhikevich(izhi.BalancedResonators(seed=1), parameter_shape=n, kernel=kernel),
}


def network(
    kind: str, kernel: str, inputs: int, neurons: int, layers: int, *, recurrent: bool, synapse: bool
) -> Network:
    """Weights are whole parts of 64, so that no order of a sum rounds, and no spike depends on one."""
    torch.manual_seed(0)
    scale, widths = (200.0 if kind == "balanced" else 1.0), [inputs, *[neurons] * layers]
    stack = [
        Layer(
            Linear(a, b, synapse=ExponentialSynapse(4.0) if synapse else None, recurrent=recurrent),
            KINDS[kind](b, kernel),
        )
        for a, b in pairwise(widths)
    ]
    made = Network(stack, nn.Linear(neurons, 3))
    with torch.no_grad():
        for layer in stack:
            for name, p in layer.connection.named_parameters():
                if "weight" in name or "bias" in name:
                    p.copy_((torch.randn(p.shape) * 32).round() / 64 * scale / (4 if "feedback" in name else 1))
    return made


def learned(made: Network, x: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, dict[str, Tensor]]:
    """The outputs, and the gradients of all parameters."""
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = made(x)[0]
    (out.float() * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
    return out.detach(), {name: p.grad for name, p in made.named_parameters() if p.grad is not None}


@pytest.mark.slow  # compiles a kernel for nearly every case
@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)), inputs=st.integers(1, 16), neurons=st.sampled_from([17, 32, 64, 70]),
    batch=st.sampled_from([1, 2, 9, 17, 40]), steps=st.sampled_from([4, 8, 9, 33, 50]), recurrent=st.booleans(),
    synapse=st.booleans(), layers=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_spikes_and_gradients_are_those_of_the_reference(
    kind: str, inputs: int, neurons: int, batch: int, steps: int, recurrent: bool, synapse: bool, layers: int,
    seed: int,
) -> None:  # fmt: skip
    x = torch.randint(0, 9, (steps, batch, inputs), generator=torch.Generator().manual_seed(seed)) / 4.0
    of_kernel, of_reference = (
        network(kind, kernel, inputs, neurons, layers, recurrent=recurrent, synapse=synapse)
        for kernel in ("cpu", "reference")
    )
    with routes.recorded() as found:
        out, gradients = learned(of_kernel, x)
    assert found[0].kernel == "where neurons take the currents"
    expected, others = learned(of_reference, x)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == others.keys()
    for name, g in gradients.items():
        torch.testing.assert_close(
            g, others[name], rtol=1e-3, atol=1e-4 * float(others[name].abs().max() + 1), msg=name
        )


@pytest.mark.parametrize("recurrent", [False, True])
def test_in_bfloat16_gradients_are_near_those_of_float32(recurrent: bool) -> None:
    x = torch.randint(0, 9, (20, 33, 1), generator=torch.Generator().manual_seed(0)) / 4.0

    def found(dtype: torch.dtype) -> dict[str, Tensor]:
        made = network("normalized", "cpu", 1, 64, 1, recurrent=recurrent, synapse=False)
        with routes.recorded() as records:
            _, gradients = learned(made, x, dtype)
        assert records[0].kernel == "where neurons take the currents"
        return gradients

    exact, rounded = found(torch.float32), found(torch.bfloat16)
    for name, g in exact.items():
        similar = nn.functional.cosine_similarity(g.flatten(), rounded[name].flatten().float(), dim=0)
        assert g.any(), name
        assert similar > 0.98, name


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_call_that_is_split_in_time_is_the_whole_one(recurrent: bool) -> None:
    """State and spikes of the first part carry what the second one asks for."""
    x = torch.randint(0, 9, (40, 18, 2), generator=torch.Generator().manual_seed(0)) / 4.0
    found: list[list[Tensor]] = []
    for cut in (40, 13):
        layer: Any = network("lif", "cpu", 2, 40, 1, recurrent=recurrent, synapse=False).layers[0]
        out, state = layer(x[:cut])
        if cut < len(x):
            out = torch.cat([out, layer(x[cut:], state)[0]])
        assert out.sum() > 100
        (out * torch.linspace(-1, 1, 40).view(-1, 1, 1)).sum().backward()
        found.append([out.detach(), *(p.grad for p in layer.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("recurrent", [False, True])
def test_numbers_do_not_depend_on_threads(recurrent: bool) -> None:
    x, before = torch.rand(40, 70, 1), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(learned(network("resonators", "cpu", 1, 64, 1, recurrent=recurrent, synapse=False), x)[1])
    finally:
        torch.set_num_threads(before)
    neurons = [name for name in found[0] if name.startswith("layers.0")]
    assert neurons
    for name in neurons:
        assert torch.equal(found[0][name], found[1][name]), name
        assert torch.equal(found[0][name], found[2][name]), name


def test_inputs_that_learn_are_multiplied_by_torch() -> None:
    x = torch.rand(8, 3, 2, requires_grad=True)
    made = network("lif", "cpu", 2, 40, 1, recurrent=True, synapse=False)
    with routes.recorded() as found:
        made(x)[0].sum().backward()
    assert found[0].kernel == "dense product"
    assert x.grad is not None
    assert x.grad.any()


def test_nothing_is_written_for_currents() -> None:
    """What the forward pass keeps is far less than a current for each step."""
    made = network("normalized", "cpu", 1, 64, 1, recurrent=True, synapse=False)
    kept: list[int] = []

    def pack(x: Tensor) -> Tensor:
        kept.append(x.numel() * x.element_size())  # memory that is used again may be larger
        return x

    x = torch.rand(320, 16, 1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        made(x)[0].sum()
    assert sum(kept) < 320 * 16 * 64 * 4 // 2
