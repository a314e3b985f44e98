"""Whether tests notice: small changes of the sources, one at a time, and the tests that run what was changed.

    pip install cosmic-ray coverage
    python benchmarks/mutants.py kernels neurons --sample 100 --out build/mutants
    python benchmarks/mutants.py --out build/mutants          # the table and the survivors so far

A change, such as + for -, > for >= or 2 for 1, is drawn uniformly from all places of a room where cosmic-ray knows one;
those in annotations and of decorators, which change nothing, are left out. It is made in a copy of the tree. A process
that has imported the libraries forks, imports Izhi with the change, and runs the tests that run the changed statement,
then those that run its function, its module, and all of the room, the quickest first, until one fails or they have
taken --seconds when unchanged. Which tests run a statement is recorded once by coverage.py, which does not see what
Numba compiles (after make test, lest their seconds be those of compiling kernels).

A mutant is killed if a test fails, an import fails, or the tests take ten times as long and a minute more. Each result
is a line of mutants.jsonl; the same command goes on after what is there.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
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
#: The tests of make test; "not long" are those of make test-all.
QUICK = "not slow and not long"
#: Bytes that the tests of a mutant may take.
_MEMORY = 8 * 2**30


class Mutation(NamedTuple):
    """A change: the file, cosmic-ray's operator and the number of the place among all of that operator's."""

    file: str
    operator: str
    occurrence: int
    line: int


class Tests(NamedTuple):
    """Seconds of each test without a change, and which tests run a line: by file, then by line."""

    seconds: dict[str, float]
    runs: dict[str, dict[int, list[str]]]


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


def in_child(tree: Path, tests: list[str], limit: float, marks: str, record: Path | None = None) -> tuple[str, float]:
    """How a run of tests in a copy of this process ends: passed, failed or timeout; and its seconds."""
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

            options = ["-q", "-p", "no:cacheprovider", "-m", marks, *(() if record else ("-x",))]
            status = int(pytest.main([*options, *tests], plugins=[_Recorder(tree, record)] if record else []))
        finally:
            os._exit(0 if status == 5 else status)  # 5: no test of a file is among them
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() - began > limit:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout", limit
        time.sleep(0.05)
    return "passed" if ended[1] == 0 else "failed", time.monotonic() - began


class _Recorder:
    """Records which tests run which lines, and the seconds of those that pass."""

    def __init__(self, tree: Path, out: Path) -> None:
        from coverage import Coverage

        self.seconds: dict[str, float] = {}
        self.out, self.start = out, len(str(tree)) + 1
        self.coverage = Coverage(data_file=None, source=[str(tree / "src")], config_file=False)

    def pytest_sessionstart(self) -> None:
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.passed:
            self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        else:
            self.seconds[report.nodeid] = math.inf

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        sound = {test: seconds for test, seconds in self.seconds.items() if seconds < math.inf}
        runs = {
            file[self.start :]: {
                line: [test for test in tests if test in sound]
                for line, tests in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }  # fmt: skip
        self.out.write_text(json.dumps([sound, runs]))


def recorded(tree: Path, folders: list[str], out: Path, marks: str = QUICK) -> Tests:
    """The tests of folders, each of which is recorded once and kept; a test that fails is left out."""
    tests = Tests({}, {})
    for folder in folders:
        record = out / f"{folder.replace('/', '-')}.json"
        if not record.exists():
            in_child(tree, [folder], math.inf, marks, record)
        if not record.exists():
            raise SystemExit(f"the tests of {folder} end without a record; run them by pytest")
        seconds, runs = json.loads(record.read_text())
        print(f"{folder}: {len(seconds)} tests, {sum(seconds.values()):.0f} s", flush=True)
        tests.seconds.update(seconds)
        for file, lines in runs.items():
            for line, names in lines.items():
                tests.runs.setdefault(file, {}).setdefault(int(line), []).extend(names)
    return tests


@cache
def statements(file: Path) -> list[tuple[int, int, bool]]:
    """First and last lines of the statements of a file, of compound ones the heads; functions whole, and marked."""
    found = []
    for x in ast.walk(ast.parse(file.read_text())):
        if isinstance(x, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            first = min([x.lineno, *(d.lineno for d in getattr(x, "decorator_list", []))])
            found.append((first, x.end_lineno or x.lineno, True))
        elif isinstance(x, (ast.stmt, ast.ExceptHandler)):
            body = getattr(x, "body", None)
            found.append((x.lineno, body[0].lineno - 1 if body else x.end_lineno or x.lineno, False))
    return found


def chosen(tests: Tests, mutation: Mutation, tree: Path, room: str, budget: float) -> list[str]:
    """The tests for a change, in the order in which they run: the nearest first, of those the quickest."""
    around = [x for x in statements(tree / mutation.file) if x[0] <= mutation.line <= x[1]]
    lines = tests.runs.get(mutation.file, {})
    of_room = f"tests/{room}/"
    nearest = [
        {name for line in range(first + is_function, last + 1) for name in lines.get(line, ())}
        for first, last, is_function in sorted(around, key=lambda x: (x[2], x[1] - x[0]))
    ]  # the line of a def itself runs at import
    nearest.append({name for names in lines.values() for name in names})
    nearest.append({name for name in tests.seconds if name.startswith(of_room)})
    ordered: dict[str, None] = {}
    total = 0.0
    for names in nearest:
        for name in sorted(
            names - ordered.keys(), key=lambda name: (not name.startswith(of_room), tests.seconds[name])
        ):
            if not ordered or total + tests.seconds[name] <= budget:
                ordered[name] = None
                total += tests.seconds[name]
    return list(ordered)


def outcome(tree: Path, mutation: Mutation, tests: list[str], limit: float, marks: str) -> dict[str, Any]:
    """What the tests make of a change, which is undone afterwards."""
    import cosmic_ray.plugins
    from cosmic_ray.mutating import mutate_code

    path = tree / mutation.file
    before = path.read_text()
    after = mutate_code(before, cosmic_ray.plugins.get_operator(mutation.operator)(), mutation.occurrence)
    try:
        path.write_text(after)
        ended, seconds = in_child(tree, tests, limit, marks)
    finally:
        path.write_text(before)
    lines = zip(before.splitlines(), after.splitlines(), strict=False)
    changed = next(((a.strip(), b.strip()) for a, b in lines if a != b), ("", ""))
    return {**mutation._asdict(), "killed": ended != "passed", "ended": ended, "seconds": round(seconds, 1),
            "before": changed[0], "after": changed[1], "tests": len(tests)}  # fmt: skip


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
    parser.add_argument("--marks", default=QUICK, help="of the tests, as pytest -m")
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
        tests = recorded(trees[0], options.tests, out, options.marks)
        there = [json.loads(x) for x in results.read_text().splitlines()] if results.exists() else []
        done = {(x["file"], x["operator"], x["occurrence"]) for x in there}

        def one(room: str, mutation: Mutation) -> None:
            tree = trees.pop()
            names = chosen(tests, mutation, tree, room, options.seconds)
            limit = 60 + 10 * sum(tests.seconds[x] for x in names)
            result = outcome(tree, mutation, names, limit, options.marks)
            trees.append(tree)
            with results.open("a") as file:
                file.write(json.dumps({"room": room, **result}) + "\n")
            print(f"{result['ended']:8} {mutation.file}:{mutation.line}: {result['after']}", flush=True)

        planned = [(room, x) for room in options.rooms for x in drawn(trees[0], room, options.sample, options.seed)]
        with ThreadPoolExecutor(options.jobs) as pool:
            for room, mutation in planned:
                if mutation[:3] not in done:
                    pool.submit(one, room, mutation)
    print(table(out))


if __name__ == "__main__":
    main()
