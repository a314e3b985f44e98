"""Runs and comparisons as one page of HTML: all that they say, nothing that runs or asks the network."""

import json
import re
from html.parser import HTMLParser

import pytest

from izhi import cli
from izhi.errors import FileError, RunFolderError
from izhi.experiments import page
from izhi.experiments.settings import experiment

pytest.importorskip("bokeh", reason="bokeh is not installed; pip install 'izhi[report]'")

ROWS = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,test_loss,test_accuracy\n"


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


def test_the_page_asks_no_network_for_anything(run):
    for tag, attributes in Outline(page.of(run)).tags:
        for name in ("src", "href", "action", "data"):
            assert not attributes.get(name, "data:").startswith(("http", "//")), (tag, attributes)


def test_settings_that_are_not_the_usual_ones_are_told_apart(run):
    text = page.of(run)
    chosen = re.findall(r'<tr class="chosen"><td>(\w+)</td><td>([^<]*)</td>', text)
    assert ("learning_rate", "0.02") in chosen
    assert "batch_size" not in dict(chosen)


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


def test_a_comparison_has_a_row_and_a_line_for_each_variant(tmp_path):
    history = [[{"test_accuracy": 0.5}, {"test_accuracy": 0.9}], [{"test_accuracy": 0.6}, {"test_accuracy": 0.8}]]
    config = {"dataset": "digits", "steps": 25}
    rows = [
        {
            "label": label,
            "config": config,
            "seeds": [0, 1],
            "test_accuracy": [0.9, 0.8],
            "groups": {},
            "history": history,
        }
        for label in ("LIF", "normalised <b>")
    ]
    (tmp_path / "comparison.json").write_text(json.dumps({"rows": rows}))
    found = Outline(page.of(tmp_path))
    for text in ("digits, T = 25, 2 seeds", "LIF", "normalised <b>", "85.00", "80.00 … 90.00"):
        assert text in found.text


def test_the_command(run, tmp_path, capsys):
    assert cli.main(["report", str(run)]) == 0
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert "report.html, 1." in capsys.readouterr().out
    assert cli.main(["report", str(run), "--out", str(tmp_path / "x.pdf")]) == 2
    assert "expected a file that ends in .html" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert cli.main(["report", str(tmp_path / "empty")]) == 2
    assert "holds neither metrics.csv nor comparison.json" in capsys.readouterr().err
    assert not list((tmp_path / "empty").iterdir())
