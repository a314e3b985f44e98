"""Dropout of spikes that are kept as bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import izhi
from izhi.errors import SettingError
from izhi.kernels import PackedSpikes, drop, product
from izhi.kernels.dropout import ScaledSpikes
from izhi.kernels.packed import as_bits
from izhi.network import Layer, Network, Residual, sequence
from izhi.network.connections import AxonalDelay, Linear
from izhi.network.synapses import ExponentialSynapse

TIME, BATCH, INPUTS, NEURONS = 40, 6, 30, 64


def networks() -> dict[str, Network]:
    # A factor of 2, with which weights in bfloat16 are rounded as they are without it.
    torch.manual_seed(0)
    first = [nn.Linear(INPUTS, NEURONS), izhi.Izhikevich("normalized")]
    second = Linear(NEURONS, NEURONS, recurrent=True, synapse=ExponentialSynapse())
    images = [nn.Unflatten(1, (4, 4, 4)), nn.Conv2d(4, 3, 3), izhi.LIF(), nn.MaxPool2d(2), nn.Flatten()]
    return {
        "layers": Network([*first, nn.Linear(NEURONS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, 5)], dropout=0.5),
        "recurrence": Network([*first, second, izhi.LIF(), nn.Linear(NEURONS, 5)], dropout=0.5),
        "delays": Network([*first, Layer(Linear(NEURONS, 5), izhi.LIF(), AxonalDelay(NEURONS, 3))], dropout=0.5),
        "convolution": Network([*first, *images, nn.Linear(3, 5)], dropout=0.5),
        "residual": Network([*first, Residual([Layer(Linear(NEURONS, NEURONS), izhi.LIF())]), nn.Linear(NEURONS, 5)],
                            dropout=0.5),
        "parts": Network([*first, nn.Linear(NEURONS, 5)], dropout=0.5, keep_every=16),
    }  # fmt: skip


def spikes() -> Tensor:
    return (torch.rand(TIME, BATCH, INPUTS, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def gradients(network: Network, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(2)
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        output = network(PackedSpikes.pack(spikes())).output.float()
    (output.sum(0) * torch.linspace(-1, 1, output.shape[2])).sum().backward()
    return [output.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", list(networks()))
def test_bits_have_the_spikes_and_gradients_of_numbers(
    name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = networks()[name].train()
    found = gradients(network, dtype)
    monkeypatch.setattr(sequence, "drop", lambda x, active, factor: x * (active * factor).to(x.dtype))
    expected = gradients(network, dtype)
    assert len(found) == len(expected) > 2
    for one, other in zip(found, expected, strict=True):
        assert other.any()
        assert (one - other).norm() <= (1e-5 if dtype == torch.float32 else 0.05) * other.norm()


def test_layers_behind_dropout_receive_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: ScaledSpikes) -> Tensor:
        raise AssertionError("as numbers")

    monkeypatch.setattr(ScaledSpikes, "dense", fail)
    gradients(networks()["layers"].train(), torch.float32)
    with pytest.raises(AssertionError, match="as numbers"):
        gradients(networks()["convolution"].train(), torch.float32)


def test_dropped_spikes_are_numbers_for_all_else() -> None:
    bits, weight = as_bits(spikes()), torch.randn(7, INPUTS)
    active = torch.rand(BATCH, INPUTS) < 0.5
    expected = spikes() * active * 2
    dropped = drop(bits, active, 2.0)
    assert isinstance(dropped, ScaledSpikes)
    assert torch.equal(dropped + 0, expected)
    assert torch.equal(dropped.flatten(1), expected.flatten(1))
    torch.testing.assert_close(product(dropped, weight), expected @ weight.T)
    torch.testing.assert_close(product(dropped.detach(), weight), expected @ weight.T)
    dropped.mul_(3)
    torch.testing.assert_close(product(dropped, weight), expected @ weight.T * 3)
    assert torch.equal(bits + 0, spikes()), "those of the neurons stay as they are"
    assert torch.equal(drop(spikes(), active, 2.0), expected)


def test_a_second_derivative_is_refused() -> None:
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, 5)], dropout=0.5).train()
    loss = network(PackedSpikes.pack(spikes())).output.square().sum()
    with pytest.raises(SettingError, match="again|second|twice"):
        torch.autograd.grad(loss, list(network.parameters()), create_graph=True)[0].sum().backward()
