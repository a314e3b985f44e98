"""Runs that are listed, drawn again and removed: of whole folders, and of damaged and hostile ones."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hostility import complaints, mutations
from izhi import files
from izhi.errors import FileError, IzhiError, RunFolderError, SettingError
from izhi.experiments import listing, page, saved
from izhi.experiments.settings import experiment

METRICS = "epoch,train_loss,validation_accuracy,test_accuracy\n"


def make(folder, *, epochs=3, done=2, command="izhi train --dataset iris", metrics=None, **settings):
    """A run folder as training leaves it, but for its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    e = experiment({"dataset": "iris", "neuron": "lif", "epochs": epochs, **settings})
    (folder / "config.toml").write_text(e.to_toml(f"izhi 0.1.0\n{command}\ntorch 2"))
    rows = "".join(f"{k},0.5,{0.5 + k / 100},{0.6 + k / 100}\n" for k in range(1, done + 1))
    if done or metrics is not None:
        (folder / "metrics.csv").write_text(METRICS + rows if metrics is None else metrics)
    return folder


def only(folder):
    (run,) = listing.find(folder)
    return run


def test_runs_are_found_down_to_a_seed_of_a_comparison(tmp_path):
    make(tmp_path / "one")
    make(tmp_path / "compare" / "lif" / "seed-0", command="izhi compare --neurons lif", seed=0)
    make(tmp_path / "compare" / "lif" / "seed-1", command="izhi nir import net.nir", seed=1)
    make(tmp_path / "a" / "b" / "c" / "d" / "e")  # further down than any command writes
    make(tmp_path / ".hidden")
    (tmp_path / "empty").mkdir()
    found = listing.find(tmp_path)
    assert [(run.name, run.command) for run in found] == [
        ("compare/lif/seed-0", "compare"), ("compare/lif/seed-1", "import"), ("one", "train"),
    ]  # fmt: skip
    assert found[1].settings["seed"] == 1
    assert (found[2].metrics["test_accuracy"], found[2].metrics["validation_accuracy"]) == (0.62, 0.52)
    assert (only(tmp_path / "one").name, only(tmp_path / "one").path) == (".", tmp_path / "one")


@pytest.mark.parametrize(
    ("given", "epochs", "is_finished"),
    [
        ({"epochs": 3, "done": 2}, 2, False),
        ({"epochs": 3, "done": 3}, 3, True),
        ({"epochs": 3, "done": 0}, 0, False),
        ({"epochs": 9, "metrics": "epoch,test_accuracy\n0,0.5\n"}, 0, True),  # rounded or imported, not trained
        ({"epochs": 9, "patience": 2, "done": 4}, 4, False),
        ({"epochs": 9, "patience": 2, "metrics": METRICS + "1,1,.7,.5\n2,1,.7,.5\n3,1,.6,.5\n"}, 3, True),
        ({"epochs": 9, "patience": 2, "metrics": METRICS + "1,1,.6,.5\n2,1,.7,.5\n3,1,.6,.5\n"}, 3, False),
    ],
)
def test_a_run_is_finished_when_no_epoch_is_left(tmp_path, given, epochs, is_finished):
    run = only(make(tmp_path / "run", **given).parent)
    assert (run.epochs, run.is_finished, run.damage) == (epochs, is_finished, "")


def test_only_the_ends_of_long_metrics_are_read(tmp_path):
    folder = make(tmp_path / "run", epochs=1_000_000)
    with (folder / "metrics.csv").open("a") as file:
        file.write("".join(f"{k},0.5,0.5,0.5\n" for k in range(3, 10_000)))
    assert only(tmp_path).epochs == 9999
    with (folder / "metrics.csv").open("r+b") as file:  # a terabyte of nothing, and a row
        file.seek(1 << 40)
        file.write(b"\n10000,0.5,0.5,0.75\n")
    begun = time.monotonic()
    assert only(tmp_path).metrics["test_accuracy"] == 0.75
    assert time.monotonic() - begun < 5


@pytest.mark.slow
def test_hundreds_of_runs_are_listed_at_once(tmp_path):
    for k in range(300):
        make(tmp_path / f"run-{k}", done=1)
    begun = time.monotonic()
    assert len(listing.find(tmp_path)) == 300
    assert time.monotonic() - begun < 10  # a third of a second, where nothing else runs


def link(target):
    return lambda path: path.symlink_to(target)


def content(data):
    return lambda path: path.write_bytes(data)


DEEP = b"# izhi 0\na = " + b"[" * 3000 + b"]" * 3000
DOTS = b"# izhi 0\n" + b".".join([b"a"] * 100_000) + b" = 1\n"
MANY = b"".join(b"a%d = 1\n" % k for k in range(20_000))
DAMAGED = {
    "large": ("config.toml", content(b"# izhi 0\n" + b"#" * 10_000_000), "config.toml is larger than 262,144 bytes"),
    "linked": ("config.toml", link("/etc/passwd"), "config.toml is a link, a folder or a device"),
    "pipe": ("config.toml", os.mkfifo, "config.toml is a link, a folder or a device"),
    "folder": ("config.toml", Path.mkdir, "config.toml is a link, a folder or a device"),
    "missing": ("config.toml", lambda path: None, "cannot read config.toml: No such file or directory; check the path"),
    "another's": ("config.toml", content(b"[tool.other]\n"), "expected '# izhi': it is of no run"),
    "no TOML": ("config.toml", content(b"# izhi 0\n= \x1b[31m"), "config.toml is not valid TOML"),
    "no UTF-8": ("config.toml", content(b"# izhi 0\n\xff"), "config.toml is not valid TOML"),
    "deep": ("config.toml", content(DEEP), "config.toml holds values within values without end"),
    "dots": ("config.toml", content(DOTS), "config.toml has 99,999 dots in a line, expected at most 50"),
    "unknown": ("config.toml", content(b"# izhi 0\nepoch = 3\n"), "has the setting 'epoch', which is unknown here"),
    "many": ("config.toml", content(b"# izhi 0\n" + MANY), "has the setting 'a0', which is unknown here"),
    "long row": ("config.toml", content(b"# izhi 0\nlayers = '" + b"conv 1x1," * 20_000 + b"'\n"), "layers is"),
    "tables": ("config.toml", content(b"# izhi 0\n" + b"[[network.modules]]\n" * 10_000), "modules is"),
    "another type": ("config.toml", content(b"# izhi 0\nepochs = 'many'\n"), "epochs is 'many', expected a whole"),
    "endless": ("metrics.csv", content(METRICS.encode() + b"1," * 500_000), "metrics.csv has a line of more than"),
    "endless names": ("metrics.csv", content(b"1," * 500_000), "metrics.csv has a line of more than"),
    "no numbers": ("metrics.csv", content(METRICS.encode() + b"1,2,x\x1b,.5\n"), "expected numbers"),
    "cut": ("metrics.csv", content(METRICS.encode() + b"1,.5,.5,.7"), "expected 4 numbers and a line's end"),
    "a column less": ("metrics.csv", content(METRICS.encode() + b"1,.5,.5\n"), "expected 4 numbers"),
    "no row": ("metrics.csv", content(METRICS.encode()), "has a row b'', expected 4 numbers"),
    "empty": ("metrics.csv", content(b""), "metrics.csv begins with b''"),
    "nan": ("metrics.csv", content(METRICS.encode() + b"nan,1,1,1\n"), "epoch nan, expected a whole number"),
    "infinite": ("metrics.csv", content(METRICS.encode() + b"1,1,1,inf\n"), "'test_accuracy' = inf, expected 0 to 1"),
    "metrics linked": ("metrics.csv", link("/etc/passwd"), "metrics.csv is a link, a folder or a device"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_listed_and_says_why(name, tmp_path):
    file, damage, message = DAMAGED[name]
    make(tmp_path / "whole", done=1)
    folder = make(tmp_path / "wrong")
    (folder / file).unlink()
    damage(folder / file)
    begun = time.monotonic()
    whole, wrong = listing.find(tmp_path)
    assert time.monotonic() - begun < 5
    assert whole.damage == ""
    assert message in wrong.damage
    assert wrong.damage.isprintable()
    assert len(wrong.damage) <= 400
    assert str(tmp_path) not in wrong.damage
    json.dumps(wrong.summary())
    assert "damaged" in listing.cells(wrong)


def test_links_to_folders_are_not_followed(tmp_path):
    make(tmp_path / "elsewhere" / "run")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    assert listing.find(tmp_path / "runs") == []


def test_names_and_commands_cannot_write_to_the_terminal(tmp_path):
    make(tmp_path / "a\x1b[31m\nb", command="izhi \x1b]0;title\x07 x")
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    folder = make(tmp_path / os.fsdecode(b"\xff"))
    config = (folder / "config.toml").read_text().replace('"iris"', '"/\u202e[bold].npz"')
    (folder / "config.toml").write_text(config)
    for run in listing.find(tmp_path):
        assert all(cell.isprintable() for cell in listing.cells(run))
        json.dumps(run.summary()).encode()


def test_a_folder_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(FileError, match="cannot read .*none: No such file"):
        listing.find(tmp_path / "none")
    (tmp_path / "closed").mkdir(mode=0)
    if os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("root may do all")
    assert only(tmp_path).damage.startswith("cannot be read: Permission denied")


def test_a_time_of_no_calendar_is_none(tmp_path):
    assert replace(only(make(tmp_path / "run")), time=1e20).when is None


@pytest.mark.slow
@pytest.mark.parametrize("file", ["config.toml", "metrics.csv"])
def test_no_damage_stops_the_list(file, tmp_path):
    folder = make(tmp_path / "run", hidden="8,4", learn="beta")
    samples = [(folder / file).read_bytes()]

    def read(data):
        (folder / file).write_bytes(data)
        run = only(tmp_path)
        assert all(cell.isprintable() for cell in listing.cells(run))
        json.dumps(run.summary())

    assert complaints(read, list(mutations(samples, 1500))) == []


def test_filters_compare_values_and_not_their_text(tmp_path):
    make(tmp_path / "a", neuron="lif", hidden="8,4", learning_rate=1e-3)
    make(tmp_path / "b", neuron="RS", hidden=[8], fold=1, learn="a,b")
    found = listing.find(tmp_path)

    def names(text):
        return [run.name for run in found if listing.has(run, listing.wanted(text))]

    assert names("dataset=iris") == ["a", "b"]
    assert names("neuron=lif,learning-rate=0.001") == ["a"]
    assert names("neuron=lif, neuron=RS") == ["a", "b"]
    assert names("hidden=8+4") == ["a"]
    assert names("hidden=8") == names("fold=1") == names("learn=a+b") == ["b"]
    assert names("fold=none") == ["a"]
    assert names("reset=none") == []
    (tmp_path / "a" / "config.toml").write_text("")
    assert [run.name for run in listing.find(tmp_path) if listing.has(run, listing.wanted("dataset=iris"))] == ["b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("neurn=lif", "unknown setting 'neurn' (did you mean 'neuron'?)"),
        ("neuron=lfi", "unknown neuron 'lfi' (did you mean 'lif'?)"),
        ("epochs=many", "epochs is 'many', expected a whole number"),
        ("epochs", "filter has 'epochs', expected setting=value"),
        ("epochs=", "filter has 'epochs=', expected setting=value"),
        (" , ", "filter is ' , ', expected setting=value"),
    ],
)
def test_filters_that_are_none(text, message):
    with pytest.raises(SettingError) as error:
        listing.wanted(text)
    assert message in str(error.value)


def test_orders_and_differences(tmp_path):
    for name, accuracy, when, settings in (
        ("b", 0.5, 300, {"seed": 0}), ("a", 0.9, 100, {"seed": 1}), ("c", 0.7, 200, {"seed": 1, "hidden": [8]}),
    ):  # fmt: skip
        folder = make(tmp_path / name, metrics=f"epoch,test_accuracy\n1,{accuracy}\n", **settings)
        os.utime(folder / "metrics.csv", (when, when))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "config.toml").touch()
    found = listing.find(tmp_path)
    order = {by: "".join(run.name for run in listing.ordered(found, by)) for by in ("time", "accuracy", "name")}
    assert order == {"time": "dbca", "accuracy": "acbd", "name": "abcd"}
    assert listing.differing(found) == ["hidden", "seed"]
    assert listing.differences_table(found, ["hidden", "seed"]).rows == [
        ("a", "512", "1", "90.00"), ("b", "512", "0", "50.00"), ("c", "8", "1", "70.00"), ("d", "-", "-", "-"),
    ]  # fmt: skip
    assert listing.differing([]) == []


def test_a_run_is_removed_by_the_names_of_its_files(tmp_path):
    folder = make(tmp_path / "run")
    for name in ("checkpoint.pt", "best.pt", "start.pt", "report.md", "accuracy.png", "confusion.png", "dynamics.png",
                 "sample-12.png", ".checkpoint.pt-abcd123_.part"):  # fmt: skip
        (folder / name).touch()
    assert listing.remove(only(tmp_path)) == []
    assert not folder.exists()


def test_what_is_not_of_a_run_stays(tmp_path):
    folder, other = make(tmp_path / "run"), make(tmp_path / "run" / "within")
    others = ("notes.txt", "network.izhi", "my-checkpoint.pt", "checkpoint.pt.bak", ".hidden.part", "sample-x.png")
    for name in others:
        (folder / name).touch()
    (tmp_path / "precious").write_text("mine")
    (folder / "checkpoint.pt").symlink_to(tmp_path / "precious")
    (folder / "report.md").mkdir()
    run = next(x for x in listing.find(tmp_path) if x.name == "run")
    kept = listing.remove(run)
    assert kept == sorted([*others, "checkpoint.pt", "report.md", "within"])
    assert sorted(os.listdir(folder)) == kept
    assert (tmp_path / "precious").read_text() == "mine"
    assert only(tmp_path).path == other
    assert (
        listing.named(kept)
        == ".hidden.part, checkpoint.pt, checkpoint.pt.bak, my-checkpoint.pt, network.izhi and 4 more"
    )


def test_a_run_that_is_written_is_not_removed(tmp_path):
    folder = make(tmp_path / "compare" / "lif" / "seed-0")
    run = only(tmp_path)
    before = sorted(os.listdir(folder))
    for held in (folder, tmp_path / "compare"):
        with files.holding(held):
            for act in (listing.check_unused, listing.remove):
                with pytest.raises(RunFolderError, match=f"another process is writing {held}; wait for it"):
                    act(run)
    assert sorted(os.listdir(folder)) == before
    with files.holding(tmp_path / "another"):
        assert listing.remove(run) == []


@pytest.mark.slow
def test_listing_and_removing_load_no_torch(tmp_path):
    make(tmp_path / "run")
    code = (
        "import sys; from izhi.cli import main\n"
        "assert main(['runs', sys.argv[1]]) == main(['runs', sys.argv[1], '--remove', '--yes']) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run").exists()


def comparison(**changes):
    row = {
        "label": "lif", "config": {"dataset": "iris", "steps": 4, "fold": None}, "seeds": [0], "test_accuracy": [0.5],
        "groups": {}, "history": [[{"epoch": 1, "test_accuracy": 0.5}]], **changes,
    }  # fmt: skip
    return json.dumps({"rows": [row]}).encode()


@pytest.mark.usefixtures("drawn_figures")
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_figures_are_drawn_again(tmp_path, ending):
    make(tmp_path / "run")
    (tmp_path / "comparison.json").write_bytes(comparison())
    out = tmp_path / f"out.{ending}"
    for folder, figure, labels in (
        (tmp_path / "run", "accuracy", ["A", "B"]), (tmp_path, "accuracy", ["LIF"]), (tmp_path, "outcomes", ["LIF"]),
    ):  # fmt: skip
        out.unlink(missing_ok=True)
        page.redraw(folder, out, figure=figure, title=r"$\beta$ = 1", labels=labels)
        assert out.stat().st_size > 1000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"out": "x.jpg"}, "out is 'x.jpg', expected a figure's ending"),
        ({"figure": "outcomes"}, "run holds metrics.csv; choose accuracy"),
        ({"labels": ["A"]}, "labels are 'A', expected 2 different ones, separated by semicolons, for 'test; val"),
        ({"labels": ["A", "A"]}, "expected 2 different ones"),
        ({"labels": ["A", ""]}, "expected 2 different ones"),
        ({"title": "a\x07"}, "title has 'a\\x07', expected at most 200 printable characters"),
        ({"title": "a" * 1000}, "expected at most 200 printable characters"),
        ({"title": r"$\frac$"}, "cannot be drawn"),
        ({"folder": "none"}, "holds none of comparison.json, trials.json"),
        ({"folder": "imported"}, "expected a run that was trained there"),
        ({"folder": "damaged"}, "metrics.csv has a row b'x"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("drawn_figures")
def test_what_cannot_be_drawn_again(given, message, tmp_path):
    make(tmp_path / "run")
    make(tmp_path / "imported", metrics="epoch,test_accuracy\n0,0.5\n")
    make(tmp_path / "damaged", metrics=METRICS + "x,0,0,0\n1,1,.5,.5\n")
    before = sorted(tmp_path.iterdir())
    folder, out = tmp_path / given.pop("folder", "run"), given.pop("out", str(tmp_path / "x.png"))
    with pytest.raises(IzhiError) as error:
        page.redraw(folder, Path(out), **given)
    assert message in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "comparison.json is damaged"),
        (b"[" * 100_000, "comparison.json is damaged"),
        (b'{"rows": []}', "comparison.json is damaged: rows: "),
        (comparison(test_accuracy=["x"]), "rows.0.test_accuracy.0: "),
        (comparison(history=[[]]), "rows.0.history.0: "),
        (comparison(history=[[{"test_accuracy": float("nan")}]]), "rows.0.history.0.0.test_accuracy: "),
        (comparison(history=[[{"test_accuracy": 7}]]), "rows.0.history.0.0.test_accuracy: "),
        (comparison(groups={"x" * 1000: []}), "is damaged: rows.0.groups."),
        (comparison(label="x" * 1000), "expected at most 200 characters"),
    ],
)
def test_damaged_comparisons_are_not_drawn(data, message, tmp_path):
    (tmp_path / "comparison.json").write_bytes(data)
    with pytest.raises(RunFolderError) as error:
        page.redraw(tmp_path, tmp_path / "x.png")
    assert message in str(error.value)
    assert not (tmp_path / "x.png").exists()


def test_metrics_of_the_whole_run(tmp_path):
    folder = make(tmp_path / "run", metrics="epoch,rate_1,test_accuracy\n1,,0.5\n2,0.1,0.6\n")
    assert saved.history(folder) == [
        {"epoch": 1, "test_accuracy": 0.5},
        {"epoch": 2, "rate_1": 0.1, "test_accuracy": 0.6},
    ]
    assert saved.last(folder) == saved.history(folder)[-1]
