"""Weights say what neurons they are of: others refuse them, and earlier weights, which do not say it, still load."""

import copy
import io
import json
import pickle

import pytest
import torch

from izhi import LIF, Izhikevich, preset, snntorch as door
from izhi.errors import CheckpointError, SettingError
from izhi.neurons.neuron import DYNAMICS

MIXED = {"RS": 0.5, "FS": 0.5}


def without(state):
    """As earlier versions saved it."""
    return {name: value for name, value in state.items() if not name.endswith(DYNAMICS)}


@pytest.mark.parametrize(
    ("saved", "other", "message"),
    [
        (Izhikevich("CH"), Izhikevich("FS"), "its neurons have b1 0.004, expected 0.02.*, and another b2, c"),
        (Izhikevich("RS"), Izhikevich("RS", gain=2.0), "have gain 200.0, expected 2.0; build them as"),
        (Izhikevich("RS"), Izhikevich(preset("RS").replace(order="s2nn")), "have order 'izhikevich', expected 's2nn'"),
        (Izhikevich("RS"), Izhikevich(preset("RS").replace(dt=0.5)), "have dt 1.0, expected 0.5"),
        (Izhikevich("RS"), Izhikevich(preset("RS").replace(v0=-60.0)), "have v0 -70.0, expected -60.0"),
        (Izhikevich(MIXED, parameter_shape=4),
         Izhikevich({"RS": 0.75, "FS": 0.25}, parameter_shape=4), r"\[2, 2\], expected \[3, 1\]"),
        (Izhikevich(MIXED, parameter_shape=4),
         Izhikevich({"RS": 0.5, "CH": 0.5}, parameter_shape=4), r"have b1 \[0.004, 0.02.*\], expected"),
        (LIF(), LIF(0.9), "have beta 0.95, expected 0.9"),
        (LIF(), LIF(reset="zero"), "have reset 'subtract', expected 'zero'"),
        (LIF(reset="value", v_reset=-0.5), LIF(reset="value"), "have v_reset -0.5, expected 0.0"),
        (LIF(reset="zero"), LIF(reset="value", v_reset=-0.5), "have v_reset None, expected -0.5, and another reset"),
        (LIF(reset="soft"), LIF(), "have reset 'soft', expected 'subtract'"),
        (LIF(), LIF(reset_delay=False), "have reset_delay True, expected False"),
        (LIF(), Izhikevich(), "have neuron 'lif', expected 'izhikevich', and another"),
        (door.Izhikevich("CH"), door.Izhikevich("RS"), "layer: its neurons have c -50.0"),
    ],
)  # fmt: skip
def test_weights_of_other_neurons_are_refused(saved, other, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        other.load_state_dict(saved.state_dict())
    assert "\n" not in str(caught.value)


NEURONS = (
    lambda: Izhikevich("CH", learn=("a", "b"), parameter_shape=5),
    lambda: Izhikevich(MIXED, parameter_shape=5, learn=("d",)),
    lambda: LIF(0.8, learn=("beta",)),
    lambda: LIF(0.8, reset="value", v_reset=-0.2, learn=("v_reset",), parameter_shape=5),
    lambda: door.Izhikevich("RS", learn=["d"], learn_threshold=True),
)


@pytest.mark.parametrize("make", NEURONS)
def test_the_same_neurons_take_them_however_they_come(make):
    neuron = make()
    for p in neuron.parameters():
        p.data.mul_(1.5)
    file = io.BytesIO()
    torch.save(neuron.state_dict(), file)
    file.seek(0)
    states = [
        torch.load(file, weights_only=True), without(neuron.state_dict()), copy.deepcopy(neuron).state_dict(),
    ]  # fmt: skip
    if not isinstance(neuron, door.Izhikevich):  # snnTorch's surrogates cannot be pickled
        states.append(pickle.loads(pickle.dumps(neuron)).state_dict())
    for state in states:
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        found = make()
        assert not found.load_state_dict(state).missing_keys
        for a, b in zip(found.parameters(), neuron.parameters(), strict=True):
            assert torch.equal(a, b)


def test_what_is_learned_may_have_begun_elsewhere():
    learned = Izhikevich("RS", learn=("d",))
    Izhikevich(preset("RS").replace(d=3.0), learn=("d",)).load_state_dict(learned.state_dict())
    with pytest.raises(CheckpointError, match="have c -65.0, expected -60.0"):
        Izhikevich(preset("RS").replace(c=-60.0), learn=("d",)).load_state_dict(learned.state_dict())


@pytest.mark.parametrize("reset", ["subtract", "soft", "zero", "none"])
def test_only_neurons_that_a_spike_sets_to_a_value_say_which(reset):
    neuron = LIF(reset=reset)
    assert set(neuron.dynamics()) == {"beta", "threshold", "reset", "reset_delay"}
    assert LIF(reset="value", v_reset=-0.5).dynamics() == {**neuron.dynamics(), "reset": "value", "v_reset": -0.5}


def test_training_may_change_what_is_no_dynamics():
    Izhikevich("RS", jacobian_limit=3.0, kernel="reference").load_state_dict(Izhikevich("RS").state_dict())


@pytest.mark.parametrize(
    "odd", [None, 5, {"c": 1}, torch.zeros(3), torch.zeros(0, dtype=torch.uint8), b"[]", b"{", b"\xff", b"[" * 10000]
)
def test_an_entry_that_is_none(odd):
    if isinstance(odd, bytes):
        odd = torch.tensor(list(odd), dtype=torch.uint8)
    with pytest.raises(CheckpointError, match="what its neurons are is .*, expected bytes of JSON"):
        Izhikevich("RS").load_state_dict({DYNAMICS: odd})


def test_a_layer_is_named(tmp_path):
    whole = torch.nn.Sequential(torch.nn.Linear(2, 3), Izhikevich("CH"))
    other = torch.nn.Sequential(torch.nn.Linear(2, 3), Izhikevich("FS"))
    with pytest.raises(CheckpointError, match="^1: its neurons have b1"):
        other.load_state_dict(whole.state_dict())
    assert json.loads(bytes(whole.state_dict()[f"1.{DYNAMICS}"].tolist()))["neuron"] == "izhikevich"


@pytest.mark.parametrize("learn", ["a1", "a1, c", ("a1", "c")])
def test_names_in_a_text_are_names(learn):
    names = {"a1"} if learn == "a1" else {"a1", "c"}
    assert set(Izhikevich("normalized", learn=learn).learned) == names
    assert set(LIF(learn="beta").learned) == {"beta"}
    with pytest.raises(SettingError, match="unknown learnable coefficient 'a9'"):
        Izhikevich("normalized", learn="a9")
