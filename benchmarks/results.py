"""Repeat the tables of docs/results: every comparison and study that its pages name, one after the other.

    python benchmarks/results.py --out build/results                 # many hours; the same command resumes
    python benchmarks/results.py --out build/results --only temporal,neurons

A command is an indented line `izhi compare …` or `izhi study …` of a page. Each has a folder of its own, PAGE-NUMBER,
counted from the top of the page. A repeated command runs once, a finished one is skipped, and an interrupted one
resumes. Tables of speed, quantisation and hardware come from other commands, which their pages name.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PAGES = Path(__file__).parents[1] / "docs" / "results"
#: Command → the file that is there when it is done.
DONE = {"compare": "comparison.json", "study": "report.md"}


def commands(pages: Path) -> Iterator[tuple[str, list[str]]]:
    """Names of folders, and the words of each command without what names its own."""
    for page in sorted(pages.glob("*.md")):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        found = re.findall(rf"^ {{4}}izhi ((?:{'|'.join(DONE)}) .*)$", text, re.MULTILINE)
        for number, line in enumerate(found, start=1):
            words = shlex.split(line, comments=True)
            if "--out" in words:
                place = words.index("--out")
                words = words[:place] + words[place + 2 :]
            yield f"{page.stem}-{number}", words


def do(words: list[str], folder: Path) -> int:
    """Do a command, or go on with it; its exit status."""
    if words[0] == "compare" and (folder / DONE["compare"]).exists():
        return 0
    if words[0] == "compare" and folder.exists():
        words = ["compare", "--resume"]
    return subprocess.run([sys.executable, "-m", "izhi", *words, "--out", str(folder)], check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of all results")
    parser.add_argument("--only", default="", metavar="LIST", help="pages, comma-separated [all]")
    parser.add_argument("--pages", type=Path, default=PAGES, metavar="FOLDER", help="of the pages [docs/results]")
    a = parser.parse_args()
    only = [name.strip() for name in a.only.split(",") if name.strip()]
    failed, seen = [], set()
    for name, words in commands(a.pages):
        if tuple(words) not in seen and (not only or name.rpartition("-")[0] in only):
            seen.add(tuple(words))
            print(f"{name}: izhi {shlex.join(words)}", flush=True)
            if do(words, a.out / name):
                failed.append(name)
    if failed:
        sys.exit(f"not done: {', '.join(failed)}; the same command goes on with them")


if __name__ == "__main__":
    main()
