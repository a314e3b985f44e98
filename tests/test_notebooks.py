"""Every notebook is executed, in a folder of its own, and says what it says without noise."""

from pathlib import Path

import data_at_hand
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def outputs_of(notebook, folder):
    """What the cells of a notebook give."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check(outputs):
    """Figures, and neither warnings nor bars of progress."""
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(figures) >= 3
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert [output for output in outputs if "text/html" in output.get("data", {})] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
    # Here simulated cores run for longer than it takes to compile them.
    monkeypatch.setenv("CXXFLAGS", "-O1")
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "commit notebooks without outputs"
    if (name := data_at_hand.lacking(notebook)) is not None:
        pytest.skip(f"the data set {name} is not at hand: IZHI_DATA names no folder that has it")
    check(outputs_of(notebook, tmp_path))


@pytest.mark.slow
def test_mnist_runs_on_digits_where_nothing_can_be_downloaded(tmp_path):
    notebook = nbformat.read(NOTEBOOKS[0].with_name("mnist.ipynb"), as_version=4)
    chosen = next(cell for cell in notebook.cells if 'DATA = "mnist"' in cell.source)
    chosen.source = chosen.source.replace('DATA = "mnist"', 'DATA = "digits"')
    check(outputs_of(notebook, tmp_path))
