"""Runs of an earlier release give the files that it made of them: artifacts byte for byte, files of NIR as graphs."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from izhi.experiments import export, trained

RELEASE = Path(__file__).parents[1] / "fixtures" / "release"


def entries(path):
    """The arrays of an artifact as bytes, and its manifest without its provenance."""
    with zipfile.ZipFile(path) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist() if name != "manifest.npy"}
    with np.load(path) as file:
        manifest = json.loads(file["manifest"].tobytes())
    return arrays, {name: value for name, value in manifest.items() if name != "provenance"}


@pytest.mark.parametrize("name", sorted(path.stem for path in RELEASE.glob("*.izhi")))
def test_artifacts_are_those_of_the_release(name, tmp_path):
    artifact = export.artifact(RELEASE / f"{name}-4-bit")
    artifact.save(tmp_path / "network.izhi")
    arrays, manifest = entries(tmp_path / "network.izhi")
    expected, of_release = entries(RELEASE / f"{name}.izhi")
    assert arrays.keys() == expected.keys()
    assert [key for key in expected if arrays[key] != expected[key]] == []
    assert manifest == of_release


def same(one, other):
    """Whether two trees of a graph hold the same arrays, but for who wrote them."""
    if isinstance(one, dict):
        keys = one.keys() - {"written_by"}
        return keys == other.keys() - {"written_by"} and all(same(one[key], other[key]) for key in keys)
    return np.array_equal(one, other)


@pytest.mark.parametrize("name", sorted(path.stem for path in RELEASE.glob("*.nir") if "golden" not in path.stem))
@pytest.mark.filterwarnings("ignore::izhi.errors.LossWarning")
def test_graphs_are_those_of_the_release(name, tmp_path):
    pytest.importorskip("nir")
    from izhi.exchange.reader import tree_of
    from izhi.exchange.writer import write

    write(trained.load(RELEASE / name).network.eval(), tmp_path / "network.nir")
    assert same(tree_of(tmp_path / "network.nir"), tree_of(RELEASE / f"{name}.nir"))
