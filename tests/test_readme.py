"""The README's Python examples run, one after another, as a reader would type them."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import izhi
from izhi.connections import Linear
from izhi.network import Layer, Network

README = Path(__file__).parents[1] / "README.md"


def test_python_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["spikes"].sum() > 0
    assert names["output"].shape == (25, 32, 10)
    assert isinstance(names["output"], torch.Tensor)


@pytest.mark.parametrize(
    "name",
    [
        "architecture.md", "experiments.md", "index.md", "interface.md", "neurons.md", "nir.md", "nir-proposal.md",
        "snntorch.md", "speed.md",
    ],
)  # fmt: skip
def test_python_examples_of_pages_run(name, tmp_path, monkeypatch):
    path = README.parent / "docs" / name
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
        exec(compile(block, str(path), "exec"), names)
    assert names


@pytest.mark.slow
@pytest.mark.parametrize("libraries", ["snntorch", "all"])
def test_pairs_of_examples_of_other_libraries_give_the_same_spikes(libraries, tmp_path):
    """All of them by the Python that has Norse and SpikingJelly; those of snnTorch by ours."""
    text = (README.parent / "docs" / "coming-from.md").read_text()
    python = sys.executable if libraries == "snntorch" else os.environ.get("IZHI_NIR")
    if python is None:
        pytest.skip("IZHI_NIR names no Python with the other libraries; make test makes one")
    if libraries == "snntorch":
        text = re.sub(r"^## (Norse|SpikingJelly)\n.*?(?=^## )", "", text, flags=re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = "import warnings\nwarnings.simplefilter('ignore')\n" + "\n".join(blocks)
    path = os.pathsep.join([str(README.parent / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["tensor(0)"] * (1 if libraries == "snntorch" else 4)


def test_the_table_of_gradients_is_what_its_example_prints(capsys):
    """Numbers to a decade: without a limit they explode, with one they do not."""
    text = (README.parent / "docs" / "gradients.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "gradients.md", "exec"), {})
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = [line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| \d+ \| \d", line)]
    assert [row[0] for row in table] == [row[0] for row in printed] == ["5", "10", "20", "40", "80", "160"]
    for wanted, found in zip(table, printed, strict=True):
        for a, b in zip(wanted[1:], found[1:], strict=True):
            assert abs(math.log10(float(a) / float(b))) < 1
    assert float(printed[-1][1]) > 1e4 > 1 > float(printed[-1][2])


@pytest.mark.parametrize("name", ["event-orders.md", "integer-arithmetic.md", "kernels.md"])
def test_python_examples_print_what_stands_below_them(name, capsys):
    """A block of text is what the block of Python before it prints, to the last character."""
    path = README.parent / "docs" / name
    if name == "integer-arithmetic.md":
        pytest.importorskip("brevitas", reason="brevitas is not installed; pip install '.[quantize]'")
    names: dict[str, object] = {}
    printed, compared = "", 0
    for kind, block in re.findall(r"```(python|text)\n(.*?)```", path.read_text(), re.DOTALL):
        if kind == "python":
            exec(compile(block, str(path), "exec"), names)
            printed = capsys.readouterr().out
        else:
            assert printed == block
            compared += 1
    assert compared == {"event-orders.md": 4, "integer-arithmetic.md": 2, "kernels.md": 1}[name]


def test_the_table_of_orders_is_that_of_the_program():
    """Presets by their order, and the orders' own fields."""
    text = (README.parent / "docs" / "event-orders.md").read_text()
    found = {row[0].strip("`"): row[1:] for row in rows_of(text) if row[0].strip("`") in izhi.ORDERS}
    assert list(found) == list(izhi.ORDERS)
    for name, (looks_at, reset, rests, steps, driven_by, presets) in found.items():
        order = izhi.ORDERS[name]
        assert looks_at == order.spike_on
        assert reset == order.reset
        assert rests == ("yes" if order.rests else "no")
        assert steps == str(order.substeps)
        assert driven_by == order.u_from
        named = [x for x in re.findall(r"`([\w-]+)`", presets) if x in izhi.PRESETS]
        assert [x for x in named if izhi.PRESETS[x].order != name] == []
        assert bool(named) == (name in ("fpga-ip", "izhikevich", "snntorch"))
    patterns = {izhi.PATTERNS[name].parameters.order for name in izhi.PATTERNS}
    assert (patterns, izhi.snntorch.DEFAULT.order) == ({"izhikevich-2004"}, "snntorch")


def rows_of(text):
    """The cells of each row of a page's tables."""
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line.startswith("| ")
    ]


def test_reasons_on_the_page_of_kernels_are_those_that_kernels_give():
    folder = README.parent / "src" / "izhi"
    sources = "".join(path.read_text() for path in [*(folder / "kernels").rglob("*.py"), *folder.glob("network/*.py")])
    text = (README.parent / "docs" / "kernels.md").read_text()
    said = re.findall(r"`((?:it|its|torch|so|inputs|sums|recurrence|Triton|not) [a-z][^`]+)`", text)
    assert len(said) >= 12
    for reason in said:
        # The names of devices and formats are those of the call.
        words = re.sub(r" (?:mps|bfloat16)\b.*", "", reason) if "float32" not in reason else reason
        assert words in sources, reason


def test_python_examples_of_the_library_run(tmp_path, monkeypatch, capsys):
    path = README.parent / "docs" / "library.md"
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
        exec(compile(block, str(path), "exec"), names)
    accuracy, score, r_squared = map(float, capsys.readouterr().out.split())
    assert accuracy > 0.8
    assert score > 0.5
    assert r_squared > 0.3
    assert names["network"].neurons(784) == [16 * 24 * 24, 16 * 12 * 12, 128]
    progress = names["trainer"].fit(
        Network([Layer(Linear(8, 32), izhi.LIF())], readout=Linear(32, 3)), names["data"]
    )  # fmt: skip
    assert len(progress.history) == 3
    assert (tmp_path / "run.pt").exists()


@pytest.mark.parametrize("name", ["own-loop", "zoo", "sensor-to-fpga"])
def test_python_examples_of_a_page_run(name, tmp_path, monkeypatch):
    path = README.parent / "docs" / f"{name}.md"
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
    for block in blocks:
        exec(compile(block, str(path), "exec"), names)
    assert blocks
    if name == "own-loop":
        assert names["v"].shape == (100, 16, 8)


def test_files_that_it_links_are_there():
    for link in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        if not link.startswith("http"):
            assert README.parent.joinpath(link).exists(), link
