"""The explorer in a real browser: each page, each kind of control, no error in the console, wide and narrow."""

import re
import shutil
import subprocess
import sys

import pytest

from served import draw_one

pytestmark = pytest.mark.slow

#: Left edge and width of the axes of each figure of v or u.
FRAMES = """() => [...Bokeh.index.roots].filter((view) => /-[vu]$/.test(view.model.name))
  .map((view) => [view.el.getBoundingClientRect().left + view.frame.bbox.left, view.frame.bbox.width])"""
STEPS = """k => {
  const once = [...document.querySelectorAll("#draw button")].find((x) => x.textContent === "One step")
  for (; k; k--) once.click()
}"""
NUMBER = re.compile(r"(\d+) spikes?")


@pytest.fixture(scope="module")
def address(runs, tmp_path_factory):
    evil = runs / "<img src=x onerror=alert(1)>"
    shutil.copytree(runs / "learned", evil)
    math = runs / r"$$\href{javascript:alert(2)}{x}$$"
    shutil.copytree(runs / "learned", math)
    (math / "metrics.csv").write_text("damaged")  # the page names it with its problem
    command = [sys.executable, "-m", "izhi", "explore", str(runs), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path_factory.mktemp("here"))
    line = process.stdout.readline()
    yield re.search(r"http://\S+/", line)[0]
    process.kill()
    process.wait()
    shutil.rmtree(evil)
    shutil.rmtree(math)


@pytest.fixture(params=[1400, 1000, 400])
def page(request, browser, address):
    """The explorer, whose console must stay empty, and which must not be wider than the window."""
    width = request.param
    page = browser.new_page(viewport={"width": width, "height": 1000})
    page.set_default_timeout(120_000)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}") or dialog.dismiss())
    page.on("request", lambda one: asked.append(one.url))
    page.goto(address)
    page.locator("body[data-ready][data-plays]").wait_for()
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []
    assert all(url.startswith(address) or url.startswith(("data:", "blob:")) for url in asked), asked
    page.close()


def status(page, name):
    """How many spikes a neuron has."""
    return int(NUMBER.search(text(page, f"{name}-status"))[1])


def text(page, name):
    """Of a part of the page; the tree of Bokeh's elements has it in shadow roots."""
    return page.evaluate("name => Bokeh.documents[0].get_model_by_name(name).text", name)


def write(page, title, value):
    """Into a field."""
    field = page.locator(".bk-input-group").filter(has_text=title).locator("input")
    field.fill(value)
    field.press("Enter")


def until(page, expression, argument=None):
    page.wait_for_function(expression, arg=argument)


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def point(page, neuron):
    """Where the moving point of a phase plane is."""
    data = "name => { const { x, y } = Bokeh.documents[0].get_model_by_name(name).data; return [x[0], y[0]] }"
    return page.evaluate(data, f"{neuron}-point")


def test_neurons(page):
    assert [status(page, name) for name in ("biological", "normalised", "LIF")] == [7, 41, 20]
    before = status(page, "biological")
    handle = page.get_by_role("slider", name="I (mV/ms)")
    handle.focus()
    for _ in range(12):
        page.keyboard.press("PageUp")
    until(page, "n => !Bokeh.documents[0].get_model_by_name('biological-status').text.includes(`>${n} spikes`)", before)
    assert status(page, "biological") > before
    picture = page.get_by_role("button", name="rebound burst")
    picture.focus()
    page.keyboard.press("Enter")
    assert picture.get_attribute("aria-pressed") == "true"
    assert page.get_by_role("button", name="RS", exact=True).get_attribute("aria-pressed") == "false"
    until(page, "() => Bokeh.documents[0].get_model_by_name('biological-lines').text.includes('rebound burst')")
    assert status(page, "biological") == 7
    page.get_by_role("button", name="adlif").click()
    until(page, "() => Bokeh.documents[0].get_model_by_name('normalised-lines').text.includes('adlif')")
    assert status(page, "normalised") == 0
    page.locator("select[name='normalised-order']").select_option("snntorch")
    until(page, "() => Bokeh.documents[0].get_model_by_name('normalised-lines').text.includes('snntorch')")
    duration = page.get_by_role("slider", name="duration (ms, or steps)")
    duration.focus()
    page.keyboard.press("End")
    until(page, "() => Bokeh.documents[0].get_model_by_name('LIF-lines').text.includes('torch.zeros(1000')")


@pytest.mark.parametrize("page", [1000], indirect=True)
def test_every_slider_moves_its_neuron(page):
    text_of = "n => Bokeh.documents[0].get_model_by_name(n + '-lines').text"
    lines = f"() => ['biological', 'normalised', 'resonator', 'LIF'].map({text_of}).join()"
    handles = page.locator(".noUi-handle:visible")
    assert handles.count() == 1 + 5 + 4 + 3 + 5
    names = {handle.get_attribute("aria-label") for handle in handles.all()}
    assert names > {"duration (ms, or steps)", "a (1/ms)", "ω (per step)", "1 − r", "β", "threshold", "I", "d"}
    for k in range(handles.count()):
        before = page.evaluate(lines)
        handles.nth(k).focus()
        page.keyboard.press("ArrowRight")
        until(page, f"before => ({lines})() != before", before)


@pytest.mark.parametrize("page", [1000], indirect=True)
def test_play_moves_the_point_without_the_server(page):
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    page.reload()
    page.locator("body[data-ready][data-plays]").wait_for()
    assert point(page, "biological") == [-70, -14]
    page.get_by_role("button", name="Play").click()
    opened = len(sent)
    seen = []
    for _ in range(6):
        page.wait_for_timeout(300)
        seen.append(point(page, "biological"))
    assert len({tuple(one) for one in seen}) >= 4
    assert all(None not in point(page, name) for name in ("normalised", "resonator", "LIF"))
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(100)
    stopped = point(page, "biological")
    page.wait_for_timeout(300)
    assert point(page, "biological") == stopped
    assert len(sent) <= opened + 1, "besides a sign of life"
    time = page.get_by_role("slider", name="time")
    time.focus()
    page.keyboard.press("End")
    assert page.locator("#clock").inner_text() == "300"
    last = "() => { const x = Bokeh.documents[0].get_model_by_name('LIF-trace').data; return x.plane_x.at(-1) }"
    assert point(page, "LIF")[0] == page.evaluate(last)


def test_planes_are_above_the_fold_and_axes_in_line(page):
    width = page.viewport_size["width"]
    frames = page.evaluate(FRAMES)
    assert len(frames) == 7
    for left, wide in frames:
        assert left == pytest.approx(frames[0][0], abs=1)
        assert wide == pytest.approx(frames[0][1], abs=1)
    if width == 1400:
        box = page.locator(".plane").first.bounding_box()
        assert box["y"] + box["height"] < 900
        assert page.locator(".controls").first.bounding_box()["y"] == box["y"]


@pytest.mark.parametrize("page", [1000], indirect=True)
def test_tabs_by_keyboard(page):
    page.get_by_role("tab", name="Neuron").focus()
    for key, name in (("ArrowRight", "Draw"), ("End", "Devices"), ("ArrowRight", "Neuron"), ("ArrowLeft", "Devices"),
                      ("Home", "Neuron")):  # fmt: skip
        page.keyboard.press(key)
        chosen = page.get_by_role("tab", selected=True)
        assert chosen.inner_text() == name
        assert chosen.evaluate("x => x === document.activeElement")
        panels = page.get_by_role("tabpanel")
        assert panels.count() == 1
        assert panels.get_attribute("aria-labelledby") == f"tab-{name.lower()}"
    outline = page.get_by_role("tab", name="Neuron").evaluate("x => getComputedStyle(x).outlineStyle")
    assert outline == "solid"


@pytest.mark.parametrize("page", [1000], indirect=True)
def test_a_drawn_digit_has_spikes_and_an_answer(page):
    tab(page, "Draw")
    page.get_by_role("button", name="Clear").click()
    page.locator(".pad").scroll_into_view_if_needed()
    draw_one(page)
    until(page, "() => [...document.querySelectorAll('#draw .answer')].every(x => x.textContent === '1')")
    page.get_by_role("button", name="Pause").click()
    drawn = """x => { const { width, height } = x
        return x.getContext("2d").getImageData(0, 0, width, height).data.filter((a, k) => k % 4 == 3 && a).length }"""
    for raster in page.locator("#draw .raster").all():
        assert raster.evaluate(drawn) > 50
    page.get_by_role("button", name="recorded 7").click()
    for _ in range(25):
        page.get_by_role("button", name="One step").click()
    assert page.locator("#draw .answer").all_inner_texts() == ["7", "7"]
    assert page.locator("#draw .truth").all_inner_texts() == ["it is 7", "it is 7"]


@pytest.mark.parametrize("page", [1000], indirect=True)
def test_recordings_are_read(page):
    tab(page, "Draw")
    page.get_by_role("button", name="Pause").click()
    waves = ("P", "PQ", "QR", "RS", "ST", "TP")
    for task, recording, steps, expected in (
        ("Activities", "lying", 128, ("lying",)), ("Spoken digits", "two", 50, ("two",)),
        ("Heartbeats", "recording 1", 200, waves),
    ):  # fmt: skip
        page.get_by_role("button", name=task).click()
        page.get_by_role("button", name=recording, exact=True).click()
        page.evaluate(STEPS, steps)
        answer = page.locator("#draw .answer").inner_text()
        assert answer in expected
    assert int(re.search(r"(\d+) % of steps right", page.locator("#draw .truth").inner_text())[1]) > 50


@pytest.mark.parametrize("page", [1400], indirect=True)
def test_light_and_dark(page):
    def seen():
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        model = "Bokeh.documents[0].get_model_by_name('biological-v')"
        return sum(map(int, re.findall(r"\d+", background)[:3])), page.evaluate(
            f"{model}.below[0].axis_label_text_color"
        )

    light = seen()
    page.emulate_media(color_scheme="dark")
    until(page, "() => Bokeh.documents[0].get_model_by_name('biological-v').below[0].axis_label_text_color > '#d'")
    dark = seen()
    assert light[0] > 700 > 150 > dark[0]
    assert light[1] < "#4" < "#d" < dark[1]
    for side, paper in ((light, 1.0), (dark, 0.0)):
        assert _contrast(side[1], paper) > 7
    page.emulate_media(color_scheme="light")
    until(page, "() => Bokeh.documents[0].get_model_by_name('biological-v').below[0].axis_label_text_color < '#4'")


def _contrast(colour, paper):
    """The contrast of a colour on white (1), or on the dark page (0), by WCAG."""
    levels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in levels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    both = sorted([luminance, paper or 0.009])
    return (both[1] + 0.05) / (both[0] + 0.05)


def test_runs(page):
    tab(page, "Runs")
    rows = page.locator(".slick-row")
    rows.first.wait_for()
    assert page.evaluate("Bokeh.documents[0].get_model_by_name('curves').children[0].title.text.text").startswith(
        "all runs"
    )
    figure = page.locator("#runs .bk-Figure").first.bounding_box()
    assert figure["y"] + figure["height"] < rows.first.bounding_box()["y"]
    assert rows.count() == 8
    page.get_by_text("$$").first.wait_for()
    assert page.locator("mjx-container, a[href^=javascript]").count() == 0
    assert page.locator(".slick-row img").count() == 0  # a run's name is text
    write(page, "only runs of these settings", "command=x")
    page.get_by_text("unknown setting 'command'").wait_for()
    height = "() => Bokeh.documents[0].get_model_by_name('curves').children[0].height"
    of_all = page.evaluate(height)
    write(page, "only runs of these settings", "readout=spikes,weight_bits=none")
    until(page, "() => Bokeh.documents[0].get_model_by_name('runs').data.run.length == 4")
    until(page, f"of_all => ({height})() < of_all", of_all)  # the figure follows the list
    of_four = page.evaluate(height)
    for count, name in enumerate(("both/lif/seed-0", "both/normalized/seed-0"), 1):
        rows.filter(has_text=name).locator("input").check()
        page.get_by_text(f"Chosen: {count} run").wait_for()
        assert page.evaluate(height) == of_four  # or the list would move under the pointer
    for name, count in (("lif/seed-1", 3), ("normalized/seed-1", 4), ("lif/seed-1", 3), ("lif/seed-1", 4)):
        rows.filter(has_text=name).click(position={"x": 100, "y": 10})  # anywhere in the row
        until(page, f"() => Bokeh.documents[0].get_model_by_name('runs').selected.indices.length == {count}")
    page.get_by_text("what differs").wait_for()
    of_two_seeds = "<tr>(<td>[^<]*</td>)+<td class=number>2</td>"
    spread = "pattern => Bokeh.documents[0].get_model_by_name('runs-spread').text.match(RegExp(pattern, 'g'))?.length"
    until(page, f"pattern => ({spread})(pattern) == 2", of_two_seeds)  # two neurons; each click is answered in its turn
    assert "standard deviation" in text(page, "runs-spread")
    write(page, "only runs of these settings", "")
    until(page, "() => Bokeh.documents[0].get_model_by_name('runs').data.run.length == 8")
    page.get_by_text("read the folder again").first.click()
    page.locator("select[name=run]").select_option("learned")
    write(page, "test sample", "3")
    write(page, "neurons, such as", "0,5")
    page.get_by_text("run the sample").click()
    page.get_by_text("what the neurons learned").wait_for()
    assert "answer: <b>" in text(page, "sample-answer")
    assert "firing class" in text(page, "learned")
    labels = (
        "() => [...Bokeh.documents[0]._all_models.values()].filter(m => m.type == 'LegendItem').map(m => m.label.value)"
    )
    assert {"neuron 0", "neuron 5"} <= {*page.evaluate(labels)}
    write(page, "layer whose v is drawn", "2")
    page.get_by_text("run the sample").click()
    page.get_by_text("layer is 2, expected 1 to 1").wait_for()
    write(page, "layer whose v is drawn", "1")
    write(page, "neurons, such as", "99")
    page.get_by_text("run the sample").click()
    page.get_by_text("neurons names 99, expected 0 to 11").wait_for()


@pytest.mark.parametrize("page", [1000], indirect=True)
def test_devices(page):
    tab(page, "Devices")
    page.get_by_text("read it", exact=True).click()
    page.get_by_text("weight bits").wait_for()
    assert "64 – 12 – 10, T = 8" in text(page, "formats")
    write(page, "test vector", "1")
    page.get_by_text("run the vector on every device").click()
    page.get_by_text("spikes that differ").wait_for()
    found = re.findall(r"<tr><td>(\w+)</td><td>(\w+)</td>(.*?)</tr>", text(page, "agreement"))
    assert [name for name, *_ in found] == ["emulator", "simulator"]
    assert found[0][1] == found[1][1]
    for _, _, numbers in found:
        _, different, same, cycles = re.findall(r">([^<]+)</td>", numbers)
        assert (different, same) == ("0", "yes")
    assert int(cycles.replace(",", "")) > 8
    page.get_by_text("read the folder again").last.click()
