"""Online learning: gradients from segments and eligibility traces, against backpropagation and against autograd."""

import pytest
import torch
from hypothesis import given, settings, strategies
from torch import nn

import izhi
from izhi.cli import main
from izhi.connections import AxonalDelay, ConductanceSynapse, ExponentialSynapse, Linear
from izhi.errors import SettingError
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.training import LOSSES, Backprop, Classifier, Loss, Online, Trainer, checkpoint, make_fabric

STEPS, BATCH, INPUTS, NEURONS, CLASSES = 12, 4, 5, 6, 3


class AsTheyAre(nn.Module):
    """The encoder of samples that are spikes already."""

    def forward(self, samples, seed, *, training, dtype, device):
        return samples.to(dtype)


def gradients(network, method, spikes, labels, loss=LOSSES["mean"], precision="32-true"):
    """Loss, output, and gradient of each parameter, of one batch."""
    fabric = make_fabric("cpu", precision=precision)
    fabric.launch()
    trainer = Trainer(method, fabric, loss=loss)
    model, optimizer = fabric.setup(
        Classifier(AsTheyAre(), network, trainer.measure), torch.optim.SGD([torch.zeros(1)])
    )
    loss, output = method.start_step(trainer, model, optimizer)(spikes, labels, seed=3, where="here")
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    return loss, output, found


def batch(seed=0, steps=STEPS):
    generator = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(steps, BATCH, INPUTS, generator=generator) < 0.5).float()
    return spikes, torch.randint(CLASSES, (BATCH,), generator=generator)


def assert_equal(expected, found, tolerance=1e-5):
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert value.abs().max() > 0, name
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance * float(value.abs().max()), msg=name)


def conductance(**options):
    neuron = izhi.Izhikevich("RS")
    return ConductanceSynapse(3.0, reversal=neuron.reversal, implicit=neuron.implicit, **options)


RESONATORS = izhi.Resonators(frequency=(0.1, 1.0), decay=(0.01, 0.1))
#: Layers whose gradient is exact in any segments: connection, neuron.
EXACT = {
    "normalized": lambda: (nn.Linear(INPUTS, NEURONS), izhi.Izhikevich("normalized")),
    "no bias": lambda: (nn.Linear(INPUTS, NEURONS, bias=False), izhi.LIF()),
    "learned resonators": lambda: (
        nn.Linear(INPUTS, NEURONS),
        izhi.Izhikevich(RESONATORS, parameter_shape=NEURONS, learn="frequency,decay,threshold"),
    ),
    "smooth reset": lambda: (
        nn.Linear(INPUTS, NEURONS),
        izhi.Izhikevich(
            izhi.PRESETS["resonator"].replace(reset="smooth"), distribution=RESONATORS, parameter_shape=NEURONS
        ),
    ),
    "a state that the first input does not reach": lambda: (
        nn.Linear(INPUTS, NEURONS),
        izhi.Izhikevich(izhi.PRESETS["adlif"].replace(reset="smooth"), kernel="reference"),
    ),
    "shared coefficients": lambda: (nn.Linear(INPUTS, NEURONS), izhi.LIF(learn="beta,threshold")),
    "synapse": lambda: (Linear(INPUTS, NEURONS, synapse=ExponentialSynapse(4.0, learn_tau=True)), izhi.LIF()),
    "filtered bias": lambda: (Linear(INPUTS, NEURONS, synapse=ExponentialSynapse(4.0, filters_bias=True)), izhi.LIF()),
    "sums of parameters": lambda: (
        Linear(INPUTS, NEURONS, synapse=ExponentialSynapse(4.0)),
        izhi.Izhikevich("normalized", learn="a4,b3,a1"),
    ),
    "conductance": lambda: (Linear(INPUTS, NEURONS, synapse=conductance()), izhi.Izhikevich("RS", learn="a,d")),
}


@pytest.mark.parametrize("segment", [1, 5])
@pytest.mark.parametrize("kind", EXACT)
def test_one_layer_has_the_gradient_of_backpropagation(kind, segment):
    torch.manual_seed(1)
    network = Network([*EXACT[kind](), nn.Linear(NEURONS, CLASSES)])
    loss, output, expected = gradients(network, Backprop(), *batch())
    online_loss, online_output, found = gradients(network, Online(segment=segment), *batch())
    assert torch.equal(loss, online_loss)
    assert torch.equal(output, online_output)
    assert_equal(expected, found, 1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_its_gradient(loss):
    torch.manual_seed(2)
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, CLASSES)])
    arguments = (*batch(), LOSSES[loss])
    assert_equal(gradients(network, Backprop(), *arguments)[2], gradients(network, Online(segment=4), *arguments)[2])


def test_labels_of_each_step_have_their_gradient():
    torch.manual_seed(2)
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, CLASSES)])
    spikes, _ = batch()
    labels = torch.randint(CLASSES, (BATCH, STEPS), generator=torch.Generator().manual_seed(1))
    arguments = (spikes, labels, LOSSES["step"])
    assert_equal(gradients(network, Backprop(), *arguments)[2], gradients(network, Online(segment=5), *arguments)[2])


def test_dropout_silences_the_same_neurons_in_all_segments():
    torch.manual_seed(3)
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, CLASSES)], dropout=0.5).train()
    assert_equal(gradients(network, Backprop(), *batch())[2], gradients(network, Online(segment=5), *batch())[2])


def test_a_readout_with_a_synapse_has_the_gradient_of_backpropagation():
    torch.manual_seed(4)
    synapse = ExponentialSynapse(izhi.spread(tau=(2, 20)), per_output=CLASSES, learn_tau=True)
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(), Linear(NEURONS, CLASSES, synapse=synapse)])
    expected, found = (gradients(network, m, *batch(), LOSSES["last"])[2] for m in (Backprop(), Online(segment=5)))
    names = [name for name in expected if name.startswith("readout")]
    assert "readout.synapse.logit" in names
    assert_equal({n: expected[n] for n in names}, {n: found[n] for n in names})


#: Networks in which spikes reach other neurons in later segments.
DEEP = {
    "two layers": lambda: [
        nn.Linear(INPUTS, NEURONS), izhi.Izhikevich("normalized"), nn.Linear(NEURONS, NEURONS), izhi.LIF(),
        nn.Linear(NEURONS, CLASSES),
    ],
    "recurrent": lambda: [
        Linear(INPUTS, NEURONS, recurrent=True), izhi.LIF(learn="beta"), nn.Linear(NEURONS, CLASSES),
    ],
    "recurrent with a synapse": lambda: [
        Linear(INPUTS, NEURONS, recurrent=True, synapse=ExponentialSynapse(4.0)), izhi.LIF(),
        Linear(NEURONS, CLASSES, synapse=ExponentialSynapse(4.0)),
    ],
    "a residual block": lambda: [
        nn.Linear(INPUTS, NEURONS), izhi.LIF(), Residual([nn.Linear(NEURONS, NEURONS), izhi.LIF()]),
        nn.Linear(NEURONS, CLASSES),
    ],
}  # fmt: skip


def own_history(layer, spikes, fired):
    """The state of a layer's neurons after steps in which its inputs and own spikes are constants."""
    drive, _ = layer.drive(spikes.detach())
    if drive.feedback is not None:
        before = torch.cat([torch.zeros_like(fired[:1]), fired[:-1]]).detach()
        drive = drive._replace(current=drive.current + before @ drive.feedback.T, feedback=None)
    _, state = layer.neuron(drive)
    if layer.connection.feedback is None:
        return state
    return state._replace(memory=state.memory._replace(spikes=fired[-1].detach()))


def by_autograd(network, spikes, signal, segment):
    """The gradient by definition: a segment's graph whole, and before it each neuron's own history alone."""
    inputs, network_inputs = [], []
    hooks = [layer.register_forward_hook(lambda m, x, y: inputs.append((m, x[0], y[0]))) for layer in network.spiking]
    if network.readout.synapse is not None:
        hooks.append(network.readout.register_forward_hook(lambda m, x, y: network_inputs.append(x[0])))
    network(spikes)
    for hook in hooks:
        hook.remove()
    network.zero_grad()
    for first in range(0, len(spikes), segment):
        state = network(spikes[:1])[1]
        if first:
            states = {m: own_history(m, x[:first], y[:first]) for m, x, y in inputs}
            layers = [
                [states[own] if isinstance(own, Layer) else None for own in module.layers]
                if isinstance(module, Residual) else states[module] for module in network.layers
            ]  # fmt: skip
            trace = None if not network_inputs else network.readout.read_out(network_inputs[0][:first].detach())[1]
            state = state._replace(layers=layers, readout=trace)
        part = slice(first, first + segment)
        network(spikes[part], state if first else None).output.backward(signal[part])
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("segment", [1, 5, STEPS])
@pytest.mark.parametrize("kind", DEEP)
def test_spikes_reach_other_neurons_within_a_segment_alone(kind, segment):
    torch.manual_seed(5)
    network = Network(DEEP[kind]())
    spikes, labels = batch()
    _, output, found = gradients(network, Online(segment=segment), spikes, labels)
    output.requires_grad_()
    (signal,) = torch.autograd.grad(LOSSES["mean"](output, labels), output)
    assert_equal(by_autograd(network, spikes, signal, segment), found, 1e-4)
    if segment == STEPS:
        assert_equal(gradients(network, Backprop(), spikes, labels)[2], found)


@settings(max_examples=15, deadline=None)
@given(strategies.integers(1, 9), strategies.integers(1, 9), strategies.integers(0, 99))
def test_any_steps_and_segments(steps, segment, seed):
    torch.manual_seed(seed)
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(kernel="reference"), nn.Linear(NEURONS, CLASSES)])
    expected, found = (gradients(network, m, *batch(seed, steps))[2] for m in (Backprop(), Online(segment=segment)))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_no_more_than_a_segment_is_propagated_backwards():
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, CLASSES)])
    lengths = []

    def see(module, inputs, output):
        if torch.is_grad_enabled():
            lengths.append(len(inputs[0]))

    network.register_forward_hook(see)
    gradients(network, Online(segment=5), *batch())
    assert lengths == [5, 5, 2]


def test_bfloat16_is_close_to_single_precision():
    torch.manual_seed(6)
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, CLASSES)])
    expected, found = (
        gradients(network, Online(segment=5), *batch(), precision=p)[2] for p in ("32-true", "bf16-mixed")
    )
    assert all(x.dtype == torch.float32 for x in found.values())
    assert_equal(expected, found, 0.05)


REFUSED = {
    "a convolution": lambda: Network([nn.Conv1d(1, 2, 3), izhi.LIF(), nn.Flatten(), nn.Linear(6, CLASSES)]),
    "delays": lambda: Network(
        [Layer(Linear(INPUTS, NEURONS), izhi.LIF(), AxonalDelay(INPUTS, largest=2)), nn.Linear(NEURONS, CLASSES)]
    ),
    "normalisation": lambda: Network(
        [Layer(Linear(INPUTS, NEURONS), izhi.LIF(), norm=BatchNorm(NEURONS)), nn.Linear(NEURONS, CLASSES)]
    ),
    "BatchNorm1d stands beside": lambda: Network(
        [nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.BatchNorm1d(NEURONS), nn.Linear(NEURONS, CLASSES)]
    ),
    "keep_every is 3": lambda: Network(
        [nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, CLASSES)], keep_every=3
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_traces_is_refused(message):
    with pytest.raises(SettingError, match=message):
        gradients(REFUSED[message](), Online(), *batch())


def test_segments_and_outputs_without_a_gradient_are_refused():
    network = Network([nn.Linear(INPUTS, NEURONS), izhi.LIF(), nn.Linear(NEURONS, CLASSES)])
    with pytest.raises(SettingError, match="segment is 0"):
        gradients(network, Online(segment=0), *batch())
    with pytest.raises(SettingError, match=r"not depend on the network's output"):
        gradients(network, Online(segment=5), *batch(), Loss(lambda output, labels: labels.float().mean()))
    with pytest.raises(SettingError, match="does not depend on its weights"):
        gradients(network.requires_grad_(False), Online(segment=5), *batch())


SETTINGS = ["--dataset", "iris", "--hidden", "6", "--steps", "8", "--precision", "32-true", "--quiet"]


@pytest.mark.slow
def test_a_run_learns_online_resumes_and_is_quantised(tmp_path, capsys):
    for name, epochs in (("whole", "2"), ("parts", "1"), ("parts", "2")):
        more = ["--resume"] if (tmp_path / name).exists() else []
        main(["train", *SETTINGS, "--epochs", epochs, "--online", "3", *more, "--out", str(tmp_path / name)])
    whole, parts = (
        checkpoint.progress_of(checkpoint.load(tmp_path / name / "checkpoint.pt")).network
        for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(x, parts[name]) for name, x in whole.items())
    options = ["--weights", "4", "--epochs", "1", "--quiet", "--out", str(tmp_path / "rounded")]
    assert main(["quantize", str(tmp_path / "whole"), *options]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--optimizer snes", "no gradient"),
        ("--weight-bits 4", "train in floats"),
        ("--devices 2", "one process"),
        ("--delays 3", "layer 1 has delays"),
        ("--keep-every 3", "keep_every is 3"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_training(tmp_path, capsys, options, message):
    assert (
        main(["train", *SETTINGS, "--epochs", "2", "--online", "3", *options.split(), "--out", str(tmp_path / "run")])
        == 2
    )
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
