"""The driver with PYNQ's own classes, off the board: driver → DMA and registers → the core → spikes."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import handoff
import numpy as np
import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi.errors import DeviceError
from izhi.hardware import artifact, devices as board, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import description, larger, shape_of
from izhi.hardware.core.compile import cpp_compiler, library

STEPS = 10
PYNQ = os.environ.get("IZHI_PYNQ") or None


def an_artifact(network, spikes):
    scores = fixed.run(network, spikes).scores
    classes = tuple(map(str, range(scores.shape[1])))
    return IntegerArtifact(network, STEPS, classes, {}, {}, spikes, scores)


@pytest.mark.slow
@pytest.mark.skipif(PYNQ is None, reason="IZHI_PYNQ names no Python with pynq; make test makes one")
@pytest.mark.skipif(cpp_compiler() is None, reason="no C++ compiler is installed")
def test_the_driver_on_pynqs_own_classes(tmp_path):
    network, other = random_network(1), random_network(2, sizes=(10, 8, 5))
    shape = larger(shape_of(network, STEPS, lanes=4, units=2), [12, 9, 6])
    (tmp_path / "core.json").write_text(description.to_json(shape))
    shutil.copy(library(shape), tmp_path / "core.so")
    (tmp_path / "izhi.bit").touch()
    (tmp_path / "izhi.hwh").write_text(handoff.hwh("ultra96v2"))
    spikes = random_spikes(3, STEPS, 5, 12)
    spikes[..., 10:] = 0
    artifact.save(an_artifact(network, spikes), tmp_path / "network.izhi")
    pairs = zip(other.layers, network.layers, strict=True)
    layers = [replace(x, shift=like.shift) for x, like in pairs]
    layers[0] = replace(layers[0], weight=np.pad(layers[0].weight, ((0, 0), (0, 2))))
    padded = fixed.IntegerNetwork(tuple(layers))
    artifact.save(an_artifact(padded, spikes), tmp_path / "other.izhi")
    np.savez(tmp_path / "spikes.npz", spikes=spikes)
    here = Path(__file__).parent
    source = here.parents[2] / "src"
    done = subprocess.run(
        [PYNQ, "-W", "ignore", str(here / "on_pynq.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "equal: 5 samples" in done.stdout


def test_without_pynq_the_error_says_what_is_missing():
    network, spikes = random_network(1), random_spikes(3, STEPS, 2, 12)
    with pytest.raises(DeviceError, match="the package pynq is not installed, expected a board"):
        board.open("pynq", an_artifact(network, spikes))
