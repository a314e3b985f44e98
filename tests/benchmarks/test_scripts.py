"""Every script of benchmarks/ runs, on networks and data of the smallest sizes."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import forking
from izhi import cli
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.c import webassembly
from networks import random_network, random_spikes

pytestmark = pytest.mark.usefixtures("forked_processes")

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
DOCS = SCRIPTS.parent / "docs" / "results"
TESTED = (
    "ablation_figure",
    "baselines",
    "brf",
    "conventional",
    "convolutions",
    "defaults",
    "drawing",
    "enough_training",
    "event_orders_figure",
    "executors",
    "explorer",
    "first_minutes",
    "full_size",
    "gpu",
    "gpu_kernels",
    "gpu_launches",
    "gpu_page",
    "home_figures",
    "house",
    "long_sequences",
    "mutants",
    "orders_in_integers",
    "other_libraries",
    "own_loop",
    "own_neurons",
    "own_neurons_on_core",
    "resonators_figure",
    "results",
    "snntorch_loop",
    "snntorch_tutorials",
    "speed_figure",
    "state_quant",
    "turns",
    "zoo",
)


@pytest.fixture
def own_processes(forked_processes, monkeypatch):
    """For scripts that compile by Triton, which forked processes have imported as an interpreter."""
    monkeypatch.setattr(subprocess, "Popen", forking.RealPopen)


def run(script, *arguments):
    """What a script prints."""
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{script}.py", *map(str, arguments)],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_a_test_for_each():
    assert sorted(path.stem for path in SCRIPTS.glob("*.py")) == sorted(TESTED)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium is installed")
def test_explorer():
    said = run("explorer", "--moves", 2)
    assert len(re.findall(r"^\S+ +median +[\d.]+ ms.* of 2$", said, re.M)) == 4


@pytest.mark.slow
def test_baselines(tmp_path):
    said = run("baselines", "iris", "memory-copy:100", "--json", tmp_path / "found.json")
    iris, copy = json.loads((tmp_path / "found.json").read_text())
    assert iris["guessing"] == pytest.approx(1 / 3, abs=0.02)
    assert min(iris["linear"], iris["nearest"]) > 0.85
    assert copy["classes"] == 8
    assert max(copy["guessing"], copy["linear"], copy["nearest"]) < 0.16, "its symbols cannot be told from a step"
    assert "memory-copy:100                8 " in said


#: A study of two variants on two tasks, whose training takes a second.
STUDY = """
trials = 2
seeds = [0, 1]
search = "learning_rate=5e-3..2e-2"
[settings]
hidden = [16]
readout = "current"
validation = 0.2
train_samples = 200
epochs = 2
batch_size = 32
steps = 100
[variants."LIF"]
neuron = "lif"
[variants."resonators"]
neuron = "resonator"
[tasks.match]
dataset = "memory-match:100"
[tasks.copy]
dataset = "memory-copy:100"
loss = "step"
readout = "membrane"
"""


@pytest.mark.slow
def test_enough_training(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    said = run("enough_training", tmp_path / "study.toml", "--times", "1,4", "--variants", "resonators")
    rows = re.findall(r"^\| (\w+) \| 2 \| resonators \| ([\d.]+) \| ([\d.]+) \| \d+ \|$", said, re.M)
    assert [task for task, *_ in rows] == ["match", "copy"]
    assert all(0 < float(x) <= 100 for _, *each in rows for x in each)
    for words, message in (
        (["--variants", "tiger"], "unknown variant 'tiger'"),
        (["--trial", "2"], "trial is 2, expected 0 to 1"),
        (["--times", "x"], "could not convert string to float: 'x'"),
        (["--tasks", "tiger"], "unknown task 'tiger'"),
    ):
        command = [sys.executable, SCRIPTS / "enough_training.py", tmp_path / "study.toml", *words]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=180)
        assert (done.returncode, message in done.stderr.splitlines()[-1]) == (2, True), done.stderr


@pytest.mark.slow
def test_conventional(tmp_path):
    protocol, folder = tmp_path / "study.toml", tmp_path / "rows"
    protocol.write_text(STUDY)
    assert cli.main(["study", str(protocol), "--out", str(folder), "--quiet"]) == 0
    said = run("conventional", folder, protocol)
    study = [json.loads(line) for line in (folder / "match.jsonl").read_text().splitlines()]
    most = next(x["parameters"] for x in study if x["kind"] == "run" and x["variant"] == "resonators")
    found = json.loads((folder / "conventional" / "match.json").read_text())
    for name, row in found.items():
        assert row["parameters"] <= most, name
        assert len(row["validation"]) == 2, "as many trials as the study has"
        assert len(row["test"]) == 2, "one of each seed"
    assert len(re.findall(r"^\| (match|copy) \| (GRU|TCN) \| [\d,]+ \|", said, re.M)) == 4
    command = [sys.executable, SCRIPTS / "conventional.py", folder, protocol, "--like", "tiger"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stdout) == (2, "")
    assert "match.jsonl holds no run of 'tiger'; run the study first" in done.stderr.splitlines()[-1]
    kept = (folder / "conventional" / "match.json").read_bytes()
    assert run("conventional", folder, protocol) == said, "finished rows are read"
    assert (folder / "conventional" / "match.json").read_bytes() == kept


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium is installed")
@pytest.mark.skipif(not webassembly.compiler(), reason="no C compiler for WebAssembly is installed")
def test_drawing():
    said = run("drawing", "speed")
    found = re.findall(
        r"^784-(\d+)-10: .* lif (\d+) µs, izhikevich (\d+) µs;.* ([\d.]+) ms; [\d.]+ frames a second", said, re.M
    )
    assert [hidden for hidden, *_ in found] == ["128", "512"]


@pytest.mark.slow
def test_convolutions():
    said = run("convolutions", "--densities", "0.1", "--rounds", 1, "--images", 50, "--samples", 2)
    rows = re.findall(r"^\| \d+C\d → \d+ on (\d+) × \1 \| 0.1 \|(.*)\|$", said, re.M)
    assert len(rows) == 4
    assert all(float(number) > 0 for _, row in rows for number in row.split("|"))
    assert "network of NIR's paper | " in said or "N-MNIST is not here" in said
    for densities in ("x", "1.5"):
        command = [sys.executable, str(SCRIPTS / "convolutions.py"), "--densities", densities]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        assert done.returncode == 2
        assert f"argument --densities: invalid shares value: '{densities}'" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_long_sequences_have_the_numbers_of_a_loop():
    size = ("--width", 24, "--steps", 40, "--batch", 6, "--rounds", 1, "--repeats", 1)
    said = run("long_sequences", *size, "--ways", "float32,bfloat16,online,loop")
    rows = re.findall(r"^\| ([a-z ]+) \| (\w+) \| (\w+) \| .*\| ([\d.]+) \| ([\d.]+) \|$", said, re.M)
    assert len(rows) == 16
    for network, neuron in {row[:2] for row in rows}:
        loss, gradients = np.array([row[3:] for row in rows if row[:2] == (network, neuron)], float).T
        in_float32, _, online, loop = range(4)
        assert loss[[online, loop]] == pytest.approx(loss[in_float32], rel=1e-5)
        assert gradients[loop] == pytest.approx(gradients[in_float32], rel=1e-4)
    command = [sys.executable, str(SCRIPTS / "long_sequences.py"), "--neurons", "lif"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 2
    assert "--neurons: 'lif' is none of resonators, balanced" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_own_loop():
    said = run("own_loop", "--steps", 3, "--rounds", 1, "--repeats", 2)
    rows = re.findall(r"^\| (\w+) \| [\d.]+ \| [\d.]+ \| ([\d,]+) \| [\d,]+ \|$", said, re.M)
    assert [way for way, _ in rows] == ["plain", "kept", "fresh", "trainer", "dropout"]


@pytest.mark.long
@pytest.mark.skipif(not (shutil.which("clang++") or shutil.which("g++")), reason="no C++ compiler is installed")
def test_first_minutes():
    compare = "compare --dataset iris --neurons lif --seeds 0 --epochs 1 --quiet"
    said = run("first_minutes", "--compare", compare, "--train=--epochs 1 --steps 8 --hidden 6")
    rows = dict(re.findall(r"^\| (.+) \| ([\d.]+) \|$", said, re.M))
    assert len(rows) == 9
    assert float(rows["own recordings on the simulated core, all commands so far"]) > 0


def test_first_minutes_need_an_interpreter():
    command = [sys.executable, SCRIPTS / "first_minutes.py", "--python", "/none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "python is '/none', expected an interpreter that has Izhi" in done.stderr


@pytest.mark.slow
def test_defaults(tmp_path):
    said = run("defaults", "iris", "--seeds", "0,1", "--neurons", "lif", "--json", tmp_path / "found.json")
    [found] = json.loads((tmp_path / "found.json").read_text())
    assert [len(found[name]) for name in ("lif", "izhi train", "before", "SVC")] == [2, 2, 2, 2]
    assert min(found["izhi train"]) > max(found["before"])
    assert said.count("| iris | ") == 2


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler is installed")
def test_orders_in_integers():
    words = ["--dataset", "iris", "--hidden", 6, "--epochs", 1, "--samples", 10, "--orders", "s2nn,snntorch"]
    said = run("orders_in_integers", *words, "--neurons", "biological,resonator")
    assert (
        len(re.findall(r"^\| \S+ \| \S+ \| value \| [\d.]+ % \| [\d.]+ % \| [\d,]+ spikes, 0.* \|$", said, re.M)) == 3
    )
    assert "| resonator | s2nn | value | izhi: order is 's2nn', whose half steps change a resonator's frequency" in said


@pytest.mark.slow
def test_zoo(tmp_path):
    (tmp_path / "networks.toml").write_text("""
[flowers]
about = "flowers"
licence = "none"
limits = "three kinds"
seeds = [3, 4]
weights = 4
states = 16
core = false
""")
    (tmp_path / "flowers.toml").write_text('dataset = "iris"\nhidden = [16]\nepochs = 3\nbatch_size = 16\n')
    words = ("--settings", tmp_path, "--build", tmp_path / "build", "--networks", tmp_path / "out")
    assert "izhi quantize" in run("zoo", *words)
    found = json.loads((tmp_path / "out" / "flowers" / "card.json").read_text())
    assert found["seeds"] == [3, 4]
    assert found["layers"] == [16, 3]
    assert found["cycles"] is None
    for file, digest in found["files"].items():
        path = tmp_path / "out" / "flowers" / file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    # What is finished is not trained again.
    assert "izhi " not in run("zoo", *words)


@pytest.mark.slow
def test_ablation_figure(tmp_path):
    rows = [
        {"label": label, "test_accuracy": [x, x + 0.01], "mean": x + 0.005}
        for label, x in (("nothing", 0.9), ("a1", 0.91), ("all", 0.92))
    ]
    comparison, figure = tmp_path / "comparison.json", tmp_path / "ablation.png"
    comparison.write_text(json.dumps({"rows": rows}))
    run("ablation_figure", comparison, comparison, figure)
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_brf(real_data):
    if not Path(real_data, "brf").is_dir():
        pytest.skip("IZHI_DATA has no folder brf/ with published weights")
    printed = run("brf", "psmnist", "--images", 3, "--integers", 2, "--batch", 2)
    names = [line.strip("| ").split(" | ")[0] for line in printed.splitlines() if line.startswith("| ")]
    of_integers = ["network", "float32", "8-bit weights in torch", "integers"]
    assert names == ["evaluation", "plain torch", "Izhi", *of_integers, *of_integers]
    assert "in double precision 0 of their spikes differ\n" in printed
    assert printed.count("spikes that differ between torch and integers: 0\n") == 2


@pytest.mark.slow
def test_event_orders_figure(tmp_path):
    run("event_orders_figure", tmp_path / "orders.png")
    assert (tmp_path / "orders.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_home_figures(tmp_path):
    """Both are well formed and say in words what they show; the page has what the script draws."""
    run("home_figures", tmp_path)
    for name in ("home-digit.svg", "home-patterns.svg"):
        drawn, kept = ((folder / name).read_text() for folder in (tmp_path, SCRIPTS.parent / "docs"))
        root = ElementTree.fromstring(drawn)
        assert root.get("aria-label")
        assert root.get("role") == "img"
        assert len(drawn) < 50_000
        words = [[x.text for x in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
                 for text in (drawn, kept)]  # fmt: skip
        assert words[0] == words[1]


@pytest.mark.slow
def test_speed_figure(tmp_path):
    results = SCRIPTS.parent / "docs" / "results" / "benchmarks" / "amd-epyc-2-threads.json"
    run("speed_figure", results, tmp_path / "speed.pdf")
    assert (tmp_path / "speed.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_resonators_figure(tmp_path):
    run("resonators_figure", tmp_path / "resonators.png")
    assert (tmp_path / "resonators.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize(("name", "recordings"), [("nmnist", 600), ("shd", 82), ("stmnist", 56)])
def test_full_size(name, recordings):
    table = run("full_size", name, "--shares", "0.01").splitlines()
    assert len(table) == 3
    assert table[2].startswith(f"| {name} | {recordings} | ")
    assert table[2].count("|") == table[0].count("|")


@pytest.mark.slow
def test_gpu_kernels(tmp_path, own_processes):
    pytest.importorskip("triton")
    rows = tmp_path / "rows.json"
    said = run("gpu_kernels", "--cases", "one", "--targets", "sm_90,gfx942", "--json", rows)
    assert len(json.loads(rows.read_text())) == 4
    assert said.count("| `recurrence.") == 4
    assert run("gpu_kernels", "--table", rows) == said


@pytest.mark.slow
def test_gpu(tmp_path):
    pytest.importorskip("triton")
    said = run("gpu", "--small", "--out", tmp_path)
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert {x["outcome"] for x in report["checks"]} <= {"passed", "skipped"}
    assert len(report["checks"]) == 8
    assert {x["library"] for x in report["times"]} >= {"Izhi LIF", "Izhi Izhikevich", "snnTorch"}
    # Of the others, those that are installed run too.
    assert all(reason.startswith("ModuleNotFoundError") for reason in report["missing"].values()), report["missing"]
    assert (tmp_path / "gpu.md").read_text() + "\n" == said
    assert said.count("| passed |") >= 5


@pytest.mark.slow
def test_gpu_launches(own_processes):
    pytest.importorskip("triton")
    rows = [line.strip("| ").split(" | ") for line in run("gpu_launches").splitlines()]
    networks, kernels = [[row for row in rows if len(row) == n and row[1].isdigit()] for n in (5, 4)]
    assert {row[3] for row in networks} == {row[4] for row in networks} == {"0"}
    launches = {row[0]: int(row[1]) for row in networks}
    assert launches.pop("Izhikevich, recurrent") == 11  # not one for each of its time steps
    assert set(launches.values()) == {8}
    assert {"`recurrence.forward`", "`samples.forward`", "`samples.backward`"} < {row[0] for row in kernels}
    # Of Triton's kernels with tens of arguments; a busy machine makes both slower.
    assert all(float(row[3]) < float(row[2]) for row in kernels if int(row[1]) > 40)


@pytest.mark.slow
def test_gpu_page(tmp_path, own_processes):
    pytest.importorskip("triton")
    row = {"kernel": "recurrence.forward", "case": "a", "shared": 0, "spills": 0, "registers": 48}
    for name, targets in (("one", ["sm_90"]), ("two", ["sm_90", "gfx942"])):
        (tmp_path / f"{name}.json").write_text(json.dumps([{**row, "target": target} for target in targets]))
    page = tmp_path / "gpu.md"
    run("gpu_page", tmp_path / "one.json", tmp_path / "two.json", "--out", page)
    text = page.read_text()
    assert text.count("| 1 | 48 to 48 |") == 2
    assert "Estimates, not measurements" in text
    shown, written = (re.findall(r"^#+ .*", x, re.M) for x in (text, (DOCS / "gpu.md").read_text()))
    assert shown == written


@pytest.mark.slow
def test_house():
    report = run("house").splitlines()
    counts = {line[:32].strip(): line[32:].strip() for line in report}
    assert int(counts["lines"].replace(",", "")) > 10_000
    assert len(run("house", "--list", "files over 400 lines").splitlines()) == int(counts["files over 400 lines"])
    assert int(counts["rooms"]) >= 3


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_other_libraries(tmp_path):
    """snnTorch's part; the other library is in the environment of tests/exchange, where the table is made."""
    random = np.random.default_rng(0)
    values = {name: random.random((size, 784), np.float32) for name, size in (("train", 256), ("test", 30))}
    labels = {f"{name}_labels": random.integers(0, 10, len(x)) for name, x in values.items()}
    np.savez(tmp_path / "mnist.npz", **values, **labels)
    said = run("other_libraries", "snntorch", "--out", tmp_path, "--epochs", "1", "--samples", "8")
    assert ", 0 different here" in said
    assert "of 30 test samples" in said
    command = next(line for line in said.splitlines() if line.startswith("izhi nir import"))
    assert (tmp_path / "snntorch.nir").exists()
    assert cli.parser.parser().parse_args(command.split()[1:]).action == "import"
    with np.load(tmp_path / "snntorch.npz") as arrays:
        assert arrays["spikes"].shape == (25, 8, 10)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_own_neurons():
    printed = run("own_neurons", "--turns", "2", "--steps", "2", "--neurons", "parametric_lif").splitlines()
    assert re.fullmatch(r"T = +2  parametric_lif .* ms, loop +[\d.]+ ms: [\d.]+ \([\d.]+ … [\d.]+\) times", printed[-1])


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_own_neurons_on_core():
    table = run("own_neurons_on_core", "--dataset", "iris", "--hidden", "8", "--epochs", "1", "--samples", "2",
                "--seeds", "0", "--neurons", "two_compartment_lif").splitlines()  # fmt: skip
    assert re.fullmatch(
        r"\| two_compartment_lif \| 0 \| [\d.]+ % \| [\d.]+ % \| \d+ spikes, 0; \d+ spikes, 0 \|", table[2]
    )


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("riscv64-unknown-elf-gcc"), reason="riscv64-unknown-elf-gcc is not installed")
@pytest.mark.skipif(not shutil.which("qemu-system-riscv32"), reason="qemu-system-riscv32 is not installed")
def test_executors(tmp_path, monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "OPT_FAST=-O0 OPT_GLOBAL=-O0")
    spikes = random_spikes(1, 5, 4, 12)
    network = random_network(1, recurrent=True, delay=3, readout=True)
    scores = fixed.run(network, spikes).scores
    artifact.save(IntegerArtifact(network, 5, tuple("abcd"), {}, {}, spikes, scores), tmp_path / "network.izhi")
    said = run("executors", tmp_path / "network.izhi", "--samples", 3, "--on-core", 2, "--machines", "RV32")
    head, _, found, _, costs, _, own = said.splitlines()
    assert head == "| network | samples | spikes | torch | compiled | C | WebAssembly | core | Verilog | RV32 |"
    _, samples, fired, torch, *different = (x.strip() for x in found.strip("| ").split("|"))
    assert (samples, torch) == ("3", "–")
    assert int(fired.replace(",", "")) == sum(int(x.sum()) for x in fixed.run(network, spikes[:, :3]).spikes)
    assert set(different) <= {"0", "–"}
    assert different[-1] == "0"
    assert costs == "| network | flash | RAM | RV32 | ms | cycles |"
    assert all(float(x.replace(",", "")) > 0 for x in own.strip("| ").split("|")[1:])
    for words, message in (
        ([tmp_path / "none.izhi"], r"cannot read .*none\.izhi: No such file or directory; check the path"),
        ([tmp_path / "network.izhi", "--machines", "Z80"], "--machines: 'Z80' is none of Cortex-M4, Cortex-M0, RV32"),
    ):
        done = subprocess.run([sys.executable, SCRIPTS / "executors.py", *words], capture_output=True, text=True)
        assert done.returncode
        assert re.search(message, done.stderr.splitlines()[-1])
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_snntorch_loop(kernel):
    table = run("snntorch_loop", "--sizes", "4x6,2x3", "--turns", "2", "--steps", "3", "--threads", "1",
                "--kernel", kernel).splitlines()  # fmt: skip
    assert [line.split(" | ")[0] for line in table[2:]] == ["| 4 × 6", "| 2 × 3"]
    for line in table[2:]:
        assert all(float(x) > 0 for x in line.strip("| ").split(" | ")[1:])
        assert line.count("|") == table[0].count("|")


@pytest.mark.slow
@pytest.mark.usefixtures("real_data", "forked_processes")
def test_snntorch_tutorials():
    table = run(
        "snntorch_tutorials", "--samples", "64", "--neurons", "Leaky,Izhikevich,normalized", "--held-out", "0.1"
    ).splitlines()
    networks = ("connected", "convolutional", "recurrent")
    expected = [f"| {network} | {neuron}" for network in networks for neuron in ("Leaky", "Izhikevich", "normalized")]
    assert [" | ".join(line.split(" | ")[:2]) for line in table[2:]] == expected
    assert all(0 <= float(line.split(" | ")[2]) <= 100 for line in table[2:])


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_state_quant(tmp_path):
    """Coded by latency, samples do not depend on a seed: snnTorch must find izhi's own accuracy."""
    out, result = tmp_path / "lif", tmp_path / "lif.json"
    assert cli.main(["train", "--dataset", "digits", "--neuron", "lif", "--readout", "current",
                     "--encoding", "latency", "--hidden", "32", "--steps", "8", "--epochs", "4",
                     "--learning-rate", "5e-3", "--batch-size", "32", "--precision", "32-true", "--quiet",
                     "--out", str(out), "--json", str(result)]) == 0  # fmt: skip
    accuracy = 100 * json.loads(result.read_text())["test_accuracy"]
    assert accuracy > 80
    printed = run("state_quant", out, "--bits", "12,4").splitlines()
    found = re.fullmatch(r"float: (\d+\.\d\d) %", printed[0])
    assert found
    assert float(found[1]) == pytest.approx(accuracy, abs=0.3)
    assert [line.split(" | ")[0] for line in printed[3:]] == ["| 12", "| 4"]
    izhi, *levels = (float(x) for x in re.findall(r"\d+\.\d\d", printed[3]))
    assert izhi == pytest.approx(accuracy, abs=3)
    assert len(levels) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_turns():
    root = SCRIPTS.parent
    printed = run("turns", root, "--contenders", "Izhi LIF", "--turns", "2", "--steps", "2", "--threads", "1")
    columns = printed.splitlines()[2].strip("| ").split(" | ")
    assert columns[0] == "Izhi LIF"
    assert len(columns) == 5
    before, after = map(float, columns[1:3])
    assert before > 0 < after
    for ratio in columns[3:]:
        middle, low, high = map(float, re.findall(r"\d+\.\d+", ratio))
        assert low <= middle <= high


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_turns_needs_another_tree(tmp_path):
    done = subprocess.run([sys.executable, SCRIPTS / "turns.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no folder with src/izhi" in done.stderr


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize("option", ["--layers", "--starts"])
def test_turns_needs_a_hidden_layer_and_a_start(option):
    command = [sys.executable, SCRIPTS / "turns.py", SCRIPTS.parent, option, "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"turns.py: error: {option} 0: at least 1 is needed"


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_results_are_made_by_one_command_which_goes_on(tmp_path):
    pages, out = tmp_path / "pages", tmp_path / "out"
    pages.mkdir()
    (tmp_path / "tiny.toml").write_text(
        'trials = 1\nseeds = [0]\nsearch = "learning_rate=1e-3..2e-3"\n'
        "[settings]\nhidden = [4]\nsteps = 2\nepochs = 1\n"
        '[variants.LIF]\nneuron = "lif"\n[tasks.flowers]\ndataset = "iris"\n'
    )
    small = "--dataset iris --epochs 1 --hidden 4 --steps 2 --neurons lif"
    (pages / "one.md").write_text(f"    izhi compare {small}  # a remark\n\n    izhi train {small}\n")
    (pages / "two.md").write_text(f"    izhi study {tmp_path / 'tiny.toml'} --out elsewhere\n")
    first = run("results", "--out", out, "--pages", pages, "--only", "one")
    assert first.startswith("one-1: izhi compare")
    assert sorted(path.name for path in out.iterdir()) == ["one-1"]
    before = (out / "one-1" / "comparison.json").stat().st_mtime_ns
    again = run("results", "--out", out, "--pages", pages)
    assert "two-1: izhi study" in again
    assert (out / "one-1" / "comparison.json").stat().st_mtime_ns == before
    assert (out / "two-1" / "report.md").exists()
    assert not Path("elsewhere").exists()
