"""What an earlier release saved loads and gives the same numbers: runs, settings, artifacts and files of NIR."""

import json
import shutil
from pathlib import Path

import pytest

from izhi import cli
from izhi.experiments.settings import experiment, read

RELEASE = Path(__file__).parent / "fixtures" / "release"
RUNS = sorted(path.parent.name for path in RELEASE.glob("*/config.toml"))
ARTIFACTS = sorted(path.stem for path in RELEASE.glob("*.izhi"))
GRAPHS = sorted(path.stem for path in RELEASE.glob("*.nir") if "golden" not in path.stem)

# Names of settings that a saved configuration may still use.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::izhi.errors.SlowKernelWarning")


def of_release(name):
    """What the release's izhi evaluate wrote."""
    return json.loads((RELEASE / f"{name}.json").read_text())


def evaluate(tmp_path, *words):
    """What izhi evaluate writes."""
    assert cli.main(["evaluate", *map(str, words), "--json", str(tmp_path / "result.json")]) == 0
    return json.loads((tmp_path / "result.json").read_text())


def test_there_are_some_of_each():
    assert len(RUNS) >= 12
    assert len(ARTIFACTS) >= 3
    assert len(GRAPHS) >= 2


@pytest.mark.parametrize("name", RUNS)
def test_runs_give_every_answer_and_spike_of_the_release(name, tmp_path):
    shutil.copytree(RELEASE / name, tmp_path / name)
    expected = of_release(name)
    result = evaluate(tmp_path, tmp_path / name, "--precision", expected["config"]["precision"])
    assert result["confusion"] == expected["confusion"]
    assert result["rates"] == pytest.approx(expected["rates"], rel=1e-9)
    assert result["test_loss"] == pytest.approx(expected["test_loss"], rel=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_settings_mean_what_they_meant(name):
    """Every setting of the release has its value still, under this name or its new one."""
    settings = experiment(read(RELEASE / name / "config.toml")).flat(plain=True)
    renamed = {"without": "exclude_classes", "searched": "evolve"}
    is_lif = of_release(name)["config"]["neuron"] == "lif"
    for key, value in of_release(name)["config"].items():
        key = key if key in settings else renamed[key]
        if key == "reset" and not is_lif:  # which was LIF's alone; the neurons were reset to c
            assert (value, settings[key]) == ("subtract", "value")
        elif key != "precision":
            assert settings[key] == value, key


@pytest.mark.parametrize("name", ARTIFACTS)
def test_artifacts_give_every_answer_and_spike_of_the_release(name, tmp_path):
    result, expected = evaluate(tmp_path, RELEASE / f"{name}.izhi"), of_release(f"{name}-artifact")
    for name_of_here in ("seconds", "versions"):
        del result[name_of_here], expected[name_of_here]
    assert result == expected


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_give_their_golden_spikes(name, tmp_path, capsys):
    pytest.importorskip("nir")
    assert cli.main(["nir", "check", str(RELEASE / f"{name}.nir"), "--json", str(tmp_path / "nodes.json")]) == 0
    nodes = json.loads((tmp_path / "nodes.json").read_text())
    assert nodes
    assert all(node["different"] == 0 for node in nodes)


@pytest.mark.parametrize("options", [["--jobs", "0"], ["--ray", "127.0.0.1:1"]])
def test_a_sweep_that_cannot_run_leaves_no_folder(options, tmp_path, capsys):
    words = ["quantize", str(RELEASE / "axonal"), "--sweep", *options, "--out", str(tmp_path / "sweep")]
    assert cli.main(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "sweep").exists()
