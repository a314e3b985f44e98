"""How long does a newcomer wait? Seconds from an installation to results, with empty caches, as a Markdown table.

    python benchmarks/first_minutes.py
    python benchmarks/first_minutes.py --python /path/to/another/environment/bin/python

Commands are those of the README and of docs/sensor-to-fpga.md up to the simulated core, one after another, each in a
process of its own. Home and caches are folders that were empty before the first. The extras ``quantize`` and
``hardware`` and a C++ compiler are needed for the core.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "sensor-to-fpga.md"
COMPARE = "compare --dataset digits --neurons lif,normalized,biological --seeds 0,1,2 --quiet"


def seconds(command: Sequence[str], folder: Path, variables: Mapping[str, str], picture: str = "") -> float:
    """Run a command, which must succeed: seconds to its end, or to a file of that pattern, which ends it."""
    began = time.monotonic()
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=output)
        while process.poll() is None:
            if picture and any(folder.rglob(picture)):
                process.terminate()
                process.wait()
                return time.monotonic() - began
            time.sleep(0.02)
    if process.returncode or picture:
        said = (folder / "output.txt").read_text()
        raise SystemExit(f"{' '.join(command)} ends with status {process.returncode}:\n{said}")
    return time.monotonic() - began


def rows(python: str, folder: Path, compare: str, train: str) -> Iterator[tuple[str, float]]:
    """What a newcomer does, and its seconds."""
    home = folder / "home"
    home.mkdir()
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONWARNINGS": "ignore"}
    izhi = [python, "-m", "izhi"]
    yield "first figure of classified digits, `izhi demo`", seconds([*izhi, "demo"], folder, variables, "*.png")
    yield f"trained comparison, `izhi {compare}`", seconds([*izhi, *compare.split()], folder, variables)
    text = PAGE.read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    total = seconds([python, "-c", code], folder, variables)
    for words in re.findall(r"^    izhi (.+)$", text, re.MULTILINE):
        given = f"{words} {train}".strip() if words.startswith("train ") else words
        lasted = seconds([*izhi, *given.split()], folder, variables)
        total += lasted
        yield f"own recordings, `izhi {given}`", lasted
        if "--device simulator" in words:
            yield "own recordings on the simulated core, all commands so far", total
            return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter that has Izhi")
    parser.add_argument("--compare", default=COMPARE, help="command of the comparison")
    parser.add_argument("--train", default="", help="further options of training")
    given = parser.parse_args()
    if not shutil.which(given.python):
        parser.error(f"python is {given.python!r}, expected an interpreter that has Izhi")
    print("| what | seconds |\n|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for what, lasted in rows(given.python, Path(folder), given.compare, given.train):
            print(f"| {what} | {lasted:.1f} |", flush=True)


if __name__ == "__main__":
    main()
