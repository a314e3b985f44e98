"""The explorer in a real browser: each page, each kind of control, no error in the console, wide and narrow."""

import re
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

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


@pytest.fixture(params=[1400, 400])
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
    page.get_by_role("heading", name="biological").wait_for()
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


def test_neurons(page):
    assert [status(page, name) for name in ("biological", "normalised", "LIF")] == [7, 41, 20]
    before = status(page, "biological")
    # The last slider of the first neuron is its current.
    handle = page.locator(".noUi-handle").nth(5)
    handle.focus()
    for _ in range(12):
        page.keyboard.press("PageUp")
    until(page, "n => !Bokeh.documents[0].get_model_by_name('biological-status').text.includes(`>${n} spikes`)", before)
    assert status(page, "biological") > before
    page.locator("select[name='biological-preset']").select_option("rebound burst")
    until(page, "() => Bokeh.documents[0].get_model_by_name('biological-lines').text.includes('rebound burst')")
    assert status(page, "biological") == 7
    page.locator("select[name='normalised-preset']").select_option("adlif")
    until(page, "() => Bokeh.documents[0].get_model_by_name('normalised-lines').text.includes('adlif')")
    assert status(page, "normalised") == 0
    page.locator("select[name='normalised-order']").select_option("snntorch")
    until(page, "() => Bokeh.documents[0].get_model_by_name('normalised-lines').text.includes('snntorch')")
    duration = page.locator(".noUi-handle").first
    duration.focus()
    page.keyboard.press("End")
    until(page, "() => Bokeh.documents[0].get_model_by_name('LIF-lines').text.includes('torch.zeros(1000')")


def test_every_slider_moves_its_neuron(page):
    text_of = "n => Bokeh.documents[0].get_model_by_name(n + '-lines').text"
    lines = f"() => ['biological', 'normalised', 'LIF'].map({text_of}).join()"
    handles = page.locator(".noUi-handle:visible")
    assert handles.count() == 1 + 5 + 5 + 3
    for k in range(handles.count()):
        before = page.evaluate(lines)
        handles.nth(k).focus()
        page.keyboard.press("ArrowRight")
        until(page, f"before => ({lines})() != before", before)


def test_runs(page):
    page.get_by_text("Runs", exact=True).click()
    rows = page.locator(".slick-row")
    rows.first.wait_for()
    assert rows.count() == 8
    page.get_by_text("$$").first.wait_for()
    assert page.locator("mjx-container, a[href^=javascript]").count() == 0
    assert page.locator(".slick-row img").count() == 0  # a run's name is text
    write(page, "only runs of these settings", "command=x")
    page.get_by_text("unknown setting 'command'").wait_for()
    write(page, "only runs of these settings", "readout=spikes,weight_bits=none")
    until(page, "() => Bokeh.documents[0].get_model_by_name('runs').data.run.length == 4")
    for name in ("both/lif/seed-0", "both/normalized/seed-0"):
        rows.filter(has_text=name).locator("input").check()
    for name, count in (("lif/seed-1", 3), ("normalized/seed-1", 4), ("lif/seed-1", 3), ("lif/seed-1", 4)):
        rows.filter(has_text=name).click(position={"x": 100, "y": 10})  # anywhere in the row
        until(page, f"() => Bokeh.documents[0].get_model_by_name('runs').selected.indices.length == {count}")
    page.get_by_text("what differs").wait_for()
    assert "standard deviation" in text(page, "runs-spread")
    assert text(page, "runs-spread").count("<tr>") == 3  # two neurons, over their seeds
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


def test_devices(page):
    page.get_by_text("Devices", exact=True).click()
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
