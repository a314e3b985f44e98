"""Data sets from functions of one's own: what they may give, and that no saved run calls one by itself."""

import pytest

from izhi import cli, trust
from izhi.data import functions, load
from izhi.errors import SettingError

MODULE = """
import numpy as np
import torch

calls = 0

def arrays():
    global calls
    calls += 1
    random = np.random.default_rng(0)
    y = np.arange(90) % 3
    return random.normal(size=(90, 6)) + 3 * np.eye(3, 6)[y], y

def pairs():
    return torch.utils.data.TensorDataset(*map(torch.as_tensor, arrays()))

def events():
    kind = np.dtype([("t", np.int64), ("x", np.int64), ("p", np.int64)])
    found = []
    for k in range(20):
        one = np.zeros(30, kind)
        one["t"], one["x"] = np.arange(30) * 1000, (np.arange(30) + 5 * (k % 2)) % 10
        found.append((one, k % 2))
    return found

def broken():
    raise ValueError("no such luck")

def nothing():
    return 7
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of one's own in the folder in which one is."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trust, "_trusted", set())
    return name


def refused(words, capsys):
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("function", ["arrays", "pairs", "events"])
def test_a_function_is_a_data_set(module, function, monkeypatch):
    monkeypatch.setenv(trust.TRUST, f"other:one,{module}:{function}")
    found = load(f"{module}:{function}")
    assert len(found.classes) == (2 if function == "events" else 3)


def test_training_and_whoever_gets_the_run(module, tmp_path, capsys, monkeypatch):
    name = f"{module}:arrays"
    options = ["--hidden", "8", "--epochs", "1", "--steps", "4", "--quiet", "--out", "run"]
    assert cli.main(["train", "--dataset", name, *options]) == 0
    monkeypatch.setattr(trust, "_trusted", set())  # as in another process
    functions._called.cache_clear()
    calls = __import__(module).calls
    error = refused(["evaluate", "run"], capsys)
    assert f"the data comes from the function {name}, which is called only if you name it" in error
    (tmp_path / "settings.toml").write_text(f'dataset = "{name}"\n')
    assert "called only if you name it" in refused(["train", "--config", "settings.toml"], capsys)
    assert __import__(module).calls == calls
    monkeypatch.setenv(trust.TRUST, name)
    assert cli.main(["evaluate", "run"]) == 0


@pytest.mark.parametrize(("text", "message"), [("def (", "SyntaxError"), ("import os\nos.absent", "AttributeError")])
def test_a_module_that_cannot_be_imported(module, text, message, tmp_path, capsys):
    (tmp_path / f"{module}.py").write_text(text)
    error = refused(["train", "--dataset", f"{module}:arrays", "--out", "run"], capsys)
    assert f"importing {module} raised {message}" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("{}:absent", "has no absent"),
        ("no_such_module:load", "there is no module no_such_module; is it installed, or here?"),
        ("{}:broken", "broken() raised ValueError: no such luck"),
        ("{}:nothing", "the samples are 7, expected arrays, or a torch Dataset"),
    ],
)
def test_functions_that_give_no_data(module, function, message, capsys):
    error = refused(["train", "--dataset", function.format(module), "--out", "run"], capsys)
    assert message in error


def test_without_trust_nothing_is_imported(module):
    with pytest.raises(SettingError, match="only if you name it"):
        load("this_is_not_there:at_all")
