"""Mutation testing, on a package of two functions, of which a test calls one."""

import json
import runpy
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


def test_files_for_a_change_are_those_that_call_the_function(tree):
    file = "src/izhi/sums/sum.py"
    tests = SCRIPT["Tests"](
        {"tests/other/a.py": 1.0, "tests/sums/b.py": 5.0, "tests/sums/c.py": 2.0, "tests/sums/d.py": 1.0},
        {
            "tests/other/a.py": [f"{file}:1"], "tests/sums/b.py": [f"{file}:1", f"{file}:2"],
            "tests/sums/c.py": [f"{file}:1"], "tests/sums/d.py": [],
        },
    )  # fmt: skip

    def chosen(line, budget=100.0, name=file):
        mutation = SCRIPT["Mutation"](name, "core/NumberReplacer", 0, line)
        return [test[-4] for test in SCRIPT["chosen"](tests, mutation, tree, "sums", budget)]

    assert chosen(5) == ["c", "b", "a"]
    assert chosen(3) == ["b"]
    assert chosen(5, budget=4.0) == ["c", "a"]
    assert chosen(9) == ["c", "b", "a"]  # nothing calls it: those of the module
    (tree / "src" / "izhi" / "sums" / "new.py").write_text("x = 1\n")
    assert chosen(1, name="src/izhi/sums/new.py") == ["d", "c", "b"]  # those of the room


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
