"""The page where a visitor draws a digit: what networks answer there, and that it fits a screen."""

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from izhi import data, encoding, zoo
from izhi.hardware import artifact
from izhi.hardware.c import webassembly
from served import draw_one, served

DOCS = Path(__file__).parents[1] / "docs"
WEB = DOCS.parent / "src/izhi/explorer/web"
NETWORKS = ("lif", "izhikevich")
#: Networks of the zoo that the page has.
ZOO = ("ecg", "activities", "spoken-digits")
#: As the site's theme, whose colours the page takes.
COLOURS = "primary: #0a7d91; --pst-color-border: #c9ced6; --pst-color-text-base: #222832; --pst-color-surface: #f3f4f5"
#: Scores of samples, whose spikes are bits in base64.
RUN = """async ([folder, samples]) => {
    const { Network } = await import("/_static/network.js");
    const network = await Network.load(new URL(folder, location.origin));
    network.input_bits = 1;
    return samples.map((inputs) => {
        network.reset();
        for (const x of network.stepsOf({ inputs })) network.step(x);
        return [...network.scores.map(Number), network.answer];
    });
}"""


@pytest.mark.parametrize("name", [*NETWORKS, *ZOO])
def test_the_programs_of_the_page_are_those_of_its_networks(name):
    made = zoo.load(name).artifact if name in ZOO else artifact.load_integers(WEB / "draw" / name / "network.izhi")
    about = json.loads((WEB / "draw" / name / "network.json").read_text())
    assert about == {**json.loads(json.dumps(webassembly.description(made))), "score_bits": about["score_bits"]}


@pytest.mark.parametrize("name", ["digits", *ZOO])
def test_recordings_are_those_of_the_zoo(name):
    written = json.loads((WEB / "draw" / "recordings" / f"{name}.json").read_text())
    known = zoo.load("mnist-lif" if name == "digits" else name)
    inputs, labels = known.samples()
    assert written["licence"] == known.card.licence
    at_hand = [one for one in written["samples"] if one["number"] < len(labels)]
    assert at_hand
    for one in at_hand:
        sent = np.frombuffer(base64.b64decode(one["inputs"]), np.uint8)
        sent = np.unpackbits(sent, bitorder="little") if written["input_bits"] == 1 else sent
        expected = inputs[:, one["number"]].ravel()
        assert np.array_equal(sent[: len(expected)], expected)
        label = np.frombuffer(base64.b64decode(one["labels"]), np.int8)
        assert np.array_equal(label, np.atleast_1d(labels[one["number"]]))
    if labels.ndim == 1:
        classes = [np.frombuffer(base64.b64decode(one["labels"]), np.int8)[0] for one in written["samples"]]
        assert classes == list(range(len(known.classes)))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page with what the site has around it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(WEB, site / "_static")
    shutil.copytree(DOCS.parent / "src/izhi/hardware/c/web", site / "_static", dirs_exist_ok=True)
    (site / "docs").mkdir()
    body = re.search(r"```\{raw\} html\n(.*?)```", (DOCS / "draw.md").read_text(), re.DOTALL)[1]
    head = '<!doctype html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
    (site / "docs" / "draw.html").write_text(f"{head}<style>:root {{ --pst-color-{COLOURS} }}</style>{body}")
    with served(site) as found:
        yield found


@pytest.fixture(params=[400, 1400])
def page(request, browser, address):
    """The page, whose console must stay empty, and which must not be wider than the window."""
    page = browser.new_page(viewport={"width": request.param, "height": 1000})
    said = []
    page.on("console", lambda one: said.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda one: said.append(str(one)))
    page.goto(f"{address}/docs/draw.html")
    page.locator("#draw[data-ready]").wait_for(state="attached")
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= request.param
    assert said == []
    page.close()


def answers(page, steps):
    """What the networks answer after so many steps more."""
    page.get_by_role("button", name="One step").evaluate("(button, k) => { for (; k; k--) button.click() }", steps)
    return page.locator(".answer").all_inner_texts()


@pytest.mark.slow
def test_written_digits_are_read(page):
    page.get_by_role("button", name="Pause").click()
    right = 0
    for digit in range(10):
        page.get_by_role("button", name=f"write a {digit}").click()
        found = answers(page, 50)  # the second 25 steps see this digit alone
        right += found.count(str(digit))
        assert page.get_by_role("status").inner_text() == f"LIF: {found[0]}, Izhikevich: {found[1]}"
    assert right >= 18
    drawn = (
        "x => x.getContext('2d').getImageData(0, 0, x.width, x.height).data.filter((a, k) => k % 4 == 3 && a).length"
    )
    assert all(canvas.evaluate(drawn) > 50 for canvas in page.locator("#draw .raster, #draw .traces").all())
    page.get_by_role("button", name="Clear").click()
    assert answers(page, 50) == ["–", "–"]


@pytest.mark.slow
def test_a_stroke_is_seen(page):
    page.get_by_role("button", name="Clear").click()
    draw_one(page)
    page.get_by_role("button", name="Pause").click()
    assert answers(page, 50) == ["1", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_thousand_images_have_the_scores_of_the_integer_model(name, browser, address, monkeypatch, real_data):
    monkeypatch.setenv("IZHI_DATA", str(real_data))
    made = artifact.load_integers(WEB / "draw" / name / "network.izhi")
    images, labels = data.load("mnist").test.batch(slice(0, 1000))
    spikes = encoding.rate(images, made.steps, seed=1).numpy().astype(np.uint8)
    scores = made.run(spikes).scores
    bits = np.packbits(spikes.transpose(1, 0, 2).reshape(1000, -1), axis=1, bitorder="little")
    page = browser.new_page()
    page.goto(f"{address}/docs/draw.html")
    sent = [base64.b64encode(one.tobytes()).decode() for one in bits]
    found = np.array(page.evaluate(RUN, [f"/_static/draw/{name}/", sent]))
    page.close()
    assert np.array_equal(found[:, :-1], scores)
    assert np.array_equal(found[:, -1], scores.argmax(1))
    assert (found[:, -1] == labels.numpy()).mean() > 0.95
