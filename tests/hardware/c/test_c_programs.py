"""Networks as C: every score and spike is that of the integer model, and compilers and sanitizers have no complaint."""

import itertools
import os
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from izhi import board, cli
from izhi.errors import SettingError, ShapeError
from izhi.hardware import artifact, c, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.c.network import CNetwork
from izhi.hardware.c.text import packed
from networks import convolutional_network, random_network, random_spikes, with_windows
from tiers import slow_but

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed")
STEPS = 12
TRACE = fixed.FixedPoint(14, 4)


def an_artifact(network, spikes, count=3):
    tests = np.ascontiguousarray(spikes[:, :count])
    scores = fixed.run(network, tests).scores
    return IntegerArtifact(network, len(spikes), tuple(map(str, range(scores.shape[-1]))), {}, {}, tests, scores)


NETWORKS = {
    "izhikevich": lambda: (random_network(1), 1),
    "lif": lambda: (random_network(1, kind="lif"), 1),
    "lif-zero": lambda: (random_network(1, kind="lif-zero"), 1),
    "lif-soft": lambda: (random_network(1, kind="lif-soft", bits=3, readout=True), 1),
    "lif-value": lambda: (random_network(0, kind="lif-value", bits=8, recurrent=True), 1),
    "recurrent, synapses, delays": lambda: (
        random_network(6, recurrent=True, synapse=TRACE, delay=5, readout=True, bits=5), 1
    ),
    "delays longer than a sample": lambda: (random_network(7, delay=40, bits=6), 1),
    "levels": lambda: (random_network(8, bits=7, kind="lif"), 255),
    "convolutions": lambda: (convolutional_network(9), 1),
    "convolutions, strides, synapses, delays": lambda: (
        convolutional_network(
            10, (2, 12, 12), kind="lif", first="max", then="sum", kernel=(3, 2), stride=(2, 1), readout=False,
            synapse=TRACE, delay=3,
        ),
        3,
    ),
    "a readout alone": lambda: (replace(random_network(12, (12, 12, 5), readout=True), layers=()), 3),
    "windows": lambda: (with_windows(random_network(11, (32, 24, 5)), (2, 4, 4)), 1),
    "membrane": lambda: (random_network(3, readout=True, membrane=TRACE), 1),
    "membrane, last": lambda: (random_network(4, readout=True, membrane=fixed.FixedPoint(20, 5), reads="last"), 1),
    "membrane, maxima": lambda: (random_network(5, readout=True, membrane=TRACE, reads="max"), 1),
    "membrane, steps": lambda: (random_network(6, readout=True, membrane=TRACE, reads="steps"), 1),
    "spikes, steps": lambda: (random_network(7, reads="steps"), 1),
}  # fmt: skip


def sample(name, batch=6):
    network, most = NETWORKS[name]()
    return network, random_spikes(1, STEPS, batch, network.inputs, most=most)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_score_and_spike_is_that_of_the_integer_model(name):
    network, spikes = sample(name)
    expected = fixed.run(network, spikes)
    with board.open("c", an_artifact(network, spikes)) as device:
        for batch in (spikes, spikes[:, ::-1]):  # nothing is left of the samples before
            wanted = fixed.run(network, batch)
            outcome = device.run(batch, sends_spikes=True)
            assert np.array_equal(outcome.scores, wanted.scores)
            for a, b in zip(outcome.spikes, wanted.spikes, strict=True):
                assert np.array_equal(a, b)
        assert device.counters.inferences == 2 * spikes.shape[1]
    assert all(0 < one.mean() < 1 for one in expected.spikes[:1])
    assert network.layers or expected.scores.any()


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", slow_but(["izhikevich"], NETWORKS))
def test_the_folder_compiles_without_a_warning_and_checks_itself(name, compiler, tmp_path):
    network, spikes = sample(name)
    written = c.write(an_artifact(network, spikes), tmp_path)
    sources = [str(path) for path in written if path.suffix == ".c"]
    strict = ["-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-fsanitize=undefined,address"]
    build = [compiler, "-std=c99", "-O1", *strict, "-fno-sanitize-recover=all"]
    subprocess.run([*build, *sources, "-o", tmp_path / "program"], check=True)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "3 samples, 0 scores differ\n"), done.stderr
    golden = tmp_path / "golden.c"
    text = golden.read_text()
    first = re.search(r"scores\[\d+\] = \{\n    (-?\d+)", text)
    golden.write_text(text[: first.start(1)] + str(int(first[1]) + 1) + text[first.end(1) :])
    subprocess.run([compiler, "-std=c99", *sources, "-o", tmp_path / "program"], check=True)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "3 samples, 1 scores differ\n")


def test_make_checks_the_program(tmp_path):
    network, spikes = sample("izhikevich")
    c.write(an_artifact(network, spikes), tmp_path)
    done = subprocess.run(["make", "-C", tmp_path, "-s"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "3 samples, 0 scores differ" in done.stdout


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_are_packed_at_their_bits(bits):
    half = 1 << (bits - 1)
    weight = np.random.default_rng(bits).integers(-half, half, (5, 9))
    row = -(-9 * bits // 8)
    data = packed(weight, bits)
    assert len(data) == 5 * row + 1
    for i, j in itertools.product(range(5), range(9)):
        word = int.from_bytes(data[i * row : (i + 1) * row].tobytes(), "little") >> (j * bits)
        assert ((word & (2 * half - 1)) ^ half) - half == weight[i, j]


def test_inputs_that_fire_mostly_are_all_visited():
    network, spikes = sample("izhikevich")
    few, many = CNetwork(network, STEPS, [0.1, 0.1]).source, CNetwork(network, STEPS, [0.9, 0.1]).source
    assert "add_products" not in few
    assert many.count("add_products(sum_1") == 1
    assert many.count("add_events(sum_2") == 1
    with board.open("c", an_artifact(network, spikes)) as device:
        dense = np.ones_like(spikes)
        assert np.array_equal(device.run(dense).scores, fixed.run(network, dense).scores)


def test_what_all_neurons_share_is_written_once():
    network, _ = sample("izhikevich")
    layer = network.layers[0]
    same = {name: np.full_like(x, x[0]) for name, x in layer.neuron.values.items()}
    shared = replace(layer, neuron=layer.neuron.with_values(same), multiplier=np.full_like(layer.multiplier, 5))
    lean = CNetwork(replace(network, layers=(shared, *network.layers[1:])), STEPS)
    whole = CNetwork(network, STEPS)
    saved = 8 * 4 * len(layer.neuron.operations.constants)
    assert whole.flash - lean.flash > saved
    by_channel = CNetwork(convolutional_network(9), STEPS).source
    assert re.search(r"constant_1 \+ j / \d+ \* \d+", by_channel)


def test_sizes_are_those_of_the_compiled_program(tmp_path):
    if shutil.which("size") is None:
        pytest.skip("size of binutils is not installed")
    network, _ = sample("recurrent, synapses, delays")
    made = CNetwork(network, STEPS)
    for name, text in made.texts.items():
        (tmp_path / name).write_text(text)
    command = [COMPILERS[0], "-std=c99", "-Os", "-c", "network.c", "-o", "network.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run(["size", "-A", tmp_path / "network.o"], capture_output=True, text=True, check=True).stdout
    sections = {x.split()[0]: int(x.split()[1]) for x in printed.splitlines() if x.startswith((".rodata", ".bss"))}
    assert made.ram <= sections[".bss"] <= 1.3 * made.ram + 256  # arrays begin at multiples of 32 bytes
    assert made.flash <= sum(x for name, x in sections.items() if name.startswith(".rodata")) <= 1.3 * made.flash + 512


def test_new_weights_are_compiled():
    network, spikes = sample("lif")
    with board.open("c", an_artifact(network, spikes)) as device:
        weight = -network.layers[0].weight.clip(-7)
        device.write_weights(0, weight)
        expected = fixed.run(network.with_weights(0, weight), spikes)
        assert np.array_equal(device.run(spikes).scores, expected.scores)
        assert not np.array_equal(expected.scores, fixed.run(network, spikes).scores)
        assert device.run(spikes[:5]).scores.tolist() == fixed.run(device.network, spikes[:5]).scores.tolist()
        with pytest.raises(ShapeError, match="a sample has 24 steps, but the program is compiled for 12"):
            device.run(np.concatenate([spikes, spikes]))


def test_the_least_and_largest_numbers(tmp_path):
    """Constants and scores at the ends of 32 and of 64 bits."""
    network, spikes = sample("a readout alone")
    least = -(2**31)
    readout = replace(network.readout, bias=np.array([least, -least - 1, 0, 1]), multiplier=np.full(4, 2**20))
    made = an_artifact(replace(network, readout=readout), spikes)
    assert made.test_scores.min() < 8 * least
    with board.open("c", made) as device:
        assert np.array_equal(device.run(spikes).scores, fixed.run(made.network, spikes).scores)
    c.write(made, tmp_path)
    assert subprocess.run(["make", "-C", tmp_path, "-s"]).returncode == 0


def test_errors(monkeypatch):
    network, spikes = sample("izhikevich")
    made = an_artifact(network, spikes)
    with pytest.raises(SettingError, match="the artifact has no golden samples"):
        c.write(an_artifact(network, spikes, 0), None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(SettingError, match="no C compiler is installed, expected cc, gcc or clang"):
        board.open("c", made)


def test_izhi_export_and_run(tmp_path, capsys):
    network, spikes = sample("recurrent, synapses, delays")
    file = tmp_path / "network.izhi"
    artifact.save(an_artifact(network, spikes), file)
    assert cli.main(["export", str(file), "--target", "c", "--out", str(tmp_path / "program")]) == 0
    printed = capsys.readouterr().out
    assert f"| weights and constants (flash) | {CNetwork(network, STEPS).flash:,} bytes" in printed
    assert subprocess.run(["make", "-C", tmp_path / "program", "-s"]).returncode == 0
    assert cli.main(["run", str(file), "--device", "c", "--compare"]) == 0
    assert " 0 different from the integer model" in capsys.readouterr().out
    assert cli.main(["export", str(file), "--target", "c", "--samples", "3"]) == 2
    assert "--samples is of artifacts" in capsys.readouterr().err
    assert not (tmp_path / "network").exists()
