"""The tables of the page of benchmarks, from the JSON files of ``izhi bench`` in docs/results/benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import generated_part

from izhi.experiments.benchmark.runner import read_results, table

FOLDER = Path(__file__).parents[1] / "results" / "benchmarks"


def section(path: Path) -> str:
    """The machine and tables of one file; a note of the file is above them."""
    rows, content = read_results(path)
    note = f"**{content['note']}**\n\n" if "note" in content else ""
    tables = table(rows, content["machine"], content["rounds"], content["repeats"])
    return f"## {path.stem}\n\n{note}{tables}\nNumbers: {{download}}`{path.name} <benchmarks/{path.name}>`.\n"


def sections() -> str:
    """Of every file, by name."""
    return "\n".join(section(path) for path in sorted(FOLDER.glob("*.json")))


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    generated_part.insert(app, "docs/results/benchmarks", "<!-- the machines -->", sections)
    return {"parallel_read_safe": True}
