"""A neuron in a file outside the package, from the command line."""

import sys

import pytest

from izhi import cli, trust
from izhi.spec import neuron

MODULE = """
import izhi

@izhi.neuron(states="v, trace", parameters=dict(beta=0.9, threshold=1.0, keep=0.8), bounds=dict(beta=(0, 1)))
def adaptive(v, trace, I, p):
    v = p.beta * v + I
    s = izhi.spike(v - p.threshold - trace)
    return v - izhi.hold(s) * p.threshold, p.keep * trace + 0.1 * s, s
"""

STEEP = """
import izhi


@izhi.neuron(states="v", parameters=dict(beta=0.9, threshold=1.0))
def steep(v, I, p):
    v = p.beta * v + I - 0.01 * izhi.exp(-izhi.clip(v, -1, 1))
    s = izhi.spike(v - p.threshold)
    return v - izhi.hold(s) * p.threshold, s
"""


@pytest.fixture
def name(tmp_path, monkeypatch):
    """A neuron of a module in the current folder, which nobody has named yet."""
    (tmp_path / "own_neurons.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trust, "_trusted", set())
    reference = "own_neurons:adaptive"
    yield reference
    neuron._ENTRIES.pop(reference, None)
    sys.modules.pop("own_neurons", None)


@pytest.mark.slow
def test_train_resume_and_evaluate(name, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    train = ["train", "--dataset", "iris", "--neuron", name, "--learn", "beta", "--hidden", "8", "--steps", "8"]
    assert cli.main([*train, "--epochs", "2", "--out", str(run)]) == 0
    assert cli.main(["train", "--resume", "--epochs", "3", "--out", str(run)]) == 0
    assert "epoch 3" in capsys.readouterr().out
    assert cli.main(["evaluate", str(run)]) == 0
    # In another process, somebody else's run does not import a module.
    neuron._ENTRIES.pop(name)
    monkeypatch.setattr(trust, "_trusted", set())
    assert cli.main(["evaluate", str(run)]) == 2
    assert f"the neuron is {name}, whose module is imported only if you name it: with IZHI_TRUST={name} in" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
def test_from_training_to_gates(name, tmp_path, capsys, monkeypatch):
    run, rounded, design = (str(tmp_path / folder) for folder in ("run", "quantized", "design"))
    train = ["train", "--dataset", "iris", "--neuron", name, "--hidden", "8", "--steps", "8", "--epochs", "2"]
    train += ["--readout", "spikes"]
    assert cli.main([*train, "--out", run]) == 0
    assert cli.main(["quantize", run, "--weights", "4", "--states", "12", "--epochs", "1", "--out", rounded]) == 0
    assert cli.main(["export", rounded]) == 0
    network = f"{rounded}/network.izhi"
    # The file holds the step itself: nothing of the module is needed any more.
    neuron._ENTRIES.pop(name)
    sys.modules.pop("own_neurons")
    monkeypatch.setattr(trust, "_trusted", set())
    (tmp_path / "own_neurons.py").unlink()
    for device, samples in (("emulator", "20"), ("simulator", "3")):
        capsys.readouterr()
        assert cli.main(["run", network, "--device", device, "--samples", samples, "--compare"]) == 0
        printed = capsys.readouterr().out
        assert "layer 2: " in printed
        assert printed.count(" 0 different from the integer model") == 2
    assert cli.main(["trace", network, "--out", str(tmp_path / "trace.csv")]) == 0
    assert cli.main(["rtl", network, "--board", "ultra96v2", "--lanes", "4", "--samples", "2", "--out", design]) == 0
    assert (tmp_path / "design" / "core.json").exists()


@pytest.mark.parametrize("name", ["own_neurons:steep"])
def test_what_integers_do_not_have_is_refused_before_anything_is_trained(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "own_neurons.py").write_text(STEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trust, "_trusted", set())
    run = tmp_path / "run"
    options = ["--dataset", "iris", "--neuron", name, "--hidden", "8", "--steps", "8", "--epochs", "1"]
    assert cli.main(["train", *options, "--out", str(run)]) == 0
    capsys.readouterr()
    assert cli.main(["quantize", str(run), "--out", str(tmp_path / "quantized")]) == 2
    error = capsys.readouterr().err
    assert "own_neurons.py:7: exp is no operation of integers; write it with +, −, ·, select and clip" in error
    assert not (tmp_path / "quantized").exists()
    neuron._ENTRIES.pop(name)
    sys.modules.pop("own_neurons")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("own_neurons:absent", "neuron 'own_neurons:absent': own_neurons has no absent"),
        ("no_such_module:adaptive", "there is no module no_such_module; is it installed, or here?"),
        ("own_neurons:izhi", "unknown neuron 'own_neurons:izhi'"),
    ],
)
def test_names_that_are_no_neuron(name, reference, message, capsys, tmp_path):
    out = tmp_path / "run"
    assert cli.main(["train", "--dataset", "iris", "--neuron", reference, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_comparisons_and_simulations_name_it(name, tmp_path, capsys):
    out = tmp_path / "compared"
    options = ["--seeds", "0", "--hidden", "4", "--steps", "4", "--epochs", "1", "--out", str(out)]
    assert cli.main(["compare", "--dataset", "iris", "--neurons", f"lif,{name}:learn=beta", *options]) == 0
    assert f"{name} (learn=beta)" in capsys.readouterr().out
    assert cli.main(["simulate", name, "--current", "0.4", "--set", "beta=0.8"]) == 0
    assert "figure: own_neurons-adaptive.png" in capsys.readouterr().out


def test_options_of_another_neuron_are_refused(name, tmp_path, capsys):
    out = tmp_path / "run"
    assert cli.main(["train", "--dataset", "iris", "--neuron", name, "--beta", "0.5", "--out", str(out)]) == 2
    assert f"beta is 0.5, which {name} has no use for; give its parameters in its module" in capsys.readouterr().err
    assert not out.exists()
