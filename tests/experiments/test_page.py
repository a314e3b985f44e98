"""Folders of finished commands as one page of HTML: all that they say, nothing that runs or asks the network."""

import copy
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from izhi import cli
from izhi.errors import FileError, RunFolderError
from izhi.experiments import page, plots, results
from izhi.experiments.settings import experiment
from tiers import slow_but

pytestmark = pytest.mark.usefixtures("drawn_figures")
pytest.importorskip("bokeh", reason="bokeh is not installed; pip install '.[report]'")

ROWS = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,test_loss,test_accuracy\n"
#: What ends a script, an attribute or a text of HTML, if it is taken for markup.
EVIL = "</script><script>a(1)</script>'&amp;"


@dataclass
class Kind:
    """A kind of folder: its file of results, and what is to be found in its page.

    Attributes:
        says: texts of its tables.
        chosen: a setting that is not the usual one, and its value.
        figures: that can be drawn again, and whether their two lines take other labels.
    """

    file: str
    values: dict[str, Any]
    says: tuple[str, ...]
    chosen: tuple[str, str]
    figures: tuple[str, ...]
    has_labels: bool = True


CONFIG = {"dataset": "digits", "steps": 25, "fold": None, "neuron": "lif", "hidden": [32], "seed": 0, "batch_size": 256}


def of_comparison():
    history = [[{"test_accuracy": 0.5}, {"test_accuracy": 0.9}], [{"test_accuracy": 0.6}, {"test_accuracy": 0.8}]]
    rows = [
        {"label": label, "config": CONFIG, "seeds": [0, 1], "test_accuracy": [0.9, 0.8], "groups": {},
         "history": history}
        for label in ("LIF", "normalised <b>")
    ]  # fmt: skip
    difference = {"label": "normalised <b>", "mean": 0.01, "low": -0.1, "high": 0.12, "p": 0.4321,
                  "verdict": "within noise", "seeds_for_it": 1234, "seeds_for_half_a_point": None}  # fmt: skip
    estimate = {"technology": "45 nm", "network": 2345.67, "dense_twin": 99.5}
    energy = {"LIF": {"spikes": 321.0, "estimated_nanojoules": [estimate]}}
    return {"rows": rows, "reference": "LIF", "differences": [difference], "energy": energy}


def of_tuning():
    rows = []
    for label, connection in (("LIF", "linear"), ("slow", "recurrent")):
        trials = [
            {"number": number, "accuracy": accuracy, "is_whole": is_whole,
             "settings": {"learning_rate": number * rate, "connection": connection}}
            for number, accuracy, is_whole, rate in (
                (1, 0.5, True, 1e-3), (2, 0.25, False, 1e-3), (3, 0.75, True, 2e-3 / 3), (4, None, False, 1e-3)
            )
        ]  # fmt: skip
        found = trials[2]["settings"]
        rows.append({"label": label, "config": {**CONFIG, "learning_rate": 0.5}, "found": found, "accuracy": 0.75,
                     "trials": trials[: 4 if label == "LIF" else 1]})  # fmt: skip
    return {"variants": rows}


def of_sweep():
    points = [
        {"method": method, "weight_bits": bits, "state_bits": 16, "bits": kb * 8000, "accuracies": accuracies}
        for method, bits, kb, accuracies in (
            ("ptq", 8, 2, [0.7, 0.9]), ("ptq", 4, 1, [0.6, 0.6]), ("qat", 8, 2, [0.85, 0.85])
        )
    ]  # fmt: skip
    return {"float_accuracies": [0.9, 0.9], "float_bits": 64000, "seeds": [3, 4], "config": CONFIG, "points": points}


def of_evolution():
    rows = [
        {"generation": k, "loss": 2 / k, "accuracy": 0.25 * k, "best_loss": 1 / k, "evaluations": 64.0 * k,
         "seconds": 0.1}
        for k in (1, 2, 3)
    ]  # fmt: skip
    chosen = {
        "artifact": "net.izhi",
        "optimizer": "snes",
        "layers": None,
        "device": "emulator",
        "members": 16,
        "seed": 0,
    }
    return {"settings": chosen, "test_accuracy": 0.625, "history": rows}


def of_adaptation():
    history = [
        {"samples": 0, "old": 0.9, "new": 0.4, "frozen_old": 0.9, "frozen_new": 0.4},
        {"samples": 50.0, "adapting": 0.5, "not_adapting": 0.4, "seconds": 0.1},
        {"samples": 100.0, "adapting": 0.7, "not_adapting": 0.3, "old": 0.875, "new": 0.75, "seconds": 0.1},
    ]
    return {"dataset": "digits", "device": "emulator", "old": 0.9, "new": 0.4, "adapted_old": 0.875,
            "adapted_new": 0.75, "regained": 0.7, "kept": 0.9722, "history": history,
            "settings": {"drift": "rotate=45", "method": "backprop", "batch": 50, "seed": 0}}  # fmt: skip


KINDS = {
    "compare": Kind(
        "comparison.json", of_comparison(),
        ("digits, T = 25, 2 seeds", "LIF", "normalised <b>", "85.00 ± 7.07", "80.00 … 90.00",
         "against LIF, paired over seeds", "+1.00", "-10.00 … +12.00", "0.432", "within noise", "1,234",
         "45 nm", "2,345.7", "99.5"),
        ("hidden", "32"), ("accuracy", "outcomes"),
    ),
    "tune": Kind(
        "trials.json", of_tuning(),
        ("digits: best of 4 trials, validation accuracy", "75.00", "learning_rate = 0.002, connection = linear",
         "every trial", "stopped"),
        ("neuron", "lif"), ("trials",),
    ),
    "quantize": Kind(
        "sweep.json", of_sweep(),
        ("digits, lif, quantised", "90.00 ± 0.00", "80.00 ± 14.14", "-10.00", "3, 4"),
        ("hidden", "32"), ("pareto",),
    ),
    "evolve": Kind(
        "evolution.json", of_evolution(),
        ("net.izhi: snes on the device emulator", "62.50 %", "192", "0.6667"),
        ("members", "16"), ("evolution",), False,
    ),
    "adapt": Kind(
        "adaptation.json", of_adaptation(),
        ("digits, rotate=45: backprop on the device emulator", "70.0 %", "97.2 %", "+35.00"),
        ("batch", "50"), ("adaptation",), False,
    ),
}  # fmt: skip
#: Of which one is quick.
SOME = slow_but(["tune"], KINDS)
JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=5),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=5), inner),
    max_leaves=5,
)


def write(folder, kind, values=None, more=""):
    values = KINDS[kind].values if values is None else values
    about = {"command": f"izhi {kind} --quiet{more}", "versions": {"torch": f"2.9{more}"}}
    (folder / KINDS[kind].file).write_text(json.dumps({**about, **values}))


def places(value, way=()):
    """The ways to all that stands within a value of JSON, and is not the whole."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield (*way, name)
        yield from places(part, (*way, name))


def put(values, place, value):
    """A copy in which another value stands at a place."""
    found = copy.deepcopy(values)
    *way, last = place
    inner = found
    for name in way:
        inner = inner[name]
    inner[last] = value
    return found


def changed(value, change):
    """A copy in which each value that is no list or table is changed."""
    if isinstance(value, dict):
        return {name: changed(part, change) for name, part in value.items()}
    if isinstance(value, list):
        return [changed(part, change) for part in value]
    return change(value)


def refused(folder, capsys, message):
    """A page of a folder is refused in one line, and nothing is written."""
    before = sorted(folder.iterdir())
    assert cli.main(["report", str(folder)]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert sorted(folder.iterdir()) == before


@pytest.fixture
def run(tmp_path):
    e = experiment({"dataset": "digits", "neuron": "lif", "learning_rate": 0.02})
    header = "izhi 0.1.0\nizhi train --dataset digits --neuron lif\npython 3.11\ntorch 2.9"
    (tmp_path / "config.toml").write_text(e.to_toml(header))
    (tmp_path / "metrics.csv").write_text(ROWS + "1,1.5,0.5,1.4,0.55,1.3,0.6\n2,0.5,0.9,0.6,0.85,0.7,0.8125\n")
    return tmp_path


class Outline(HTMLParser):
    """Tags, their attributes, and the text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.chosen = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data


def test_a_run_says_what_it_was_and_found(run):
    found = Outline(page.of(run))
    assert found.open == []
    for text in ("lif, linear, digits", "izhi train --dataset digits --neuron lif", "81.25 %", "torch 2.9", "0.02"):
        assert text in found.text
    script = max(
        (x for x in re.findall(r"<script[^>]*>(.*?)</script>", page.of(run), re.S)), key=lambda x: "81.25" in x
    )
    assert "81.25" in script


@pytest.mark.slow
def test_the_page_asks_no_network_for_anything(run):
    for tag, attributes in Outline(page.of(run)).tags:
        for name in ("src", "href", "action", "data"):
            assert not attributes.get(name, "data:").startswith(("http", "//")), (tag, attributes)


def test_settings_that_are_not_the_usual_ones_are_told_apart(run):
    text = page.of(run)
    chosen = re.findall(r'<tr class="chosen"><td>(\w+)</td><td>([^<]*)</td>', text)
    assert ("learning_rate", "0.02") in chosen
    assert "batch_size" not in dict(chosen)


@pytest.mark.slow
def test_what_a_folder_holds_is_text_and_no_markup(run):
    config = run / "config.toml"
    config.write_text(config.read_text().replace("izhi train", "izhi train <script>alert(1)</script> &amp;"))
    text = page.of(run)
    assert "<script>alert" not in text
    assert "izhi train <script>alert(1)</script> &amp;" in Outline(text).text


def test_figures_are_within_the_page(run):
    (run / "confusion.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 10)
    images = [attributes for tag, attributes in Outline(page.of(run)).tags if tag == "img"]
    assert [x["alt"] for x in images] == ["confusion matrix"]
    assert images[0]["src"].startswith("data:image/png;base64,iVBORw0KGgo")
    (run / "confusion.png").write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(RunFolderError, match=r"confusion.png is no figure"):
        page.of(run)
    (run / "confusion.png").unlink()
    (run / "confusion.png").symlink_to("/etc/passwd")
    with pytest.raises(FileError, match="is a link"):
        page.of(run)


def test_a_run_that_was_not_trained_there_has_no_curves(run):
    (run / "metrics.csv").write_text("epoch,test_loss,test_accuracy\n0,0.5,0.75\n")
    text = page.of(run)
    assert "75.00 %" in text
    assert "Bokeh" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_folder_says_what_was_found(kind, tmp_path):
    write(tmp_path, kind)
    found = Outline(page.of(tmp_path))
    assert found.open == []
    for text in (*KINDS[kind].says, f"izhi {kind} --quiet", "torch 2.9"):
        assert text in found.text


@pytest.mark.parametrize("kind", SOME)
def test_names_are_text_and_no_markup(kind, tmp_path):
    """Wherever a file of results has text, also markup is text there."""
    write(tmp_path, kind)
    scripts = sum(tag == "script" for tag, _ in Outline(page.of(tmp_path)).tags)
    write(tmp_path, kind, changed(KINDS[kind].values, lambda x: x + EVIL if isinstance(x, str) else x), EVIL)
    text = page.of(tmp_path)
    found = Outline(text)
    assert found.open == []
    assert "<script>a(" not in text
    assert sum(tag == "script" for tag, _ in found.tags) == scripts
    assert f"izhi {kind} --quiet{EVIL}" in found.text
    assert f"torch 2.9{EVIL}" in found.text
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)


def test_evolution_of_a_network_counts_generations(run):
    (run / "metrics.csv").write_text(
        "epoch,train_loss,train_accuracy,best_loss,evaluations,test_loss,test_accuracy\n"
        "1,1.5,0.5,1.4,64,1.3,0.6\n2,0.5,0.9,0.4,128,0.7,0.8125\n"
    )
    found = results.of(run)
    assert "after the last generation" in Outline(page.of(run)).text
    accuracy, loss = found.charts()
    assert (accuracy.x, [x.label for x in loss.series]) == ("generation", ["train", "test", "best of the population"])
    assert loss.series[2].y == [1.4, 0.4]
    assert loss.series[2].notes == ["64 evaluations", "128 evaluations"]


def test_trials_are_drawn_with_the_best_so_far(tmp_path):
    write(tmp_path, "tune")
    (chart,) = results.of(tmp_path).charts()
    steps, whole, stopped, *_ = chart.series
    assert (steps.x, steps.y) == ([1, 3], [50, 75])
    assert (whole.x, whole.y) == ([1, 3], [50, 75])
    assert (stopped.x, stopped.y, stopped.style) == ([2], [25], "crosses")
    assert whole.notes[1] == "learning_rate = 0.002, connection = linear"


def test_a_sweep_is_drawn_against_memory(tmp_path):
    write(tmp_path, "quantize")
    (chart,) = results.of(tmp_path).charts()
    assert chart.is_logarithmic
    ptq, qat, best, whole = chart.series
    assert (ptq.x, ptq.y, qat.x, qat.y) == ((2, 1), [80, 60], (2,), [85])
    assert ptq.notes[0] == "weights/states: 8/16 bits, 80.00 ± 14.14 %"
    assert (best.x, best.texts) == ((1, 2), ("4/16", "8/16"))
    assert whole.y == [90, 90]


def test_an_adaptation_is_drawn_beside_the_frozen_network(tmp_path):
    write(tmp_path, "adapt")
    stream, tests = results.of(tmp_path).charts()
    assert [(x.label, x.x, x.y) for x in stream.series if x.style == "points"] == [
        ("adapted, each batch", [50, 100], [50, 70]), ("frozen, each batch", [50, 100], [40, 30]),
    ]  # fmt: skip
    assert [(x.label, x.x, x.y) for x in tests.series] == [
        ("what is new", [0, 100], [40, 75]), ("the old task", [0, 100], [90, 87.5]),
        ("what is new, frozen", [0, 100], [40, 40]), ("the old task, frozen", [0, 100], [90, 90]),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", SOME)
def test_settings_of_each_kind_that_are_not_the_usual_ones(kind, tmp_path):
    write(tmp_path, kind)
    text = page.of(tmp_path)
    chosen = dict(re.findall(r'<tr class="chosen"><td>(\w+)</td><td>([^<]*)</td>', text))
    name, value = KINDS[kind].chosen
    assert chosen[name] == value
    assert "<td>seed</td>" in text
    assert "seed" not in chosen


DAMAGED = (
    ("compare", ("rows",), [], "comparison.json is damaged: rows: "),
    ("tune", ("variants", 0, "accuracy"), 1.5, "trials.json is damaged: variants.0.accuracy: "),
    ("tune", ("variants", 0, "label"), "x" * 1000, "expected at most 200 characters"),
    ("tune", ("variants", 0, "trials"), [], "trials.json is damaged: variants.0.trials: "),
    ("tune", ("variants", 0, "trials", 0, "settings", "slope"), [1], "trials.json is damaged: variants.0.trials.0"),
    ("tune", ("variants", 1, "trials", 0, "is_whole"), False, "expected a complete trial"),
    ("quantize", ("points", 0, "bits"), 0, "sweep.json is damaged: points.0.bits: "),
    ("quantize", ("points", 0, "bits"), 10**400, "sweep.json is damaged: points.0.bits: "),
    ("quantize", ("points", 0, "accuracies"), [0.5], "expected 2 accuracies of every point"),
    ("quantize", ("float_accuracies",), ["a"], "sweep.json is damaged: float_accuracies.0: "),
    ("evolve", ("history",), [], "evolution.json is damaged: history: "),
    ("evolve", ("history", 0, "loss"), float("nan"), "evolution.json is damaged: history.0.loss: "),
    ("evolve", ("settings", "artifact"), "x" * 1000, "expected at most 200 characters"),
    ("adapt", ("history", 0, "frozen_new"), None, "expected accuracies of the network as deployed"),
    ("adapt", ("history", 1, "adapting"), None, "expected accuracies of both networks on every batch"),
    ("adapt", ("history", 2, "old"), None, "expected accuracies of both tasks, or of neither"),
    ("adapt", ("regained",), float("inf"), "adaptation.json is damaged: regained: "),
    ("adapt", ("versions",), {"torch": 2}, "adaptation.json is damaged: versions.torch: "),
)


@pytest.mark.parametrize(("kind", "place", "value", "message"), DAMAGED)
def test_of_what_is_damaged_there_is_no_page(kind, place, value, message, tmp_path, capsys):
    write(tmp_path, kind, put(KINDS[kind].values, place, value))
    refused(tmp_path, capsys, message)


@pytest.mark.parametrize("kind", SOME)
def test_of_what_is_no_file_of_results_there_is_no_page(kind, tmp_path, capsys):
    path = tmp_path / KINDS[kind].file
    for data in (b"", b"{", b"[]", b"[" * 100_000, b"\xff\xfe", b'{"command": "\\ud800"}'):
        path.write_bytes(data)
        refused(tmp_path, capsys, f"{path.name} is damaged")
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(tmp_path, capsys, "is a link")
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)
    refused(tmp_path, capsys, f"{path.name} is larger than 67,108,864 bytes")


@pytest.mark.parametrize("kind", SOME)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
def test_what_is_damaged_anywhere_is_read_or_refused(kind, data, tmp_path):
    values = KINDS[kind].values
    place = data.draw(strategies.sampled_from(list(places(values))))
    write(tmp_path, kind, put(values, place, data.draw(JSON)))
    try:
        found = results.of(tmp_path)
    except RunFolderError:
        return
    found.tables(), found.charts(), found.chosen(), found.drawings()
    page._page(found, [])


@pytest.mark.slow
def test_nothing_is_loaded_that_computes_networks(tmp_path):
    write(tmp_path, "adapt")
    code = (
        "import sys\nfrom izhi import cli\nassert cli.main(['report', sys.argv[1]]) == 0\n"
        "assert not {'torch', 'optuna', 'evotorch'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", SOME)
def test_figures_of_each_kind_are_drawn_again(kind, tmp_path, capsys):
    write(tmp_path, kind)
    for name in KINDS[kind].figures:
        out = tmp_path / f"{name}.svg"
        assert cli.main(["redraw", str(tmp_path), "--figure", name, "--out", str(out), "--title", "Another"]) == 0
        assert "<!-- Another -->" in out.read_text()
        labels = ["--labels", ";".join(f"name {k}" for k in range(2))]
        status = cli.main(["redraw", str(tmp_path), "--figure", name, "--out", str(out), *labels])
        if KINDS[kind].has_labels:
            assert status == 0
            assert "<!-- name 1" in out.read_text()
        else:
            assert status == 2
            assert "leave them out" in capsys.readouterr().err
    assert cli.main(["redraw", str(tmp_path), "--out", str(tmp_path / "first.png")]) == 0
    other = "pareto" if "pareto" not in KINDS[kind].figures else "trials"
    assert cli.main(["redraw", str(tmp_path), "--figure", other, "--out", str(tmp_path / "x.png")]) == 2
    assert f"holds {KINDS[kind].file}; choose {KINDS[kind].figures[0]}" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_the_command(run, tmp_path, capsys):
    assert cli.main(["report", str(run)]) == 0
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert "report.html, 1." in capsys.readouterr().out
    assert cli.main(["report", str(run), "--out", str(tmp_path / "x.pdf")]) == 2
    assert "expected a file that ends in .html" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main(["report", str(tmp_path / "empty")]) == 2
    assert "holds none of comparison.json, trials.json, sweep.json" in capsys.readouterr().err
    assert not list((tmp_path / "empty").iterdir())


def test_names_of_figures_are_no_formulas(tmp_path):
    """Matplotlib refuses what is no formula between two dollars."""
    names = (r"$\frac{", "$a$", "5$")
    plots.save(plots.confusion(np.eye(3, dtype=int), names, r"$\bad{$"), tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").exists()


def test_defaults_that_follow_from_other_settings_are_usual():
    e = experiment({"dataset": "iris", "neuron": "RS", "steps": 10})
    marked = {
        name for one in results.result.in_groups(e.flat(plain=True)) for name, value in one.values.items()
        if value != one.usual[name]
    }  # fmt: skip
    assert marked == {"dataset", "neuron", "steps"}
    other = e.replace(gain=7.0)
    assert results.result.in_groups(other.flat(plain=True))[3].usual["gain"] == 200.0
