"""What other libraries make of our files, and we of theirs, in the libraries themselves; and the table in the docs.

They are in an environment of their own, since they want other versions of nir. ``make test`` makes it, and names its
Python in IZHI_NIR.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import izhi
import izhi.nir
from izhi.connections import AxonalDelay, Conv2d, ExponentialSynapse, Linear
from izhi.errors import ExchangeError
from izhi.exchange.conventions import LIBRARIES
from izhi.network import Layer, Network

PYTHON = os.environ.get("IZHI_NIR") or None
DOCUMENT = Path(__file__).parents[2] / "docs" / "nir.md"
CASES = ("lif-zero", "lif-subtract", "cuba-lif", "recurrent", "delay", "conv", "pooling")
#: Libraries, and those whose neurons are made to fire once in a step.
ROWS = [(name, False) for name in LIBRARIES] + [(name, True) for name, x in LIBRARIES.items() if x.counts]
#: What the library's own networks of a case do after a spike, where its files do not say.
RESETS = {"lif-zero": "zero", "conv": "zero"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="IZHI_NIR names no Python with the other libraries; make test makes one"),
]


class Libraries:
    """The libraries, each in a process of its own that answers one command after another."""

    def __init__(self):
        self._running = {}

    def __call__(self, library, *words):
        if library not in self._running:
            script = Path(__file__).with_name("library.py")
            self._running[library] = subprocess.Popen(
                [PYTHON, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        process = self._running[library]
        process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        process.stdin.flush()
        status, message = json.loads(process.stdout.readline())
        return status, message

    def close(self):
        for process in self._running.values():
            process.stdin.close()
            process.wait()


@pytest.fixture(scope="module")
def libraries():
    found = Libraries()
    yield found
    found.close()


def strong(inputs, outputs, times=3, **options):
    found = Linear(inputs, outputs, **options)
    with torch.no_grad():
        found.weight.mul_(times)
    return found


def network_of(case, library, *, fires_once):
    """Our network of a case: with what the library's neurons do after a spike, where it has but one way."""
    torch.manual_seed(0)
    subtracts = case == "lif-subtract" or (fires_once and library.name == "rockpool" and case != "lif-zero")
    reset = {"reset": ("soft" if library.counts else "subtract") if subtracts else "zero"}

    def neuron(beta=0.9, threshold=0.4):
        return izhi.LIF(beta, threshold, **reset)

    # Rockpool reads no LIF without a synapse.
    has_synapse = case == "cuba-lif" or (case == "recurrent" and library.name == "rockpool")
    synapse = {"synapse": ExponentialSynapse(5, filters_bias=True)} if has_synapse else {}
    if case == "conv":
        return Network([
            nn.Unflatten(1, (1, 8, 8)), Layer(Conv2d(1, 4, 3, padding=1), neuron(threshold=0.3)),
            Layer(Conv2d(4, 4, 3, stride=2), neuron(threshold=0.2)), nn.Flatten(), Layer(strong(36, 10), neuron()),
        ])  # fmt: skip
    if case == "pooling":
        return Network([
            nn.Unflatten(1, (1, 8, 8)), Layer(Conv2d(1, 4, 3, padding=1), neuron(threshold=0.3)), nn.AvgPool2d(2),
            nn.Flatten(), Layer(strong(64, 10), neuron()),
        ])  # fmt: skip
    delay = AxonalDelay(10, 7) if case == "delay" else None
    connection = strong(10, 10, recurrent=case == "recurrent", **synapse)
    return Network([Layer(connection, neuron(), delay), Layer(strong(10, 10, **synapse), neuron(0.8))])


def shape_of(case):
    return (1, 8, 8) if case in ("conv", "pooling") else (10,)


def exported(libraries, name, case, once, folder):
    """Spikes that differ, of 2,400, where the library runs our file; or a word for why there is none."""
    library = LIBRARIES[name]
    network = network_of(case, library, fires_once=once).eval()
    try:
        izhi.nir.write(network, folder / "ours.nir", library=name, single_spike=once)
    except ExchangeError as error:
        return "refused", str(error)
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(60, 4, *shape_of(case), generator=generator) < 0.3).float()
    np.save(folder / "input.npy", x.numpy())
    with torch.no_grad():
        wanted = network(x.flatten(2)).output.numpy()
    assert 0.02 < wanted.mean() < 0.8, (name, case)
    resets = ["--resets"] if case != "lif-subtract" else []
    words = [
        "run",
        name,
        folder / "ours.nir",
        folder / "input.npy",
        folder / "output.npy",
        *(["--single-spike", *resets] if once else []),
    ]
    status, message = libraries(name, *words)
    if status:
        return "error", message
    found = np.load(folder / "output.npy").reshape(wanted.shape)
    return int((found != wanted).sum()), ""


def imported(libraries, name, case, once, folder):
    """Spikes that differ, of 2,400, where we run the file of the library's own network; or why there is none."""
    library = LIBRARIES[name]
    options = ["--single-spike"] if once else []
    if (name, case) == ("snntorch", "lif-subtract"):
        options = ["--defaults"]  # which is how its users have it
    status, message = libraries(name, "make", name, case, folder, *options)
    if status:
        return "none", message
    reset = "subtract" if case == "lif-subtract" else None
    if library.counts:
        reset = RESETS.get(case, "subtract") if once else None
    try:
        network = izhi.nir.read(folder / "network.nir", library=name, reset=reset).eval()
    except ExchangeError as error:
        return "refused", str(error)
    x, wanted = np.load(folder / "input.npy"), np.load(folder / "output.npy")
    with torch.no_grad():
        found = network(torch.from_numpy(x).flatten(2)).output.numpy()
    assert wanted.mean() > 0.02, library
    return int((found != wanted.reshape(found.shape)).sum()), ""


def test_no_library_gets_or_gives_other_spikes_in_silence(libraries, tmp_path):
    lines, reasons = [], []
    for direction, way in (("export", exported), ("import", imported)):
        for name, once in ROWS:
            cells = []
            for case in CASES:
                folder = tmp_path / direction / f"{name}-{once}" / case
                folder.mkdir(parents=True)
                found, reason = way(libraries, name, case, once, folder)
                cells.append(str(found))
                reasons.append(f"{direction} {name} {once} {case}: {found} {reason}")
            title = f"{name}, made to fire once" if once else name
            lines.append(f"| {direction} | {title} | {' | '.join(cells)} |")
    print("\n".join(reasons))
    print("\n".join(lines))
    for line in lines:
        assert line in DOCUMENT.read_text(), line
    assert all(set(cell.strip() for cell in line.split("|")[3:-1]) <= {"0", "refused", "none"} for line in lines)
