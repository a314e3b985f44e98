"""The benchmark at a tiny size: that it runs, what it writes, and what it says of bad input."""

import importlib.util
import json
import math
import re
from dataclasses import asdict

import pytest
import torch

from izhi import cli
from izhi.errors import RunFolderError
from izhi.experiments import benchmark
from izhi.experiments.benchmark.ours import OURS
from izhi.experiments.benchmark.peers import PEERS
from izhi.experiments.benchmark.runner import growth_figure, ratio_figure, read_results
from izhi.experiments.benchmark.work import Work


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_table_figures_and_numbers(tmp_path, capsys):
    names = "Izhi normalized;snnTorch LIF;Norse LIF"
    options = ["--steps", "3,5", "--batch", "4", "--hidden", "6", "--rounds", "2", "--repeats", "2"]
    out = tmp_path / "bench"
    assert cli.main(
        ["bench", "--contenders", names, *options, "--threads", "1", "--no-growth", "--out", str(out)]
    ) == 0  # fmt: skip
    shown = capsys.readouterr().out
    assert "| Izhi normalized |" in shown
    assert "| snnTorch LIF |" in shown
    if importlib.util.find_spec("norse") is None:
        assert "Norse LIF | not measured: ModuleNotFoundError" in shown
    content = json.loads((out / "bench.json").read_text())
    assert content["machine"]["threads"] == 1
    rows = [r for r in content["comparison"] if r["name"] == "Izhi normalized"]
    assert [r["work"]["steps"] for r in rows] == [3, 5]
    assert all(len(r["train"]) == 2 and min(r["train"]) > 0 for r in rows)
    assert {p.name for p in out.iterdir()} == {"bench.json", "bench.md", "speed.png"}


@pytest.mark.slow
def test_convolutional_networks(tmp_path, capsys):
    names = "Izhi normalized;layers without neurons, fp32;snnTorch LIF"
    options = ["--steps", "2", "--batch", "2", "--rounds", "1", "--repeats", "1", "--threads", "1"]
    network = ["--network", "convolutional"]
    assert cli.main(
        ["bench", *network, "--contenders", names, *options, "--out", str(tmp_path / "bench")]
    ) == 0  # fmt: skip
    shown = capsys.readouterr().out
    assert "### 12C5-MP2-64C5-MP2-10, T = 2, batch 2" in shown
    assert all(f"| {name} | " in shown for name in names.split(";"))
    assert not any("not measured" in line for line in shown.splitlines())
    assert cli.main(["bench", *network, "--contenders", "spyx LIF"]) == 2
    assert "unknown contender 'spyx LIF'" in capsys.readouterr().err


def test_every_contender_has_the_works_network():
    work = Work(steps=2, batch=2, network="convolutional")
    values, labels = work.samples()
    steps = PEERS["snnTorch LIF"](work)
    steps.train(values, labels)
    steps.infer(values)
    assert [type(module).__name__ for module in work.row() if module is not None].count("Conv2d") == 2


def test_samples_are_like_digits_and_always_the_same():
    values, labels = Work(steps=2, batch=64, network="linear").samples()
    assert (values > 0).float().mean() == pytest.approx(0.2, abs=0.01)
    assert values.mean() == pytest.approx(0.1, abs=0.01)
    assert set(labels.tolist()) == set(range(10))
    assert torch.equal(values, Work(steps=2, batch=64, network="linear").samples()[0])


def test_neurons_of_snntorch_that_take_all_steps_at_once():
    snntorch = pytest.importorskip("snntorch", minversion="1.0")
    work = Work(steps=6, batch=4, inputs=5, hidden=7, classes=3)
    values, labels = work.samples()
    steps = PEERS["snnTorch LIF without reset"](work)
    steps.train(values, labels)
    steps.infer(values)
    membrane, kept = torch.tensor([[[1.0]], [[0.0]]]), math.exp(-1 / 20)
    neuron = snntorch.StateLeaky(0.95, 1)
    spikes, states = neuron(membrane * 1.5)
    assert states.flatten().tolist() == pytest.approx([1.5, 1.5 * kept])
    assert spikes.flatten().tolist() == [1, 1], "no reset: it goes on firing"


@pytest.mark.parametrize("name", PEERS)
def test_a_contender_that_is_not_installed_costs_only_itself(name):
    library = {"snnTorch": "snntorch", "SpikingJelly": "spikingjelly"}.get(name.split()[0], name.split()[0].lower())
    work = Work(steps=2, batch=2, inputs=4, hidden=3, classes=2)
    if importlib.util.find_spec(library) is None:
        with pytest.raises(ImportError):
            PEERS[name](work)
    else:
        steps, (values, labels) = PEERS[name](work), work.samples()
        steps.train(values, labels)
        steps.infer(values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--contenders", "snntorch"], "unknown contender 'snntorch'"),
        (["--rounds", "0"], "rounds is 0, expected at least 1"),
        (["--threads", "-1"], "threads is -1, expected at least 1"),
        (["--steps", "ten"], "steps is 'ten', expected whole numbers such as 25,100"),
        (["--batch", "0"], "batch is 0, expected at least 1"),
    ],
)
def test_bad_input(options, message, tmp_path, capsys):
    out = tmp_path / "bench"
    assert cli.main(["bench", *options, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_results_are_read_as_they_were_written(tmp_path):
    row = benchmark.ContenderMeasurement("a", Work(steps=3), train=[1.0, 2.0], infer=[0.5], peak_bytes=[7])
    content = {"machine": {"threads": 1}, "rounds": 2, "repeats": 1, "comparison": [asdict(row)]}
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(content))
    assert read_results(path) == ([row], content)
    for damaged in ("{", "[]", "{}", '{"comparison": [{"name": "a", "work": {"depth": 3}}]}',
                    '{"comparison": [], "rounds": 1, "repeats": 1}'):  # fmt: skip
        path.write_text(damaged)
        with pytest.raises(RunFolderError, match=r"bench\.json (is no result|has no machine)"):
            read_results(path)


def test_ratios_are_medians_of_rounds():
    one = benchmark.ContenderMeasurement("a", Work(), train=[1.0, 2.0, 9.0])
    two = benchmark.ContenderMeasurement("b", Work(), train=[2.0, 6.0, 9.0])
    assert two.ratio(one, "train") == 2.0
    assert two.milliseconds("train") == 6000.0


def test_it_explains_which_way_each_layer_goes(tmp_path, capsys):
    names = "Izhi LIF; Izhi normalized, recurrent; snnTorch LIF"
    options = ["--batch", "100", "--hidden", "64", "--steps", "4,8", "--json", str(tmp_path / "paths.json")]
    assert cli.main(["bench", "--explain", "--contenders", names, *options]) == 0
    out = capsys.readouterr().out
    assert "Izhi LIF: 784-64-10, T = 4, batch 100" in out
    assert re.search(r"product 784 → 64 +(sums over spikes|dense product|matrix unit)", out)
    assert "snnTorch" not in out
    found = json.loads((tmp_path / "paths.json").read_text())["paths"]
    assert [(x["name"], x["work"]["steps"]) for x in found] == [
        ("Izhi LIF", 4), ("Izhi normalized, recurrent", 4), ("Izhi LIF", 8), ("Izhi normalized, recurrent", 8),
    ]  # fmt: skip
    neurons = found[0]["paths"][1]
    assert neurons["what"] == "neurons 64"
    assert neurons["way"].startswith("one kernel")
    assert cli.main(["bench", "--explain", "--contenders", "snnTorch LIF"]) == 2
    assert "no contender is Izhi's" in capsys.readouterr().err
    assert cli.main(["bench", "--explain", "--batch", "0"]) == 2
    assert "batch is 0, expected at least 1" in capsys.readouterr().err


def test_growth_is_over_one_number_at_a_time_and_ratios_are_to_bare_layers_of_the_same_format():
    """Izhi takes half of the bare layers' time at T = 50 and twice at two layers; both are read off the lines."""

    def measured(name, seconds, **work):
        return benchmark.ContenderMeasurement(name, Work(**work), train=[seconds])

    rows = [
        measured("Izhi normalized", 1.0), measured("linear layers, fp32", 1.0), measured("linear layers, bf16", 4.0),
        measured("Izhi normalized", 1.0, steps=50), measured("linear layers, fp32", 2.0, steps=50),
        measured("Izhi normalized", 6.0, layers=2), measured("linear layers, fp32", 3.0, layers=2),
        measured("Izhi normalized", 9.0, layers=2, steps=50),
        benchmark.ContenderMeasurement("spyx LIF", Work(), problem="no"),
    ]  # fmt: skip

    def lines(figure):
        return {
            axes.get_xlabel(): [list(map(tuple, line.get_xydata())) for line in axes.lines if line.get_marker() == "o"]
            for axes in figure.axes
        }

    assert lines(ratio_figure(rows, "32-true")) == {
        "time steps T": [[(25, 1.0), (50, 0.5)]],
        "hidden neurons": [[(512, 1.0)]],
        "batch size": [[(256, 1.0)]],
        "hidden layers": [[(1, 1.0), (2, 2.0)]],
    }
    assert lines(growth_figure(rows))["time steps T"] == [
        [(25, 1000.0), (50, 1000.0)], [(25, 1000.0), (50, 2000.0)], [(25, 4000.0)],
    ]  # fmt: skip


def test_a_network_of_several_hidden_layers():
    work = Work(steps=3, batch=4, inputs=784, hidden=8, layers=3)
    assert work.text == "784-8-8-8-10"
    assert [tuple(x.weight.shape) for x in work.row() if x is not None] == [(8, 784), (8, 8), (8, 8), (10, 8)]
    for name in ("Izhi normalized", "linear layers, fp32"):
        steps = OURS[name](work)
        steps.train(*work.samples())
