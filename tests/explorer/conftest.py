"""A folder of small runs, of all kinds that the explorer shows."""

from pathlib import Path

import pytest

from izhi.cli import main


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison, a run that learned its coefficients, and a quantised one with its artifact."""
    folder = tmp_path_factory.mktemp("explored")
    common = ["--dataset", "digits", "--hidden", "12", "--epochs", "2", "--steps", "8"]
    for arguments in (
        [
            "compare",
            *common,
            "--neurons",
            "lif,normalized",
            "--seeds",
            "0,1",
            "--readout",
            "spikes",
            "--out",
            str(folder / "both"),
        ],
        ["train", *common, "--neuron", "biological", "--learn", "c,d", "--out", str(folder / "learned")],
        ["quantize", str(folder / "both" / "normalized" / "seed-0"), "--method", "ptq", "--out", str(folder / "few")],
        ["export", str(folder / "few")],
    ):
        assert main([*arguments, *([] if arguments[0] == "export" else ["--quiet"])]) == 0
    return folder
