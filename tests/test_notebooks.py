"""Every notebook is executed, in a folder of its own, and says what it says without noise."""

from pathlib import Path

import data_at_hand
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
#: What the longest trainings are cut down to, where they are not asked for whole.
SHORTER = {
    "delays_and_speech": {"EPOCHS = 128, 12": "EPOCHS = 128, 3"},
    "learned_dynamics": {"epochs=40": "epochs=10", "epochs=15": "epochs=4"},
    "memory": {"TRAIN, EPOCHS = 4_000, 4": "TRAIN, EPOCHS = 1_000, 1"},
    "mnist": {"TRAIN, EPOCHS = 10_000, 3": "TRAIN, EPOCHS = 2_000, 2"},
}
WHOLE = [
    pytest.param(path, {}, id=f"{path.stem}, whole", marks=pytest.mark.long)
    for path in NOTEBOOKS
    if path.stem in SHORTER
]


def replace(notebook, changes):
    """Write one thing for another in a notebook's cells, which must have it."""
    for old, new in changes.items():
        changed = [cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source]
        assert changed, f"no cell has {old!r}"
        for cell in changed:
            cell.source = cell.source.replace(old, new)


def outputs_of(notebook, folder):
    """What the cells of a notebook give."""
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=resources, shutdown_kernel="immediate"
    )
    client.execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check(outputs):
    """Figures, and neither warnings nor bars of progress."""
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(figures) >= 3
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert [output for output in outputs if "text/html" in output.get("data", {})] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "changes"), [*(pytest.param(path, SHORTER.get(path.stem, {}), id=path.stem) for path in NOTEBOOKS), *WHOLE]
)
def test_runs(path, changes, tmp_path, monkeypatch):
    # Here simulated cores run for longer than it takes to compile them.
    monkeypatch.setenv("CXXFLAGS", "-O1")
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "commit notebooks without outputs"
    if (name := data_at_hand.lacking(notebook)) is not None:
        pytest.skip(f"the data set {name} is not at hand: IZHI_DATA names no folder that has it")
    replace(notebook, changes)
    check(outputs_of(notebook, tmp_path))


@pytest.mark.slow
def test_mnist_runs_on_digits_where_nothing_can_be_downloaded(tmp_path):
    notebook = nbformat.read(NOTEBOOKS[0].with_name("mnist.ipynb"), as_version=4)
    replace(notebook, {'DATA = "mnist"': 'DATA = "digits"', "1_200, 15": "1_200, 5"})
    check(outputs_of(notebook, tmp_path))
