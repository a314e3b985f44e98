"""Mutation testing, on a package of two functions, of which a test calls one."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "mutants.py"))
SOURCE = """def total(a: int, b: int | None = 1) -> int:
    def half(x):
        return x // 2

    return a + half(b or 0)


def unused(a):
    return a - 1
"""


@pytest.fixture
def tree(tmp_path):
    for folder in ("src/izhi/sums", "tests/sums", "tests/other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "src" / "izhi" / "sums" / "sum.py").write_text(SOURCE)
    return tmp_path


def test_tests_for_a_change_are_first_those_that_run_the_statement(tree):
    file = "src/izhi/sums/sum.py"
    seconds = {"tests/other/a": 1.0, "tests/sums/b": 5.0, "tests/sums/c": 2.0, "tests/sums/d": 1.0, "tests/sums/e": 3.0}
    runs = {1: [], 3: ["tests/sums/b"], 5: ["tests/other/a", "tests/sums/b", "tests/sums/c"], 7: ["tests/sums/e"]}
    tests = SCRIPT["Tests"](seconds, {file: runs})

    def chosen(line, budget=100.0, name=file):
        mutation = SCRIPT["Mutation"](name, "core/NumberReplacer", 0, line)
        return [test[-1] for test in SCRIPT["chosen"](tests, mutation, tree, "sums", budget)]

    assert chosen(5) == ["c", "b", "a", "e", "d"]  # then those of the module, then those of the room
    assert chosen(3) == ["b", "c", "a", "e", "d"]
    assert chosen(5, budget=4.0) == ["c", "a", "d"]
    assert chosen(1) == ["c", "b", "a", "e", "d"]  # a default: those that run the function
    assert chosen(9) == ["c", "e", "b", "a", "d"]  # no test runs it
    (tree / "src" / "izhi" / "sums" / "new.py").write_text("x = 1\n")
    assert chosen(1, name="src/izhi/sums/new.py") == ["d", "c", "e", "b"]  # those of the room


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_what_each_test_runs_is_recorded(tree, tmp_path):
    pytest.importorskip("coverage", reason="coverage is not installed")
    test = """from izhi.sums.sum import total, unused

def test_total():
    assert total(2, 4) == 4

def test_other():
    assert unused(3) == 2

def test_that_fails():
    assert unused(3) == 3
"""
    (tree / "tests" / "sums" / "test_sums.py").write_text(test)
    for name in ("pyproject.toml", "src/izhi/__init__.py", "src/izhi/sums/__init__.py"):
        (tree / name).touch()
    script = f"""
import json, runpy, pathlib
script = runpy.run_path({str(Path(__file__).parents[2] / "benchmarks" / "mutants.py")!r})
tests = script["recorded"](pathlib.Path({str(tree)!r}), ["tests"], pathlib.Path({str(tmp_path)!r}))
assert [name.partition("::")[2] for name in tests.seconds] == ["test_total", "test_other"], tests
assert {{line: [name.partition("::")[2] for name in names] for line, names in tests.runs["src/izhi/sums/sum.py"].items()
        if line in (3, 9)}} == {{3: ["test_total"], 9: ["test_other"]}}, tests.runs
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_table_has_shares_and_survivors(tmp_path):
    common = {"room": "sums", "file": "src/izhi/sums/sum.py", "line": 5, "before": "a + b", "after": "a - b"}
    results = [{**common, "killed": True}, {**common, "killed": True}, {**common, "line": 9, "killed": False}]
    (tmp_path / "mutants.jsonl").write_text("\n".join(map(json.dumps, results)))
    table = SCRIPT["table"](tmp_path).splitlines()
    assert "| sums | 3 | 67% | 1 |" in table
    assert table[-1] == "| src/izhi/sums/sum.py:9 | `a + b` | `a - b` |"


def test_no_change_is_drawn_that_changes_nothing():
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed")
    found = list(SCRIPT["places"](SOURCE))
    lines = {line for _, _, line, _ in found}
    assert lines == {1, 3, 5, 9}
    assert not [x for x in found if "Operator_BitOr" in x[0]]  # of an annotation
