"""Settings: groups and tables, flat names, marks, and runs that were saved by earlier versions."""

from __future__ import annotations

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings, strategies as st

from izhi.cli.parser import parser
from izhi.deprecation import RenamedWarning
from izhi.errors import IzhiError, SettingError
from izhi.experiments.settings import (
    FIELDS,
    GROUP_OF,
    GROUPS,
    Experiment,
    Mark,
    experiment,
    marked,
    parsed,
    read,
)
from izhi.experiments.settings.description import describe, describe_encoder

TABLES = """
validation = 0.2

[data]
dataset = "iris"

[network]
hidden = [8, 4]

[training]
learning_rate = 1e-3
"""
FLAT = """
validation = 0.2
dataset = "iris"
hidden = [8, 4]
learning_rate = 1e-3
"""


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("q_decay", -0.1, "greater than or equal to 0"), ("q_decay", 1.1, "less than or equal to 1"),
     ("q_damping", -1e-3, "greater than or equal to 0"), ("slope", 0.0, "greater than 0"),
     ("v_reset", 1.0, "less than 1")],
)  # fmt: skip
def test_numbers_of_neurons_have_limits(name, value, expected):
    with pytest.raises(SettingError, match=f"{name} is .*, expected {expected}"):
        experiment({name: value})


def order_of_pixels(order):
    values = {"dataset": "digits", "encoding": "pixels", "steps": 64, "permutation": order}
    return describe_encoder(experiment(values), "digits", (8, 8), is_series=False).permutation


def test_one_order_of_pixels_is_a_seed_or_a_file(tmp_path, monkeypatch):
    (tmp_path / "root").mkdir()
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "root" / "order.npz", permutation=np.arange(64)[::-1])
    assert (order_of_pixels(3), order_of_pixels("3")) == (3, 3)
    assert order_of_pixels("order.npz") == tuple(range(63, -1, -1))
    np.savez("order.npz", permutation=np.arange(64))
    assert order_of_pixels("order.npz") == tuple(range(64)), "the current folder comes first"


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (-1, "permutation is -1, expected a seed from 0 to 4294967295, or a file .npz"),
        (True, "permutation is True, expected a seed"),
        ("9" * 5000, "permutation is '9999.*, expected a seed"),
        (10**400, "permutation is 1000.*, expected a seed"),
        ("0" * 20 + "9" * 30, "permutation is '0000.*, expected a seed"),
        ("none.npz", "cannot read none.npz: No such file"),
        ("x.npz", r"x.npz holds x, expected permutation, whole numbers \(H·W\)"),
        ("real.npz", "real.npz holds permutation, expected permutation, whole numbers"),
        ("short.npz", "permutation has 63 places, expected 0 to 63, each once"),
        ("twice.npz", "permutation has 64 places, expected 0 to 63, each once"),
        ("text.npz", "text.npz holds no order of pixels .*, expected a file of np.savez"),
    ],
)
def test_what_is_no_order_of_pixels_is_refused(order, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=np.arange(64))
    np.savez("real.npz", permutation=np.arange(64.0))
    np.savez("short.npz", permutation=np.arange(63))
    np.savez("twice.npz", permutation=np.r_[0, 0, 2:64])
    (tmp_path / "text.npz").write_text("7 5 3")
    with pytest.raises(IzhiError, match=message):
        order_of_pixels(order)


def test_tables_and_flat_keys_give_the_same_experiment(tmp_path):
    found = []
    for name, text in (("tables", TABLES), ("flat", FLAT)):
        (tmp_path / name).write_text(text)
        found.append(experiment(read(tmp_path / name)))
    assert found[0] == found[1]
    assert found[0].network.hidden == (8, 4)
    assert found[0].training.learning_rate == 1e-3
    assert found[0].data.validation == 0.2


#: What a configuration of before has, in which LIF alone had a reset.
SAVED_BEFORE = {
    "dataset": "iris", "beta": 0.95, "reset": "subtract", "v_reset": 0.0, "slope": 2.0, "jacobian_limit": 1.0,
    "surrogate": "atan", "learn": [], "spread": 0.0,
}  # fmt: skip


@pytest.mark.parametrize("reset", ["subtract", "zero", "soft", "none", "value"])
def test_a_reset_that_had_no_effect_has_none(reset, tmp_path):
    """As TOML and as a checkpoint, and again after it is saved."""
    before = {**SAVED_BEFORE, "neuron": "normalized", "gain": 1.0, "order": "fpga-ip", "reset": reset}
    e = experiment(before)
    assert e.neurons.reset == "value"
    assert experiment({"dataset": "iris"}) == e
    (tmp_path / "config.toml").write_text(tomli_w.dumps(before))
    assert experiment(read(tmp_path / "config.toml")) == e
    assert experiment({**read(tmp_path / "config.toml"), "reset": "subtract"}).neurons.reset == "subtract"
    lif = experiment({**SAVED_BEFORE, "neuron": "lif", "gain": 1.0, "reset": reset})
    assert lif.neurons.reset == reset
    assert experiment(lif.flat(plain=True)) == lif


def test_resets_of_layers_that_were_saved_before():
    layers = [{"size": 8, "neuron": "lif"}, {"size": 6, "neuron": "lif", "reset": "soft"}, {"size": 5}]
    before = {**SAVED_BEFORE, "neuron": "normalized", "reset": "zero", "layers": layers}
    assert _resets_of_layers(before) == ["zero", "soft", "value", "value"]
    layers = [{"size": 8, "neuron": "RS", "reset": "zero"}, {"size": 6}, {"size": 5, "neuron": "lif", "reset": "soft"}]
    before = {**SAVED_BEFORE, "neuron": "lif", "reset": "zero", "layers": layers}
    assert _resets_of_layers(before) == ["value", "zero", "soft", "zero"]


def test_resets_of_layers_follow_their_presets_unless_one_is_chosen():
    layers = [{"size": 8}, {"size": 6, "neuron": "adlif"}, {"size": 5, "neuron": "lif"}]
    settings = {"dataset": "iris", "neuron": "resonator", "layers": layers}
    assert _resets_of_layers(settings) == ["none", "value", "subtract", "none"]
    assert _resets_of_layers(experiment(settings).flat(plain=True)) == ["none", "value", "subtract", "none"]
    chosen = {**settings, "reset": "subtract"}
    assert _resets_of_layers(chosen) == ["subtract", "subtract", "subtract", "subtract"]
    own = "izhi.equation.literature:parametric_lif"
    assert _resets_of_layers({**settings, "layers": [{"size": 8, "neuron": own}]}) == [None, "none"]
    settings = {"dataset": "iris", "neuron": "lif", "reset": "zero", "layers": [{"size": 8, "neuron": "lif"}]}
    assert _resets_of_layers(settings) == ["zero", "zero"]


def _resets_of_layers(settings):
    return [layer.neuron.reset for layer in describe(experiment({**settings, "readout": "spikes"}), 4, 3).layers]


@pytest.mark.parametrize("reset", ["value", "subtract", "none", "smooth"])
def test_a_reset_is_saved_and_read_back(reset, tmp_path):
    e = experiment({"dataset": "iris", "neuron": "adlif", "reset": reset})
    (tmp_path / "config.toml").write_text(e.to_toml())
    assert experiment(read(tmp_path / "config.toml")) == e == experiment(e.flat(plain=True))
    neuron = describe(e, 4, 3).layers[0].neuron
    assert neuron.parameters.reset == reset
    assert type(neuron).of_table(neuron.table()) == neuron
    assert ("reset" in neuron.table()["parameters"]) == (reset != "value")


def test_the_reset_of_a_mixture_and_its_refractory_state():
    settings = {"neuron": "RS", "mixture": "RS=.5,FS=.5", "reset": "smooth", "q_decay": 0.8, "q_damping": 0.02}
    neuron = describe(experiment({"dataset": "iris", **settings}), 4, 3).layers[0].neuron
    assert {p.reset for p in neuron.mixture.members} == {"smooth"}
    assert (neuron.parameters.q_decay, neuron.parameters.q_damping) == (0.8, 0.02)
    assert type(neuron).of_table(neuron.table()) == neuron


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reset": "zero"}, "reset is 'zero', which Izhikevich neurons do not have; choose value, which sets v to c"),
        ({"reset": "soft"}, "reset is 'soft', which Izhikevich neurons do not have; choose subtract"),
        (
            {"neuron": "lif", "reset": "smooth"},
            "reset is 'smooth', which lif does not have; choose subtract, soft, zero, value or none",
        ),
        ({"reset": "value", "v_reset": -0.2}, "v_reset is -0.2, but normalized is reset to c; leave it out"),
        ({"q_decay": 0.5}, "q_decay is 0.5, which reset 'value' has no use for; choose reset 'smooth'"),
        ({"learn": "q_damping"}, "learn is 'q_damping', which reset 'value' has no use for"),
        (
            {"neuron": "izhi.equation.literature:parametric_lif", "reset": "subtract"},
            "reset is 'subtract', but izhi.equation.literature:parametric_lif has its own; leave it out",
        ),
    ],
)
def test_wrong_resets(settings, message):
    with pytest.raises(SettingError, match=message):
        experiment({"dataset": "iris", **settings})


def test_what_is_saved_is_read_back(tmp_path):
    e = experiment(
        {"dataset": "iris", "neuron": "RS", "learn": "a,b", "mixture": "RS=.5,FS=.5", "tau": 3,
         "jacobian_limit": "inf"}
    )  # fmt: skip
    path = tmp_path / "config.toml"
    path.write_text(e.to_toml("a header\nof two lines"))
    assert path.read_text().startswith("# a header\n# of two lines\n")
    assert "[neurons]" in path.read_text()
    assert experiment(read(path)) == e
    assert experiment(e.flat()) == e
    assert experiment(e.flat(plain=True)) == e


def test_every_name_is_in_one_group_and_no_group_has_a_settings_name():
    assert set(GROUP_OF) == set(FIELDS)
    assert sum(len(group.model_fields) for group in GROUPS.values()) == len(FIELDS)
    assert not set(GROUPS) & set(FIELDS)
    assert set(Experiment.model_fields) == set(GROUPS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": 3}, r"training is 3, expected a table \[training\]"),
        ({"data": {"epochs": 3}}, r"epochs stands in \[data\], expected \[training\]"),
        (
            {"epochs": 2, "training": {"epochs": 3}},
            r"epochs is given at the top and in \[training\]",
        ),
        ({"training": {"epoch": 3}}, "unknown setting 'epoch' .did you mean 'epochs'"),
        ({"network": {"hidden": [0]}}, "hidden.0 is 0, expected greater than or equal to 1"),
        ({"epochs": 0, "steps": 0, "odd": 1}, "unknown setting 'odd'.*; steps is 0.*; epochs is 0"),
        ({"neuron": "lif", "order": "fpga-ip"}, "order is 'fpga-ip', but lif has none"),
        ({"neuron": "lif", "mixture": "RS=1"}, "mixture is set, but lif has no classes"),
        ({"mixture": "RS=1"}, "mixture names 'RS', but the neuron is 'normalized'"),
        ({"neuron": "RSS"}, "unknown neuron 'RSS' .did you mean 'RS'"),
        ({"population": 2}, "population is 2, expected 0 or at least 3 fields"),
    ],
)
def test_mistakes_are_one_line(values, message):
    with pytest.raises(SettingError, match=message) as caught:
        experiment(values)
    assert "\n" not in str(caught.value)


def test_a_change_is_checked_with_all_other_settings():
    e = experiment({"dataset": "iris"})
    assert e.replace(epochs="3").training.epochs == 3
    assert e.training.epochs == 10
    with pytest.raises(SettingError, match="spread is 0.1, but neurons share their values"):
        e.replace(spread=0.1)


@given(st.integers(1, 99), st.floats(1e-6, 1.0), st.sampled_from(["lif", "RS", "normalized"]))
@settings(max_examples=25, deadline=None)
def test_numbers_survive_text_and_json(epochs, rate, neuron):
    e = experiment({"epochs": str(epochs), "learning_rate": repr(rate), "neuron": neuron})
    assert e.training.learning_rate == rate
    assert experiment(e.flat(plain=True)) == e


def test_lists_of_names_are_made_from_the_fields():
    assert set(marked(Mark.CODES)) == {
        "dataset", "fold", "best_inputs", "encoding", "population", "steps", "window", "pool",
        "counts", "normalize_time", "seed", "levels", "lengths", "delta", "crossings", "permutation", "over_time",
    }  # fmt: skip
    assert set(marked(Mark.MAY_CHANGE)) == {"epochs", "kernel", "patience", "tensorboard"}
    assert set(marked(Mark.SHAPES)) == {
        "neuron", "order", "connection", "readout", "hidden", "layers", "learn", "per_neuron", "per_channel", "mixture",
        "population", "steps", "encoding", "window", "pool", "counts", "normalize_time", "delays",
        "delay_type", "weight_bits", "weight_scale", "state_bits", "dataset", "fold", "best_inputs", "levels",
        "modules", "lengths", "delta", "crossings", "permutation", "over_time",
        "frequency", "decay", "time_constants", "readout_tau", "learn_readout",
    }  # fmt: skip
    assert set(marked(Mark.OF_FILES)) == {"modules"}
    assert set(marked(Mark.ON_DEVICE)) == {
        "optimizer", "members", "step_size", "epochs", "batch_size", "seed",
    }  # fmt: skip


def test_settings_of_a_run_before_groups_are_read():
    earlier = {
        "dataset": "iris", "validation": 0.1, "encoding": "rate", "steps": 25, "hidden": [512],
        "neuron": "normalized", "order": "fpga-ip", "gain": 1.0, "readout": "spikes", "seed": 3,
    }  # fmt: skip
    e = experiment(earlier)
    assert (e.training.seed, e.neurons.gain, e.network.hidden) == (3, 1.0, (512,))


def test_old_names_of_settings_work_and_warn_where_people_write_them(tmp_path, capsys):
    path, new = tmp_path / "old.toml", {"dataset": "iris", "exclude_classes": "setosa", "optimizer": "snes"}
    path.write_text("dataset = 'iris'\nsearched = 'weights'\noptimizer = 'snes'\n[data]\nwithout = ['setosa']\n")
    assert experiment(read(path)) == experiment({**new, "evolve": "weights"})
    with pytest.warns(RenamedWarning, match="the setting 'without' is now 'exclude_classes'"):
        read(path, warn=True)
    with pytest.raises(SettingError, match="'without' is given beside 'exclude_classes'"):
        parsed(b"without = ['a']\nexclude_classes = ['b']", path)
    with pytest.warns(RenamedWarning, match="--without is now --exclude-classes"):
        arguments = parser().parse_args(["train", "--without", "2,3", "--dataset=iris"])
    assert arguments.exclude_classes == "2,3"
    with pytest.warns(RenamedWarning, match="--searched is now --evolve"):
        assert parser().parse_args(["train", "--searched=neurons"]).evolve == "neurons"
