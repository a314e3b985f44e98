"""Pages whose commands are typed from the first to the last."""

import re
from pathlib import Path

import pytest

from izhi.cli import main
from test_documents import typed

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow(minutes=3)
def test_from_a_sensor_to_an_fpga(tmp_path, monkeypatch, capsys):
    page = (DOCS / "sensor-to-fpga.md").read_text()
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "sensor-to-fpga.md", "exec"), {})
    commands = list(typed(re.sub(r"```.*?```", "", page, flags=re.DOTALL)))
    assert len(commands) == 7
    said = {}
    for words in commands:
        assert main(words[1:]) == 0, words
        said[" ".join(words[1:])] = "".join(capsys.readouterr())
    assert "neuron resonator" in said["train --dataset own.npz --out float"]
    assert "can be quantised, exported and run on a core" in said["quantize float --check"]
    assert float(re.search(r"accuracy: ([\d.]+) %", said["run quantized/network.izhi"])[1]) > 90
    assert "scores: 0 samples different" in said["run quantized/network.izhi --device simulator --samples 2 --compare"]
