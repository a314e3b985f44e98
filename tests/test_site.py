"""The site of the documentation: it is built without a warning, and its reference says all that the program has."""

import subprocess
import sys
from pathlib import Path

import generated
import plain_docstrings
import pytest

from izhi.cli.parser import COMMANDS
from izhi.experiments.settings import FIELDS

ROOT = Path(__file__).parents[1]


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


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="sphinx is not installed; pip install 'izhi[docs]'")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", "docs", ".", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in ("index", "docs/index", "docs/reference/commands", "docs/reference/api/izhi", "notebooks/training"):
        assert (tmp_path / f"{page}.html").stat().st_size > 100
    text = (tmp_path / "docs" / "reference" / "api" / "izhi.html").read_text()
    assert "A layer of leaky integrate-and-fire neurons." in text
