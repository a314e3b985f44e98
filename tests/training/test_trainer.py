"""Training in Python, from a network, an encoder and data, with no settings."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from izhi import LIF, PRESETS, Izhikevich, data, training
from izhi.connections import Linear
from izhi.data import Samples
from izhi.errors import CheckpointError, DivergenceError, UnstableLayerWarning
from izhi.network import Layer, Network
from izhi.network.encoders import ValueEncoder
from izhi.training import (
    LOSSES,
    Backprop,
    Data,
    Optimizer,
    Progress,
    Trainer,
    bar,
    checkpoint,
    start_fabric,
)
from tiers import slow_but


def a_network(kind=LIF):
    torch.manual_seed(0)
    return Network([Layer(Linear(4, 24), kind()), Layer(Linear(24, 3), kind())])


def a_trainer(epochs, **changes):
    return Trainer(
        Backprop(Optimizer(learning_rate=1e-2)), start_fabric("cpu", precision="32-true"), epochs,
        batch_size=16, **changes,
    )  # fmt: skip


def iris():
    whole = data.load("iris")
    train, held = data.split(whole.train, 0.1, seed=0)
    return Data(train, whole.test, held)


def numbers(history):
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in history]


ENCODER = ValueEncoder("constant", 12, (4,))


@pytest.mark.parametrize("kind", slow_but([Izhikevich], [LIF, Izhikevich]))
def test_a_network_an_encoder_and_data_are_all_it_takes(kind):
    found = a_trainer(30).fit(a_network(kind), iris(), ENCODER)
    assert [row["epoch"] for row in found.history] == list(range(1, 31))
    assert found.history[-1]["test_accuracy"] > 0.8
    assert found.history[-1]["train_loss"] < found.history[0]["train_loss"]
    assert "validation_accuracy" in found.history[-1]


def test_any_optimiser_of_torch_learns():
    def plain(network):
        return torch.optim.RMSprop(network.parameters(), lr=1e-2)

    trainer = Trainer(Backprop(plain), start_fabric("cpu", precision="32-true"), 5, 16)
    found = trainer.fit(a_network(), iris(), ENCODER)
    assert found.history[-1]["train_loss"] < found.history[0]["train_loss"]


@pytest.mark.slow
def test_an_optimiser_of_torch_goes_on_exactly_from_its_checkpoint(tmp_path):
    def plain(network):
        return torch.optim.AdamW(network.parameters(), lr=1e-2)

    def crash(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    def a_run(**changes):
        method, fabric = Backprop(plain, "cosine"), start_fabric("cpu", precision="32-true")
        return Trainer(method, fabric, 4, 16, **changes).fit(a_network(), iris(), ENCODER)

    whole = a_run()
    with pytest.raises(KeyboardInterrupt):
        a_run(checkpoint=tmp_path / "run.pt", callbacks=[crash])
    rest = a_run(checkpoint=tmp_path / "run.pt")
    assert numbers(rest.history) == numbers(whole.history)
    for name, value in whole.network.items():
        assert torch.equal(rest.network[name], value), name


def test_it_goes_on_exactly_from_what_was_kept(tmp_path):
    whole = a_trainer(4).fit(a_network(), iris(), ENCODER)
    path = tmp_path / "checkpoint.pt"

    def keep(progress: Progress) -> None:
        checkpoint.save(path, checkpoint.content_of(progress))

    a_trainer(2).fit(a_network(), iris(), ENCODER, keep=keep)
    kept = checkpoint.progress_of(checkpoint.load(path))
    network = a_network()
    checkpoint.load_weights(path, network, kept.network)
    rest = a_trainer(4).fit(network, iris(), ENCODER, start=kept)
    assert numbers(rest.history) == numbers(whole.history)
    for name, value in whole.network.items():
        assert torch.equal(rest.network[name], value), name


def test_progress_of_another_optimiser_is_refused(tmp_path):
    kept = a_trainer(1).fit(a_network(), iris(), ENCODER)
    network = Network([Layer(Linear(4, 3), LIF(learn=("beta",)))])
    with pytest.raises(CheckpointError, match="is from another optimiser"):
        a_trainer(2).fit(network, iris(), ENCODER, start=kept)


def test_another_loss_reads_the_classes_its_own_way():
    found = a_trainer(2, loss=LOSSES["max"]).fit(a_network(), iris(), ENCODER)
    assert found.history[-1]["train_loss"] > 0


def test_a_layer_that_diverges_is_named_before_training():
    p = PRESETS["resonator"].replace(a2=0.02, b2=0.01)
    network = Network([Layer(Linear(4, 6), Izhikevich(p)), Layer(Linear(6, 3), LIF())])
    with pytest.warns(UnstableLayerWarning, match=r"layer 1 has neurons that diverge, 1 of 1: .* up to 1.015 in each"):
        a_trainer(1).fit(network, iris(), ENCODER)


@pytest.mark.parametrize("kind", ["resonator", "adlif", "qif", "normalized"])
def test_presets_do_not_diverge(kind, recwarn):
    a_trainer(1).fit(Network([Layer(Linear(4, 3), Izhikevich(kind))]), iris(), ENCODER)
    assert not [x for x in recwarn if x.category is UnstableLayerWarning]


def test_in_a_notebook_progress_is_one_line(monkeypatch):
    shown = []

    class Handle:
        def update(self, content, raw):
            shown.append(content["text/plain"])

    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    assert isinstance(bar.choose_listener(), bar.TerminalBar)  # imported, but nothing runs in a kernel
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr("IPython.display.display", lambda content, raw, display_id: Handle())
    found = a_trainer(2).fit(a_network(), iris(), ENCODER)
    row = found.history[-1]
    accuracies = ", ".join(f"{part} {100 * row[f'{part}_accuracy']:.1f} %" for part in ("validation", "test"))
    assert shown[-1] == f"epoch 2/2, loss {row['train_loss']:.3f}, {accuracies}"
    assert shown[0].startswith("step 1 of 7, loss ")


def test_listeners_receive_each_step_and_epoch_as_an_event():
    events = []
    found = a_trainer(2).fit(a_network(), iris(), ENCODER, listener=events.append)
    assert [event.kind for event in events if event.kind != "step"] == ["start", "epoch", "epoch", "end"]
    assert [event.metrics for event in events if event.kind == "epoch"] == found.history
    assert sum(len(event.losses) for event in events) == 2 * events[0].steps
    assert all(event.epochs == 2 for event in events)


def test_a_run_that_fails_ends_its_progress():
    events = []

    def fails(event):
        events.append(event.kind)
        if event.kind == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        a_trainer(2).fit(a_network(), iris(), ENCODER, listener=fails)
    assert events == ["start", "step", "end"]


def test_listeners_with_methods_work_and_warn():
    calls = []
    old = SimpleNamespace(
        begin=lambda steps, finished: calls.append((steps, finished)),
        step=lambda loss: calls.append(loss),
        epoch=lambda row, warnings: calls.append(row["epoch"]),
    )
    with pytest.warns(FutureWarning, match="is now a function of a ProgressEvent"):
        a_trainer(1).fit(a_network(), iris(), ENCODER, listener=old)
    assert calls[0] == (7, 0)
    assert calls[-1] == 1
    assert len(calls) == 9
    with pytest.warns(FutureWarning, match=r"izhi\.training\.Silent\(\) is now izhi\.training\.ignore_progress"):
        training.Silent()


def test_a_state_that_becomes_no_number_is_a_divergence():
    """Spikes of such a state are 0, and the loss finite."""
    connection = Linear(6, 3, recurrent=True)
    network = Network([Layer(connection, LIF())])
    with torch.no_grad():  # each sum becomes infinite, and their difference NaN
        connection.weight.fill_(3e38)
        connection.feedback.weight.fill_(-3e38)
    samples = Samples(torch.ones(8, 6), torch.arange(8) % 3)
    with pytest.raises(DivergenceError, match=r"a state is not finite at epoch 1, step 1, first seen in layer 1"):
        Trainer(epochs=1).fit(network, Data(samples, samples), ValueEncoder("constant", 5, (6,)))
