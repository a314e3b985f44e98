"""izhi study: its protocol, that test samples stay closed until training has ended, going on, and what it reports."""

import json
from collections import Counter
from pathlib import Path

import pytest

from izhi.cli import main
from izhi.data import Dataset, Samples, load
from izhi.errors import SettingError
from izhi.experiments import build
from izhi.experiments.study import protocol, report, rows, run
from izhi.experiments.study.run import Study
from izhi.training import Trainer

ROOT = Path(__file__).parents[3]
BENCHMARK = ROOT / "docs" / "results" / "temporal-benchmark"
TINY = """
trials = 2
seeds = [0, 1]
search = "learning_rate=2e-3..2e-2,lif.beta=0.8|0.9"
[settings]
hidden = [8]
epochs = 1
steps = 4
precision = "32-true"
seed = 100
[variants.LIF]
neuron = "lif"
[variants."normalised, learned"]
neuron = "normalized"
learn = ["a1"]
[variants.QIF]
neuron = "qif"
[tasks.flowers]
dataset = "iris"
held_out = [{split_seed = 0}, {split_seed = 1}]
[tasks.wines]
dataset = "wine"
trials = 1
[tasks.more-wines]
dataset = "wine"
trials = 1
seeds = []
[tasks.flowers-recurrent]
like = "flowers"
dataset = "iris"
connection = "recurrent"
[contrasts.main]
of = "normalised, learned"
against = "LIF"
[contrasts.other]
of = "QIF"
against = "normalised, learned"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def lines(folder, task):
    """Rows of a task without what may differ from time to time."""
    found = [json.loads(line) for line in (folder / f"{task}.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


@pytest.mark.slow
def test_a_study_keeps_a_row_of_every_trial_and_run_and_goes_on(file, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["study", str(file), "--out", str(out), "--json", str(tmp_path / "s.json")]
    assert main([*words, "--tasks", "flowers"]) == 0
    assert "flowers: LIF, trial 1: validation" in capsys.readouterr().err
    assert [x.name for x in sorted(out.glob("*.jsonl"))] == ["flowers.jsonl"]
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    counts = {task: Counter(row["kind"] for row in lines(out, task)) for task in ("flowers", "wines")}
    assert counts == {"flowers": {"trial": 6, "run": 6}, "wines": {"trial": 3, "run": 6}}
    assert Counter(row["kind"] for row in lines(out, "more-wines")) == {"trial": 3}
    flowers, recurrent = lines(out, "flowers"), lines(out, "flowers-recurrent")
    # The same places for variants of as many ranges; each run has what was best on validation samples, and so has the
    # task that is like it.
    tried = [row for row in flowers if row["kind"] == "trial"]
    assert [row["settings"] for row in tried[2:4]] == [row["settings"] for row in tried[4:]]
    assert {row["settings"].get("beta") for row in tried} == {0.8, 0.9, None}
    assert all(len(row["validation"]) == 2 for row in tried)
    for label in ("LIF", "QIF"):
        best = max((row for row in tried if row["variant"] == label), key=lambda row: sum(row["validation"]))
        for row in (*flowers, *recurrent):
            if row["kind"] == "run" and row["variant"] == label:
                assert row["settings"] == best["settings"]
    opened = [row for row in recurrent if row["kind"] == "run"]
    assert [row["seed"] for row in opened] == [0, 1] * 3
    assert all(len(row["training"]) == 1 for row in opened)
    assert all(row["parameters"] > 8 * 8 and row["spikes"] > 0 and row["acs"] + row["macs"] > 0 for row in opened)
    # Without its last rows, and with one from the middle removed, it comes to the same.
    for task in ("flowers", "wines"):
        path = out / f"{task}.jsonl"
        kept = path.read_text().splitlines(keepends=True)
        path.write_text("".join([kept[0], *kept[2:-3]]))
    again = {task: lines(out, task) for task in ("flowers", "wines")}
    assert main([*words, "--quiet"]) == 0
    for task, before in again.items():
        after = lines(out, task)
        assert after[: len(before)] == before
        assert sorted(map(json.dumps, after)) == sorted(map(json.dumps, flowers if task == "flowers" else after))
    assert json.loads((tmp_path / "s.json").read_text())["tasks"] == ["flowers", "wines", "flowers-recurrent"]
    # Nothing is trained for a report.
    text = (out / "report.md").read_text()
    (out / "report.md").unlink()
    assert main([*words, "--report"]) == 0
    assert (out / "report.md").read_text() == text
    assert "Contrasts over different data sets\n" in text
    assert "Over flowers, wines: " in text
    for name in (report.RANKS, report.DIFFERENCES):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_further_neurons_have_as_many_trials_and_are_compared_with_the_first_variant(file):
    before = protocol.read(file)
    found = before.with_neurons("resonator,lif:beta=0.5", "resonator.gain=0.5..2")
    assert [x.label for x in found.variants] == ["LIF", "normalised, learned", "QIF", "resonator", "lif (beta=0.5)"]
    assert [(x.of, x.against) for x in found.contrasts[2:]] == [("resonator", "LIF"), ("lif (beta=0.5)", "LIF")]
    flowers, recurrent, resonator = found.task("flowers"), found.task("flowers-recurrent"), found.variants[3]
    assert [sorted(x) for x in found.tried(flowers, resonator)] == [["gain", "learning_rate"]] * 2
    assert found.of_run(recurrent, resonator, {}, 0).network.connection == "recurrent"
    for variant in before.variants:  # whose rows stay as they are
        assert found.digest(flowers, variant) == before.digest(flowers, variant)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--neurons", "tiger"], "unknown neuron 'tiger'"),
        (["--neurons", "LIF"], "neurons has 'LIF', which is a variant of the study; leave it out"),
        (["--neurons", "lif,resonator:gain"], "'gain' in 'resonator:gain' is no setting, expected setting=value"),
        (["--neurons", "lif", "--search", "lif.gain=2..1"], "expected low below high"),
        (["--search", "lif.gain=1..2"], "search is for further neurons; name them by --neurons"),
    ],
)
def test_bad_neurons_are_refused_before_anything_is_trained(file, tmp_path, capsys, words, message):
    assert main(["study", str(file), "--out", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


OWN = """
import izhi

@izhi.neuron(states="v", parameters={"beta": 0.8, "threshold": 0.5})
def leaky(v, I, p):
    v = p.beta * v + I
    s = izhi.spike(v - p.threshold)
    return v - izhi.hold(s) * p.threshold, s
"""


@pytest.mark.slow
def test_a_neuron_of_ones_own_joins_the_table_of_a_finished_study(file, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    words = ["study", str(file), "--out", str(out), "--tasks", "flowers,wines", "--quiet"]
    assert main(words) == 0
    before = {task: lines(out, task) for task in ("flowers", "wines")}
    (tmp_path / "own_neuron_of_study.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main([*words, "--neurons", "own_neuron_of_study:leaky"]) == 0
    for task, old in before.items():
        rows_now = lines(out, task)
        assert rows_now[: len(old)] == old
        assert {row["variant"] for row in rows_now[len(old) :]} == {"own_neuron_of_study:leaky"}
    text = (out / "report.md").read_text()
    assert "own_neuron_of_study:leaky against LIF" in text
    assert "--neurons own_neuron_of_study:leaky" in text
    capsys.readouterr()
    assert main(words) == 2
    assert "if it is a further neuron, name it by --neurons" in capsys.readouterr().err


class Watched(Samples):
    """Test samples that say when they are touched."""

    told: list = []  # noqa: RUF012

    def __getattribute__(self, name):
        if not name.startswith("__"):
            Watched.told.append("test")
        return super().__getattribute__(name)


@pytest.mark.slow
@pytest.mark.usefixtures("preloaded_jobs")
def test_rows_of_several_jobs_at_once_are_those_of_one_after_another(file, tmp_path, capsys):
    words = ["study", str(file), "--tasks", "wines,flowers,flowers-recurrent"]
    assert main([*words, "--out", str(tmp_path / "one"), "--quiet"]) == 0
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "other"), "--jobs", "2"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("[1/27] wines: ")
    assert told[-1].startswith("[27/27] flowers-recurrent: ")
    assert told[-1].endswith("; 0:00:00 left")
    for task in ("wines", "flowers", "flowers-recurrent"):
        one, other = (sorted(lines(tmp_path / name, task), key=json.dumps) for name in ("one", "other"))
        assert one == other
    assert (tmp_path / "one/report.md").read_text().replace("/one", "/other") == (
        tmp_path / "other/report.md"
    ).read_text()
    assert main([*words, "--out", str(tmp_path / "third"), "--jobs", "0"]) == 2
    assert "jobs is 0, expected at least 1" in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


@pytest.mark.slow
def test_training_never_sees_test_samples_before_its_end(file, tmp_path, monkeypatch):
    told = Watched.told = []
    whole = load("iris")
    dataset = Dataset(
        "iris", whole.train, Watched(whole.test.inputs, whole.test.labels), whole.classes, whole.shape,
    )  # fmt: skip
    monkeypatch.setattr(build, "dataset", lambda s, *report: dataset)
    fit = Trainer.fit

    def watched(self, network, data, *rest, **more):
        assert len(data.test) == 0
        assert not data.groups
        told.append("begin")
        found = fit(self, network, data, *rest, **more)
        told.append("end")
        return found

    monkeypatch.setattr(Trainer, "fit", watched)
    found = protocol.read(file)
    study = Study(found, tmp_path / "out")
    study.run_pending(["flowers"])
    # Two trials of two networks for each of three variants, of which no test sample was touched.
    trials = 2 * 2 * 3
    assert told[: 2 * trials] == ["begin", "end"] * trials
    # Then a network is trained, and only after its end they are; nothing of that is chosen from.
    last = "".join({"begin": "b", "end": "e", "test": "t"}[x] for x in told[2 * trials :])
    runs = [part for part in last.split("b") if part]
    assert len(runs) == 2 * 3
    assert all(part.startswith("et") and set(part) == {"e", "t"} and part.count("e") == 1 for part in runs)


@pytest.mark.slow
def test_epochs_to_95_percent_are_those_of_the_training_accuracy(file, tmp_path):
    study = Study(protocol.read(file), tmp_path)
    study.run_pending(["wines"])
    done = study.runs(study.protocol.task("wines"), study.protocol.variants[0])
    curves = ((0.5, 0.94, 0.96, 1.0), (0.95, 1.0))
    assert [
        run.model_copy(update={"training": x}).epochs_to_95_percent for run, x in zip(done, curves, strict=True)
    ] == [3, 1]
    assert done[0].model_copy(update={"training": ()}).epochs_to_95_percent is None
    report.write(study, "izhi study")
    assert "epochs to 95 %" in (tmp_path / "report.md").read_text()


def test_a_run_that_diverges_counts_as_nothing(file, tmp_path, monkeypatch):
    def diverge(e, resources):
        raise run.DivergenceError("the loss is not finite")

    monkeypatch.setattr(run, "_train", diverge)
    study = Study(protocol.read(file), tmp_path)
    study.run_pending(["wines"])
    found = rows.read(tmp_path, "wines")
    assert [x.accuracy for x in found if isinstance(x, rows.TrialRow)] == [0] * 3
    assert [x.test for x in found if isinstance(x, rows.RunRow)] == [0] * 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trials = 2", "trials = 0", "trials is 0, expected a whole number from 1"),
        ("trials = 2", "trial = 2", "unknown key of tiny.toml 'trial' (did you mean 'trials'?)"),
        ("seeds = [0, 1]", "seeds = []", "seeds is [], expected a list of one or more"),
        ('against = "LIF"', 'against = "LIV"', "unknown variant of the contrast 'main' 'LIV'"),
        ('like = "flowers"', 'like = "flower"', "unknown task that flowers-recurrent is like 'flower'"),
        ('like = "flowers"', 'like = "flowers"\nseeds = []', "seeds of flowers-recurrent are none, and it"),
        ("trials = 1", "seeds = [-1]", "seeds of wines is -1, expected a whole number from 0"),
        ("[tasks.flowers]", '[tasks."a/b"]', "a task is named 'a/b', expected letters, digits, _ and -"),
        ('dataset = "wine"', 'dataset = "wine"\nvalidation = 0', "validation of wines is 0, but trials"),
        ("hidden = [8]", "hiden = [8]", "unknown setting 'hiden' (did you mean 'hidden'?)"),
        ("lif.beta=0.8|0.9", "lif.beta=0.8|1.9", "beta is '1.9', expected less than or equal to 1"),
        ("[settings]", "settings = 3\n[other]", "unknown key of tiny.toml 'other'"),
    ],
)  # fmt: skip
def test_bad_protocols_are_refused_in_one_line(file, tmp_path, capsys, old, new, message):
    file.write_text(TINY.replace(old, new, 1))
    assert main(["study", str(file), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_runs_of_several_processes_are_not_run_side_by_side(file, tmp_path, capsys):
    file.write_text(TINY.replace("[settings]", "[settings]\ndevices = 2"))
    assert main(["study", str(file), "--out", str(tmp_path / "out"), "--jobs", "2"]) == 2
    assert "devices is 2 and nodes 1, but of several runs at once each has one process" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_rows_of_other_settings_and_damaged_ones_are_refused(file, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["study", str(file), "--out", str(out), "--tasks", "wines", "--quiet"]
    assert main(words) == 0
    assert main([*words[:-2], "nothing"]) == 2
    assert "unknown task 'nothing'" in capsys.readouterr().err
    file.write_text(TINY.replace("epochs = 1", "epochs = 2"))
    assert main(words) == 2
    assert "holds rows of LIF with other settings" in capsys.readouterr().err
    file.write_text(TINY)
    with (out / "wines.jsonl").open("a") as kept:
        kept.write('{"kind": "run", "vari')
    assert main(words) == 2
    assert "line 10 is no row of a study" in capsys.readouterr().err


def test_trials_are_a_latin_hypercube():
    for trials, dimensions in ((1, 2), (6, 2), (7, 3)):
        found = protocol.places(trials, dimensions)
        assert found == protocol.places(trials, dimensions)
        for column in zip(*found, strict=True):
            assert sorted(column) == pytest.approx([(k + 0.5) / trials for k in range(trials)])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), [("study", "temporal"), ("longer", "temporal/longer")])
def test_studies_of_the_documents_can_be_run_and_their_reports_are_of_their_rows(name, place, tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    (tmp_path / "speech").mkdir()  # known by its files
    for part in ("train", "test"):
        (tmp_path / "speech" / f"speech_{part}.h5").touch()
    found = protocol.read(ROOT / "experiments" / "temporal" / f"{name}.toml")
    assert len(found.variants) == 12
    assert len(found.seeds) >= 5
    kept = ROOT / "docs" / "results" / place
    for path in kept.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    command = f"izhi study experiments/temporal/{name}.toml --out docs/results/{place}"
    report.write(Study(found, tmp_path), command)
    assert (kept / "report.md").read_text(encoding="utf-8") == (tmp_path / "report.md").read_text(encoding="utf-8")


def test_the_benchmark_is_brought_and_asks_for_the_data_of_the_tasks_that_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    with pytest.raises(SettingError, match="unknown data set 'speech'"):
        protocol.read(protocol.find("benchmark"))
    found = protocol.read(protocol.find("benchmark"), ["match", "adding"])
    assert len(found.tasks) >= 14
    assert len(found.variants) >= 10
    assert len(found.seeds) >= 5
    assert protocol.find("own.toml") == Path("own.toml")
    words = ["study", "benchmark", "--report", "--out", str(tmp_path / "rows"), "--tasks", "match"]
    assert main([*words, "--neurons", "normalized-CH"]) == 0
    assert f"tasks finished: 0 of {len(found.tasks)}" in capsys.readouterr().out


@pytest.mark.parametrize("task", [path.stem for path in sorted(BENCHMARK.glob("*.jsonl"))])
def test_rows_of_the_benchmark_are_those_of_its_protocol(task):
    found = protocol.read(protocol.find("benchmark"), ["match"])
    study = Study(found, BENCHMARK)
    assert study.rows(found.task(task))
    for variant in found.variants:
        for row in study.runs(found.task(task), variant):
            best = study.best(found.task(task), variant)
            assert (row.settings, row.validation) == (best.settings, pytest.approx(best.accuracy, abs=1e-6))


def test_tables_on_the_page_of_the_study_are_those_of_its_reports():
    page = (ROOT / "docs" / "results" / "temporal.md").read_text(encoding="utf-8")
    reports = [
        (ROOT / "docs" / "results" / place / "report.md").read_text(encoding="utf-8").splitlines()
        for place in ("temporal", "temporal/longer")
    ]
    lines = page.splitlines()
    found = 0
    for number, line in enumerate(lines):
        if line.startswith("| ") and any(line in one for one in reports):
            found += 1
            for row in lines[number + 2 :]:
                if not row.startswith("|"):
                    break
                assert any(row in one for one in reports), row
    assert found >= 3
