"""Whether tests notice: small changes of the sources, one at a time, and the tests that run what was changed.

    pip install cosmic-ray
    python benchmarks/mutants.py kernels neurons --sample 100 --out build/mutants
    python benchmarks/mutants.py --out build/mutants          # the table and the survivors so far

A change, such as + for -, > for >= or 2 for 1, is drawn uniformly from all places of a room where cosmic-ray knows one;
those in annotations and of decorators, which change nothing, are left out. It is made in a copy of the tree. A process
that has imported the libraries forks, imports Izhi with the change, and runs the test files that call the changed
function, those of the room and the quickest ones first, until one fails or they have taken --seconds when unchanged.
Which files call it is recorded once, by a run of each without changes. What Numba compiles makes no calls that Python
sees: for a function that no test calls, the files count that call another one of its module, else those of the room.

A mutant is killed if a test fails, an import fails, or the tests take ten times as long and a minute more. Each result
is a line of mutants.jsonl; the same command goes on after what is there.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parents[1]
COPIED = ("src", "tests", "docs", "benchmarks", "notebooks", "experiments", "pyproject.toml", "README.md")
LIBRARIES = ("torch", "numpy", "numba", "snntorch", "brevitas.nn", "scipy.stats", "sklearn.datasets", "pydantic",
             "pytest", "hypothesis", "matplotlib.pyplot", "rich.progress", "lightning_fabric")  # fmt: skip
#: Kinds of changes that change nothing, or nothing that a caller sees.
LEFT_OUT = ("RemoveDecorator", "AddNot", "VariableReplacer", "VariableInserter", "NoOp")
#: Bytes that the tests of a mutant may take.
_MEMORY = 8 * 2**30


class Mutation(NamedTuple):
    """A change: the file, cosmic-ray's operator and the number of the place among all of that operator's."""

    file: str
    operator: str
    occurrence: int
    line: int


class Tests(NamedTuple):
    """Test files, their seconds without a change, and the functions that each calls, ``file:line``."""

    seconds: dict[str, float]
    calls: dict[str, list[str]]


def places(source: str) -> Iterator[tuple[str, int, int, int]]:
    """Operator, occurrence, line and column of each change of a source."""
    import cosmic_ray.plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    without_effect = _without_effect(source)
    nodes = list(ast_nodes(get_ast(source)))
    for name in cosmic_ray.plugins.operator_names():
        kind = cosmic_ray.plugins.get_operator(name)
        if kind.arguments() or name.partition("/")[2].startswith(LEFT_OUT):
            continue
        operator, number = kind(), 0
        for node in nodes:
            for (line, column), _ in operator.mutation_positions(node):
                if not any(low <= (line, column) < high for low, high in without_effect):
                    yield name, number, line, column
                number += 1


def _without_effect(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where annotations and blocks for type checkers reach."""
    nodes: list[Any] = []
    for node in ast.walk(ast.parse(source)):
        nodes += [x for x in (getattr(node, "annotation", None), getattr(node, "returns", None)) if x is not None]
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes.append(node)
    return [((x.lineno, x.col_offset), (x.end_lineno, x.end_col_offset)) for x in nodes]


def drawn(tree: Path, room: str, count: int, seed: int) -> list[Mutation]:
    """Changes of a room: places by chance, and of each place one change."""
    folder = tree / "src" / "izhi" / room
    found: dict[tuple[str, int, int, str], list[Mutation]] = {}
    for file in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]:
        name = str(file.relative_to(tree))
        for operator, number, line, column in places(file.read_text()):
            family = operator.partition("_")[0]
            found.setdefault((name, line, column, family), []).append(Mutation(name, operator, number, line))
    chance = random.Random(f"{seed} {room}")
    return [chance.choice(found[place]) for place in chance.sample(sorted(found), min(count, len(found)))]


def copy_of(tree: Path, out: Path) -> Path:
    """The tree without what is not needed."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in COPIED:
        if (tree / name).is_dir():
            shutil.copytree(tree / name, out / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif (tree / name).exists():
            shutil.copy2(tree / name, out / name)
    return out


def in_child(tree: Path, files: list[str], limit: float, record: Path | None = None) -> tuple[str, float]:
    """How a run of test files in a copy of this process ends: passed, failed or timeout; and its seconds."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(tree)
        sys.path[:0] = [str(tree / "src"), str(tree / "tests")]
        os.environ["PYTHONPATH"] = str(tree / "src")
        sys.dont_write_bytecode = True
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        status = 1
        try:
            import pytest

            options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow and not long"]
            status = int(pytest.main([*options, *files], plugins=[_Calls(tree, record)] if record else []))
        finally:
            os._exit(0 if status == 5 else status)  # 5: no test of a file is among them
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() - began > limit:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout", limit
        time.sleep(0.05)
    return "passed" if ended[1] == 0 else "failed", time.monotonic() - began


class _Calls:
    """Records which functions of the sources are called."""

    def __init__(self, tree: Path, out: Path) -> None:
        self.source, self.out, self.found = str(tree / "src"), out, set[Any]()
        self.start = len(str(tree)) + 1

    def pytest_sessionstart(self) -> None:
        sys.setprofile(self._see)

    def pytest_sessionfinish(self) -> None:
        sys.setprofile(None)
        calls = sorted(f"{x.co_filename[self.start :]}:{x.co_firstlineno}" for x in self.found)
        self.out.write_text(json.dumps([call for call in calls if call.startswith("src")]))

    def _see(self, frame: Any, event: str, argument: object) -> None:
        if event == "call":
            self.found.add(frame.f_code)


def recorded(tree: Path, folders: list[str], out: Path, limit: float) -> Tests:
    """Test files: seconds and calls, kept in a folder; files that fail, or take too long, are left out."""
    file = out / "tests.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    for path in sorted(path for folder in folders for path in (tree / folder).rglob("test_*.py")):
        name = str(path.relative_to(tree))
        if name in kept:
            continue
        in_child(tree, [name], limit)  # compiles what is compiled
        seconds = in_child(tree, [name], limit)
        record = out / "calls.json"
        record.unlink(missing_ok=True)
        ended = in_child(tree, [name], 5 * limit, record)
        is_sound = seconds[0] == ended[0] == "passed" and record.exists()
        kept[name] = [seconds[1], json.loads(record.read_text())] if is_sound else None
        print(f"{name}: {seconds[1]:.1f} s" if is_sound else f"{name}: left out, {seconds[0]}", flush=True)
        file.write_text(json.dumps(kept))
    sound = {name: value for name, value in kept.items() if value is not None}
    return Tests({k: v[0] for k, v in sound.items()}, {k: v[1] for k, v in sound.items()})


@cache
def functions(file: Path) -> list[tuple[int, int]]:
    """First and last lines of the functions of a file, decorators included."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return [
        (min([x.lineno, *(d.lineno for d in getattr(x, "decorator_list", []))]), x.end_lineno or x.lineno)
        for x in ast.walk(ast.parse(file.read_text())) if isinstance(x, kinds)
    ]  # fmt: skip


def chosen(tests: Tests, mutation: Mutation, tree: Path, room: str, budget: float) -> list[str]:
    """The test files for a change, in the order in which they run."""
    around = [x for x in functions(tree / mutation.file) if x[0] <= mutation.line <= x[1]]
    calls = {name: set(found) for name, found in tests.calls.items()}
    for first, _ in sorted(around, reverse=True):
        files = [name for name, found in calls.items() if f"{mutation.file}:{first}" in found]
        if files:
            break
    else:
        files = [name for name, found in calls.items() if any(x.startswith(f"{mutation.file}:") for x in found)]
    of_room = f"tests/{room}/"
    files = files or [name for name in calls if name.startswith(of_room)]
    ordered: list[str] = []
    total = 0.0
    for name in sorted(files, key=lambda name: (not name.startswith(of_room), tests.seconds[name])):
        if not ordered or total + tests.seconds[name] <= budget:
            ordered.append(name)
            total += tests.seconds[name]
    return ordered


def outcome(tree: Path, mutation: Mutation, files: list[str], limit: float) -> dict[str, Any]:
    """What the tests make of a change, which is undone afterwards."""
    import cosmic_ray.plugins
    from cosmic_ray.mutating import mutate_code

    path = tree / mutation.file
    before = path.read_text()
    after = mutate_code(before, cosmic_ray.plugins.get_operator(mutation.operator)(), mutation.occurrence)
    try:
        path.write_text(after)
        ended, seconds = in_child(tree, files, limit)
    finally:
        path.write_text(before)
    lines = zip(before.splitlines(), after.splitlines(), strict=False)
    changed = next(((a.strip(), b.strip()) for a, b in lines if a != b), ("", ""))
    return {**mutation._asdict(), "killed": ended != "passed", "ended": ended, "seconds": round(seconds, 1),
            "before": changed[0], "after": changed[1], "tests": files}  # fmt: skip


def table(out: Path) -> str:
    """Mutants and survivors by room, and each survivor."""
    results = [json.loads(line) for line in (out / "mutants.jsonl").read_text().splitlines()]
    lines = ["| room | mutants | killed | survivors |", "|---|---|---|---|"]
    for room in dict.fromkeys(x["room"] for x in results):
        own = [x for x in results if x["room"] == room]
        killed = sum(x["killed"] for x in own)
        lines.append(f"| {room} | {len(own)} | {killed / len(own):.0%} | {len(own) - killed} |")
    lines += ["", "| survivor | before | after |", "|---|---|---|"]
    cells = [(f"{x['file']}:{x['line']}", x["before"], x["after"]) for x in results if not x["killed"]]
    lines += [f"| {place} | `{before}` | `{after}` |".replace("||", "\\|\\|") for place, before, after in sorted(cells)]
    return "\n".join(lines)


def main() -> None:
    """Draw, run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", nargs="*", help="folders or modules of src/izhi, such as kernels or hardware/fixed")
    parser.add_argument("--tree", type=Path, default=HERE, help="whose sources and tests")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="folders of tests")
    parser.add_argument("--sample", type=int, default=50, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=40, help="of tests for a mutant, as they take unchanged")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once, each in a copy of the tree")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    out: Path = options.out.resolve()
    results = out / "mutants.jsonl"
    if options.rooms:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        for library in LIBRARIES:
            __import__(library)
        trees = [copy_of(options.tree, out / f"tree{job}") for job in range(options.jobs)]
        tests = recorded(trees[0], options.tests, out, 10 * options.seconds)
        there = [json.loads(x) for x in results.read_text().splitlines()] if results.exists() else []
        done = {(x["file"], x["operator"], x["occurrence"]) for x in there}

        def one(room: str, mutation: Mutation) -> None:
            tree = trees.pop()
            files = chosen(tests, mutation, tree, room, options.seconds)
            result = outcome(tree, mutation, files, 60 + 10 * sum(tests.seconds[x] for x in files))
            trees.append(tree)
            with results.open("a") as file:
                file.write(json.dumps({"room": room, **result}) + "\n")
            print(f"{result['ended']:8} {mutation.file}:{mutation.line}: {result['after']}", flush=True)

        with ThreadPoolExecutor(options.jobs) as pool:
            for room in options.rooms:
                for mutation in drawn(trees[0], room, options.sample, options.seed):
                    if mutation[:3] not in done:
                        pool.submit(one, room, mutation)
    print(table(out))


if __name__ == "__main__":
    main()
