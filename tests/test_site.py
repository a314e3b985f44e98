"""The site of the documentation: it is built without a warning, and its reference says all that the program has."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import benchmark_tables
import data_at_hand
import gallery
import generated
import generated_part
import nbformat
import paper_figures
import plain_docstrings
import pytest
import yaml

from izhi import zoo
from izhi.cli.commands import COMMANDS
from izhi.experiments.benchmark.runner import read_results
from izhi.experiments.settings import FIELDS
from tiers import long_but

ROOT = Path(__file__).parents[1]
#: In the order in which they are read.
TUTORIALS = (
    "one_neuron", "mnist", "learned_dynamics", "delays_and_speech", "own_data", "quantization", "deploy",
    "edge_learning", "own_neuron", "memory",
)  # fmt: skip


def test_every_command_and_setting_is_on_its_page():
    commands, settings = generated.commands(), generated.settings()
    for name in COMMANDS:
        assert f"## izhi {name}\n" in commands
    assert "`--learning-rate X`" in commands
    assert "`--neuron NAME`" in commands
    for name in FIELDS:
        assert f"\n`{name}" in settings, name
    assert "`learning_rate = 0.0005`" in settings


def test_the_interface_has_a_page_for_each_door_and_each_object_once():
    pages = generated.interface()
    assert {f"api/{door}" for door in generated.DOORS} < set(pages)
    objects = [line.split(":: ")[1] for page in pages.values() for line in page.splitlines() if ".. auto" in line]
    assert len(objects) == len(set(objects))
    assert {"izhi.LIF", "izhi.Izhikevich", "izhi.network.Network", "izhi.nir.read", "izhi.errors.IzhiError"} <= set(
        objects
    )


def test_docstrings_become_what_sphinx_reads():
    lines = ["A layer of |x| and *y, ``a * b``.", "", "    v ← β·v", "", "Args:", "    x: of y_ (T, *features).", ""]
    assert plain_docstrings.rewritten(lines) == [
        "A layer of \\|x\\| and \\*y, ``a * b``.", "", "::", "", "    v ← β·v", "", "Args:",
        "    x: of y\\_ (T, \\*features).", "",
    ]  # fmt: skip


def test_facts_of_the_gallery_are_those_of_the_cards():
    facts = gallery.facts(zoo.card("mnist-lif"))
    assert facts["accuracy, float"] == "98.28 ± 0.06 % (seeds 0, 1, 2)"
    assert facts["accuracy, integers"].startswith("98.17 % (seed 0; 4-bit weights, 16-bit states; ")
    assert facts["a sample"] == "25 time steps, 278 spikes, 5,035 clock cycles"
    assert "an estimate" in next(name for name in facts if "energy" in name)
    assert gallery.facts(zoo.card("smnist"))["accuracy, float"] == "98.64 % (one seed)"
    assert "clock cycles" not in gallery.facts(zoo.card("smnist").model_copy(update={"cycles": None}))["a sample"]


def test_the_picture_of_the_gallery_is_of_the_sample_that_its_command_runs(tmp_path):
    verdict = gallery.draw("mnist-lif", 3, tmp_path / "new" / "digit.svg")
    assert verdict == "answer 0, label 0"
    assert "<svg" in (tmp_path / "new" / "digit.svg").read_text()


def test_every_figure_for_papers_has_a_method_and_a_caption():
    names = [figure.name for figure in paper_figures.FIGURES]
    assert len(set(names)) == len(names) > 5
    for figure in paper_figures.FIGURES:
        assert (ROOT / "docs" / figure.page).is_file()
        assert figure.caption.endswith(".")
        assert figure.command.split().count("OUT") == 1


@pytest.mark.slow
def test_a_figure_for_papers_is_drawn_by_its_command(tmp_path):
    """In any folder, and in both formats; a mistake in a command is an error."""
    ranks = next(x for x in paper_figures.FIGURES if x.name == "temporal-ranks")
    before = Path.cwd()
    for ending, begins in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        path = tmp_path / f"ranks.{ending}"
        paper_figures.draw(ranks, path)
        assert path.read_bytes().startswith(begins)
    with pytest.raises(RuntimeError, match="failed, expected"):
        paper_figures.draw(ranks, tmp_path / "ranks.doc")
    assert Path.cwd() == before


def test_a_page_without_the_comment_that_a_program_replaces_is_an_error():
    class App:
        def connect(self, event, read):
            assert event == "source-read"
            self.read = read

    app = App()
    generated_part.insert(app, "docs/page", "<!-- here -->", lambda: "made")
    source = ["before <!-- here --> after"]
    app.read(app, "docs/other", source)
    assert source == ["before <!-- here --> after"]
    app.read(app, "docs/page", source)
    assert source == ["before made after"]
    with pytest.raises(ValueError, match="docs/page has no <!-- here -->"):
        app.read(app, "docs/page", ["nothing"])


def test_bibtex_has_what_the_citation_says():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    entry = paper_figures.bibtex(citation)
    assert entry.startswith("@software{izhi,\n  author = {")
    assert f"  title = {{{{{citation['title']}}}}},\n" in entry
    assert f"  version = {{{citation['version']}}},\n" in entry
    people = [{"family-names": "Lovelace", "given-names": "Ada"}, {"name": "A team"}]
    entry = paper_figures.bibtex({**citation, "authors": people, "date-released": "2026-12-01", "doi": "10.1/2"})
    assert "author = {{Lovelace, Ada} and {A team}}" in entry
    assert "year = {2026}" in entry
    assert "doi = {10.1/2}" in entry


def test_converted_benchmarks_have_the_numbers_of_the_page_that_they_name():
    path = benchmark_tables.FOLDER / "amd-epyc-2-threads.json"
    rows, content = read_results(path)
    assert "docs/results/speed.md" in content["note"]
    page = (ROOT / "docs" / "results" / "speed.md").read_text()
    tables = page.partition("## On a machine without a matrix unit")[2].partition("Versions:")[0]
    lines = [line.strip("| ").split(" | ") for line in tables.splitlines() if line.startswith("| ")]
    wanted = [(x[0], x[1], x[3], x[5]) for x in lines if x[0] != "contender"]
    assert wanted == [
        (x.name, f"{x.milliseconds('train'):.1f}", f"{x.milliseconds('infer'):.1f}", f"{x.peak_bytes[0] / 1e6:.0f}")
        for x in rows
    ]
    text = benchmark_tables.section(path)
    assert f"**{content['note']}**" in text
    assert "| snnTorch LIF | 112.2 |" in text


def build(source, target, **settings):
    """Build pages into a folder by the settings of the site and these."""
    pytest.importorskip("sphinx", reason="sphinx is not installed; pip install '.[docs]'")
    given = [f"-D{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-c", "docs", *given, source, target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All pages, built by the first worker that needs them; tests/test_notebooks.py executes the notebooks."""
    fcntl = pytest.importorskip("fcntl", reason="this system has no locks of files")
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    with open(shared / "site.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "site" / "index.html").exists():
            build(ROOT, shared / "site", nb_execution_mode="off")
    return shared / "site"


@pytest.mark.slow(minutes=2)
def test_the_site_is_built_without_a_warning(site):
    for page in ("index", "docs/index", "docs/reference/commands", "docs/reference/api/izhi", "notebooks/one_neuron"):
        assert (site / f"{page}.html").stat().st_size > 100
    text = (site / "docs" / "reference" / "api" / "izhi.html").read_text()
    assert "A layer of leaky integrate-and-fire neurons." in text
    text = (site / "docs" / "tutorials.html").read_text()
    found = re.findall(r'toctree-l\d"><a class="reference internal" href="\.\./notebooks/(\w+)\.html">(\d+)\. ', text)
    assert found == [(name, str(number)) for number, name in enumerate(TUTORIALS, start=1)]


@pytest.mark.slow
def test_links_lead_somewhere(site):
    texts = {path: path.read_text(errors="replace") for path in site.rglob("*.html") if "_static" not in path.parts}
    anchors = {path: {*re.findall(r'\bid="([^"]+)"', text)} for path, text in texts.items()}
    broken = []
    for path, text in texts.items():
        for link in re.findall(r'href="([^"]+)"', text):
            place, _, anchor = unquote(unescape(link)).partition("#")
            target = (path.parent / place.partition("?")[0]).resolve() if place else path
            if re.match(r"[a-z]+:|//", link):
                continue
            if not target.exists() or (anchor and anchor not in anchors.get(target, {anchor})):
                broken.append((path.relative_to(site).as_posix(), link))
    assert broken == []


@pytest.mark.slow
@pytest.mark.parametrize("width", long_but([400], [400, 1400]))
def test_every_page_opens_in_a_browser(site, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda one: asked.append(one.url))
    wide, broken = [], []
    for file in sorted(site.rglob("*.html")):
        if "_static" in file.parts or file == site / "index.html":  # which leads to docs/index.html
            continue
        page.goto(file.as_uri())
        name = file.relative_to(site).as_posix()
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append(name)
        broken += page.evaluate("[...document.images].filter(x => x.complete && !x.naturalWidth).map(x => x.src)")
        assert page.locator("h1").count() <= 1, name
        if name == "docs/draw.html":
            assert "Browsers load networks from a web server only" in page.get_by_role("status").inner_text()
    assert (said, wide, broken) == ([], [], [])
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1000, 1400])
def test_the_first_screen_says_it_all(site, browser, width):
    """What Izhi is, the command, whole and with its button, and the picture, which follows the page's colours."""
    page = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page.goto((site / "docs" / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for pre in page.locator("article pre").all():
        assert pre.evaluate("x => x.scrollWidth <= x.clientWidth"), pre.inner_text()
    for part in (".home h1", ".home pre", ".home .copybtn", ".home svg.digit"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] < 900, part
    assert page.locator(".home pre").inner_text().split() == ["pip", "install", ".", "izhi", "demo"]
    assert float(page.locator(".home .copybtn").evaluate("x => getComputedStyle(x).opacity")) == 1
    colours = []
    for mode in ("light", "dark"):
        page.evaluate("mode => document.documentElement.dataset.theme = mode", mode)
        text = page.locator(".home svg.digit text").first
        fill, paper = text.evaluate("x => [getComputedStyle(x).fill, getComputedStyle(document.body).backgroundColor]")
        assert abs(brightness(fill) - brightness(paper)) > 400, (mode, fill, paper)
        colours.append(fill)
    assert colours[0] != colours[1]
    page.close()


def brightness(colour):
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3]))


@pytest.mark.slow
def test_cards_are_reached_by_the_keyboard_and_lead_to_pages(site, browser):
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto((site / "docs" / "index.html").as_uri())
    links = page.locator(".cards:not(.numbers) > ul > li > p > a:first-child")
    assert links.count() >= 10
    assert page.locator(".numbers > ul > li > p > strong:first-child").count() == 3
    assert page.locator(".numbers > ul > li:has(a)").count() == 3
    links.first.focus()
    assert page.evaluate("document.activeElement.closest('li').matches(':focus-within')")
    box = page.locator(".cards:not(.numbers) > ul > li").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4)
    page.wait_for_url("**/docs/draw.html")
    page.close()


@pytest.mark.slow
def test_every_network_of_the_zoo_has_its_card(site):
    text = (site / "docs" / "gallery.html").read_text()
    for card in zoo.cards():
        section = text.partition(f'<section id="{card.name}">')[2].partition("</section>")[0]
        assert re.search(rf'<img alt="[^"]+" src="\.\./_images/{card.name}\.svg"', section), card.name
        assert f"izhi zoo evaluate {card.name}" in section
        assert f"{100 * card.integer_accuracy:.2f} %" in section
        assert {x.rpartition("/")[2] for x in re.findall(r'download="" href="([^"]+)"', section)} == {
            "card.json", *card.files
        }  # fmt: skip


@pytest.mark.slow
def test_figures_for_papers_have_both_formats(site):
    text = (site / "docs" / "figures.html").read_text()
    for figure in paper_figures.FIGURES:
        for ending in paper_figures.FORMATS:
            [link] = re.findall(rf'href="([^"]+/{figure.name}\.{ending})"', text)
            assert (site / "docs" / link).stat().st_size > 1000


@pytest.mark.slow
def test_search_and_dark_mode(site, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((site / "docs" / "index.html").as_uri())
    for mode in ("Dark", "Light"):
        page.locator(".theme-switch-button").first.click()
        page.locator(".dropdown-menu.show").get_by_text(mode).click()
        assert page.evaluate("document.documentElement.dataset.theme") == mode.lower()
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 200) == (mode == "Dark")
    page.goto((site / "search.html").as_uri() + "?q=send-on-delta")
    page.locator("#search-results li").first.wait_for()
    assert page.locator("#search-results a", has_text="Data").count() >= 1
    page.close()


PYTHON = {
    "orphan": True,
    "kernelspec": {"name": "python3", "display_name": "Python"},
    "language_info": {"name": "python"},
}
FIGURE = """%matplotlib inline
from matplotlib.figure import Figure
import sys
print("noise", file=sys.stderr)
figure = Figure()
figure.add_subplot().plot([1, 2])
figure"""


@pytest.mark.slow
def test_notebooks_are_executed_where_their_data_are_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path / "nothing"))
    pages = tmp_path / "pages"
    pages.mkdir()
    for name, metadata in (("whole", {}), ("left", {"izhi": {"data": "mnist"}})):
        cells = [nbformat.v4.new_markdown_cell(f"# A {name} page"), nbformat.v4.new_code_cell(FIGURE)]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={**PYTHON, **metadata})
        nbformat.write(notebook, pages / f"{name}.ipynb")
    build(
        pages, tmp_path / "site", root_doc="whole", include_patterns="*", html_extra_path="",
        nb_execution_cache_path=tmp_path / "cache",
    )  # fmt: skip
    whole, left = ((tmp_path / "site" / f"{name}.html").read_text() for name in ("whole", "left"))
    assert re.search(r'<img[^>]*src="_images/\w+\.png"', whole)
    assert "noise</" not in whole
    assert "built without the data set mnist" not in whole
    assert "<img" not in left
    assert "built without the data set mnist" in left


def test_recordings_in_the_format_of_shd_will_do_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    needs = {"metadata": {"izhi": {"data": "shd"}}}
    assert data_at_hand.lacking(needs) == "shd"
    assert data_at_hand.lacking({"metadata": {}}) is None
    (tmp_path / "words").mkdir()
    for part in ("train", "test"):
        (tmp_path / "words" / f"words_{part}.h5").touch()
    assert data_at_hand.lacking(needs) is None
