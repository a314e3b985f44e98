"""Networks as WebAssembly: every score, spike and state is that of the integer model."""

import json
from dataclasses import replace

import numpy as np
import pytest
from emulated import Module
from test_c_programs import NETWORKS, STEPS, an_artifact, sample

from izhi import cli
from izhi.errors import DeviceError
from izhi.hardware import artifact, fixed
from izhi.hardware.c import webassembly
from izhi.hardware.c.network import CNetwork
from served import served
from tiers import slow_but

pytestmark = pytest.mark.skipif(not webassembly.compiler(), reason="no C compiler for WebAssembly is installed")

SOME = ["izhikevich", "recurrent, synapses, delays"]


@pytest.mark.parametrize("name", slow_but(SOME, NETWORKS))
def test_every_score_spike_and_state_is_that_of_the_integer_model(name):
    network, spikes = sample(name, batch=3)
    c = CNetwork(network, STEPS)
    module = Module(webassembly.compiled(c))
    expected = fixed.run(network, spikes, trace=True)
    for b in range(spikes.shape[1]):
        scores, fired, states = module.run(network, c.score_bits, spikes[:, b])
        wanted = expected.scores[b, -1] if network.reads == "steps" else expected.scores[b]
        assert np.array_equal(scores, wanted)
        for k in range(len(network.layers)):
            assert np.array_equal(fired[k], expected.spikes[k][:, b])
            assert np.array_equal(states[k], expected.trace.states[k][:, :, b])


def test_a_network_without_samples_is_described():
    network, spikes = sample("izhikevich", batch=3)
    made = an_artifact(network, spikes)
    without = replace(made, test_inputs=made.test_inputs[:, :0], test_scores=made.test_scores[:0])
    about = webassembly.description(without)
    assert about == {**webassembly.description(made), "golden": []}
    formats = network.layers[0].neuron.formats
    assert about["layers"][0]["states"] == {name: formats[name].fraction for name in ("v", "u")}


def test_wide_scores_have_64_bits():
    network, spikes = sample("a readout alone", batch=1)
    network = replace(network, readout=replace(network.readout, bias=network.readout.bias + (1 << 40)))
    c = CNetwork(network, STEPS)
    assert c.score_bits == 64
    scores, _, _ = Module(webassembly.compiled(c)).run(network, 64, spikes[:, 0])
    assert np.array_equal(scores, fixed.run(network, spikes).scores[0])
    assert scores.min() > 1 << 32


@pytest.fixture
def exported(tmp_path):
    network, spikes = sample("recurrent, synapses, delays")
    file = tmp_path / "network.izhi"
    artifact.save(an_artifact(network, spikes), file)
    return file


def test_the_command_writes_a_folder_for_browsers(exported, capsys):
    folder = exported.parent / "page"
    listed = exported.parent / "files.json"
    assert cli.main(["export", str(exported), "--target", "wasm", "--out", str(folder), "--json", str(listed)]) == 0
    names = {"network.wasm", "network.json", "network.js", "index.html"}
    assert {file.name for file in folder.iterdir()} == names == set(json.loads(listed.read_text())["files"])
    about = json.loads((folder / "network.json").read_text())
    assert (about["steps"], about["score_bits"], len(about["golden"])) == (STEPS, 32, 3)
    assert [layer["neurons"] for layer in about["layers"]] == [
        x.outputs for x in artifact.load(exported).network.layers
    ]
    assert f"python -m http.server -d {folder}" in capsys.readouterr().out
    assert cli.main(["export", str(exported), "--target", "wasm", "--samples", "3", "--out", str(folder)]) == 2
    assert "--samples is of artifacts" in capsys.readouterr().err


def test_a_machine_without_a_compiler_is_told_what_to_install(exported, monkeypatch, capsys):
    monkeypatch.setattr(webassembly, "compiler", lambda: None)
    folder = exported.parent / "page"
    assert cli.main(["export", str(exported), "--target", "wasm", "--out", str(folder)]) == 2
    assert capsys.readouterr().err == (
        "izhi: no C compiler for WebAssembly is installed, expected clang with wasm-ld; install them, or pip install"
        " ziglang\n"
    )
    assert not folder.exists()


def test_a_compiler_that_fails_is_quoted(monkeypatch):
    network, _ = sample("izhikevich")
    monkeypatch.setattr(webassembly, "compiler", lambda: ["sh", "-c", "echo no such machine >&2; exit 1"])
    with pytest.raises(DeviceError, match="sh cannot compile the network: no such machine"):
        webassembly.compiled(CNetwork(network, STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_checks_its_samples_in_a_browser(exported, browser, width):
    folder = exported.parent / "page"
    webassembly.write(artifact.load_integers(exported), folder)
    about = json.loads((folder / "network.json").read_text())
    for wrong in (0, 1):
        about["golden"][1]["scores"][0] = str(int(about["golden"][1]["scores"][0]) + wrong)
        (folder / "network.json").write_text(json.dumps(about))
        with served(folder) as address:
            page = browser.new_page(viewport={"width": width, "height": 800})
            said = []
            page.on("console", lambda one, said=said: said.append(one.text) if one.type != "log" else None)
            page.on("pageerror", lambda one, said=said: said.append(str(one)))
            page.goto(f"{address}/index.html")
            page.get_by_text(f"3 samples, {wrong} scores differ").wait_for()
            assert page.get_by_role("row").count() == 4
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert said == []
            page.close()


@pytest.mark.slow
def test_the_page_says_that_it_needs_a_server(exported, browser):
    folder = exported.parent / "page"
    webassembly.write(artifact.load_integers(exported), folder)
    page = browser.new_page()
    page.goto((folder / "index.html").as_uri())
    page.get_by_text("Browsers load networks from a web server only, such as: python -m http.server").wait_for()
    page.close()
