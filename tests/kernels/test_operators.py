"""Neurons as operators of torch: torch.compile captures them whole, with the numbers of a call outside of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from izhi import LIF, Izhikevich
from izhi.connections import ConductanceSynapse, ExponentialSynapse, Linear
from izhi.kernels import operators
from izhi.network import Layer, Network
from tiers import slow_but

T, B, N = 40, 3, 20
MODULES: dict[str, Callable[[], nn.Module]] = {
    "LIF": LIF,
    "learned": lambda: Izhikevich(learn=("a2", "b1", "gain"), parameter_shape=N),
    "gain": lambda: Izhikevich(learn=("gain",)),
    "network": lambda: Network([Layer(Linear(N, 16), Izhikevich()), Layer(Linear(16, 4), LIF())]),
    "τ": lambda: Layer(Linear(N, 16, synapse=ExponentialSynapse(learn_tau=True)), LIF()),
    "conductance": lambda: Layer(Linear(N, 16, synapse=ConductanceSynapse()), Izhikevich("RS")),
    "recurrent": lambda: Layer(Linear(N, 16, recurrent=True), Izhikevich(learn=("b1",), gain=3.0)),
    "recurrent synapses": lambda: Layer(Linear(N, 16, recurrent=True, synapse=ConductanceSynapse()), Izhikevich("RS")),
}


def trained(run: Callable[[Tensor], tuple[Tensor, object]], module: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, and gradients of input and parameters."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    output, _ = run(x)
    (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    return [output.detach(), *(g for g in (x.grad, *grads) if g is not None)]


@pytest.mark.parametrize("name", slow_but(["LIF"], MODULES))
def test_a_step_is_one_graph_with_equal_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module, x = MODULES[name](), (torch.rand(T, B, N) < 0.5).float()
    expected = trained(module, module, x)
    assert expected[0].any()

    def unrolled(*_: object) -> None:
        raise AssertionError("the reference runs step by step")

    monkeypatch.setattr("izhi.kernels.reference.over_time", unrolled)
    # What records the backward pass as well takes seconds to load.
    compiled = torch.compile(module, backend="eager" if name == "LIF" else "aot_eager", fullgraph=True)
    found = trained(compiled, module, x)
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_a_graph_takes_other_batches_and_steps() -> None:
    neuron = Izhikevich(learn=("gain",), parameter_shape=N)
    compiled = torch.compile(neuron, backend="aot_eager", fullgraph=True, dynamic=True)
    for steps, batch in ((40, 3), (33, 5), (70, 2)):
        x = torch.rand(steps, batch, N)
        for one, other in zip(trained(neuron, neuron, x), trained(compiled, neuron, x), strict=True):
            assert torch.equal(one, other)


@pytest.mark.slow
def test_recurrence_that_goes_on_is_one_graph() -> None:
    """Spikes before the first step are an input with a gradient of its own."""
    torch.manual_seed(0)
    layer = Layer(Linear(N, 16, recurrent=True), Izhikevich(gain=3.0))

    def in_two_parts(x: Tensor) -> tuple[Tensor, object]:
        first, state = layer(x[:13])
        return torch.cat([first, layer(x[13:], state)[0]]), None

    x = (torch.rand(T, B, N) < 0.5).float()
    compiled = torch.compile(in_two_parts, backend="aot_eager", fullgraph=True)
    expected = trained(in_two_parts, layer, x)
    assert expected[0][13:].any()
    for one, other in zip(expected, trained(compiled, layer, x), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("recurrent", slow_but([False], [False, True]))
def test_what_the_compiler_knows_of_an_operator_is_true(full: bool, recurrent: bool) -> None:
    """Shapes, formats, and that gradients are registered."""
    s = LIF().settings
    assert s.key is not None

    def leaf(*sizes: int) -> Tensor:
        return torch.rand(sizes, requires_grad=True)

    decay = torch.tensor(0.8, requires_grad=full)
    arguments = (
        leaf(T, B * N), leaf(T, B * N) if full else None, leaf(N) if full else None, leaf(2, N if full else 1), decay,
        leaf(3 if full else 1, B * N), leaf(N, N) if recurrent else None, leaf(B, N) if recurrent and full else None,
        s.key, [0, 1, 2], 0.5, full, [], True,
    )  # fmt: skip
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operators.neurons, arguments, test_utils=checks)


@pytest.mark.slow
def test_what_no_kernel_covers_runs_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("izhi.kernels.dispatch._warned", set())  # of tests before this one
    neuron = LIF(surrogate=torch.sigmoid)
    assert neuron.settings.key is None
    compiled = torch.compile(neuron, backend="eager", fullgraph=True)
    x = torch.rand(3, 2, 4)
    with pytest.warns(UserWarning, match="step by step"):
        expected, _ = neuron(x)
    assert torch.equal(compiled(x)[0], expected)
