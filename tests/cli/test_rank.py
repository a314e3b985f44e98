"""izhi rank, and the differences that izhi compare sets against a reference."""

import json
from pathlib import Path

import pytest

from izhi.cli import main

LABELS = ("lif", "normalized", "biological")


def refused(capsys, *words):
    capsys.readouterr()
    assert main([str(x) for x in words]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def compared(folder, dataset, accuracies):
    """A folder of a comparison, of which only the numbers are there."""
    folder.mkdir()
    rows = [
        {"label": label, "config": {"dataset": dataset, "steps": 8}, "seeds": [0, 1, 2], "groups": {},
         "test_accuracy": values, "history": [[{"test_accuracy": x}] for x in values]}
        for label, values in accuracies.items()
    ]  # fmt: skip
    (folder / "comparison.json").write_text(json.dumps({"rows": rows}))
    return folder


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Seven comparisons, in all of which the last variant is the best, and the first the worst."""
    monkeypatch.chdir(tmp_path)
    return [
        compared(tmp_path / f"c{k}", f"data{k}", {x: [0.5 + 0.1 * n + 0.01 * k] * 3 for n, x in enumerate(LABELS)})
        for k in range(7)
    ]


def test_rank_says_which_variants_differ(folders, capsys):
    assert main(["rank", *map(str, folders), "--out", "r", "--json", "r.json"]) == 0
    said = capsys.readouterr().out
    found = json.loads(Path("r.json").read_text())
    assert found["mean_ranks"] == {"biological": 1, "normalized": 2, "lif": 3}
    assert found["friedman"]["statistic"] == pytest.approx(14)  # N (k − 1), the largest there is
    assert [pair["p"] for pair in found["pairs"]] == pytest.approx([2**-6] * 3)
    assert found["groups_that_do_not_differ"] == [["biological", "normalized"], ["normalized", "lif"]]
    assert "Friedman's test: χ² = 14.00" in said
    report = Path("r/report.md").read_text()
    assert "| biological | 1.00 | 70.00 |" in report
    assert Path("r/ranks.png").read_bytes().startswith(b"\x89PNG")
    assert main(["rank", *map(str, folders)]) == 0  # into a new folder


def test_rank_says_what_few_tasks_cannot_show(folders, capsys):
    assert main(["rank", *map(str, folders[:3]), "--out", "r"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Wilcoxon's test of 3 tasks gives no p below 0.25" in said
    assert "no two variants differ" in said


def test_rank_leaves_out_what_not_every_comparison_has_and_says_so(folders, tmp_path, capsys):
    more = compared(tmp_path / "more", "data0", {"lif": [0.5], "normalized": [0.6], "adlif": [0.7]})
    assert main(["rank", str(folders[0]), str(more), "--out", "r", "--json", "r.json"]) == 0
    found = json.loads(Path("r.json").read_text())
    assert found["tasks"] == ["data0 (c0)", "data0 (more)"]
    assert found["friedman"] is None
    assert found["remarks"] == [
        "data0 is the data set of several comparisons, which the tests take to be independent.",
        "Left out, since not every comparison has them: adlif, biological.",
    ]


def test_rank_refuses_what_it_cannot_rank(folders, tmp_path, capsys):
    other = compared(tmp_path / "other", "x", {"qif": [0.5], "adlif": [0.6]})
    assert "expected comparisons on two data sets or more" in refused(capsys, "rank", folders[0])
    assert "is named twice" in refused(capsys, "rank", folders[0], folders[1], folders[0])
    assert "have 0 variants in common" in refused(capsys, "rank", folders[0], other)
    assert "cannot read" in refused(capsys, "rank", folders[0], tmp_path)
    (other / "comparison.json").write_text('{"rows": [{"label": 3}]}')
    assert "comparison.json is damaged" in refused(capsys, "rank", folders[0], other)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "plan.json").write_text("{}")
    assert "holds runs" in refused(capsys, "rank", *folders, "--out", tmp_path / "used")
    assert not list(tmp_path.glob("**/ranks.png"))


TINY = ["--dataset", "iris", "--hidden", "8", "--steps", "4", "--epochs", "1", "--quiet"]


@pytest.mark.slow
def test_compare_sets_the_others_against_a_reference(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["compare", *TINY, "--neurons", "lif,normalized,biological", "--out", "c"]
    assert "unknown reference 'lfi'" in refused(capsys, *words, "--reference", "lfi")
    assert not (tmp_path / "c").exists()
    assert main([*words, "--seeds", "0,1,2", "--reference", "normalized", "--json", "c.json"]) == 0
    said = capsys.readouterr().out
    assert "against normalized, paired over seeds" in said
    found = json.loads((tmp_path / "c.json").read_text())
    rows = {row["label"]: row["test_accuracy"] for row in found["rows"]}
    assert [x["label"] for x in found["differences"]] == ["lif", "biological"]
    for x in found["differences"]:
        pairs = list(zip(rows[x["label"]], rows["normalized"], strict=True))
        assert x["mean"] == pytest.approx(sum(a - b for a, b in pairs) / 3)
        assert x["within_noise"] == (x["low"] <= 0 <= x["high"])
    assert "## Against normalized" in (tmp_path / "c" / "report.md").read_text()
    # The folder knows its reference, which may be another one later.
    assert main(["compare", "--resume", "--out", "c", "--quiet"]) == 0
    assert "## Against normalized" in (tmp_path / "c" / "report.md").read_text()
    assert main(["compare", "--resume", "--out", "c", "--quiet", "--reference", "lif"]) == 0
    assert "## Against lif" in (tmp_path / "c" / "report.md").read_text()


def test_one_seed_says_nothing_about_noise(tmp_path, capsys):
    assert main(["compare", *TINY, "--neurons", "lif,normalized", "--out", str(tmp_path / "c")]) == 0
    assert "says nothing about noise" in (tmp_path / "c" / "report.md").read_text()


@pytest.mark.slow
def test_folds_are_no_independent_runs(tmp_path, capsys):
    words = ["compare", *TINY, "--neurons", "lif,normalized", "--folds", "--out", str(tmp_path / "c")]
    assert main([*words, "--json", str(tmp_path / "c.json")]) == 0
    (found,) = json.loads((tmp_path / "c.json").read_text())["differences"]
    assert (found["pairs"], found["overlap"]) == (5, 0.25)
    assert "Nadeau and Bengio" in (tmp_path / "c" / "report.md").read_text()


def test_a_ranking_has_a_page_and_is_drawn_again(folders, capsys):
    assert main(["rank", *map(str, folders), "--out", "r"]) == 0
    assert json.loads(Path("r/ranking.json").read_text())["accuracies"]["lif"][0] == 0.5
    assert main(["report", "r"]) == 0
    page = Path("r/report.html").read_text()
    assert "<td>biological</td>" in page
    assert "mean ranks; bars join variants that do not differ" in page
    words = ["redraw", "r", "--title", "ranks", "--labels", "A; B; C", "--out", "again.png"]
    assert main(words) == 0
    assert Path("again.png").read_bytes().startswith(b"\x89PNG")
    assert "expected 3 different ones" in refused(capsys, *words[:4], "--labels", "A; B", "--out", "again.png")
    Path("r/ranking.json").write_text('{"tasks": ["a", "b"], "accuracies": {"x": [0.5], "y": [0.5, 0.5]}}')
    assert "expected 2 accuracies of every variant" in refused(capsys, "report", "r")
