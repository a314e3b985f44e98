"""Tools of wheels, which compile themselves on their first call."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from izhi.errors import SimulatorError
from izhi.hardware.core import yosys

#: As a wheel of YoWASP: it keeps what it compiled in a file that it writes in place, and runs what is in that file.
WHEEL = """
import os, pathlib, time

def run_tool(arguments):
    file = pathlib.Path(os.environ["YOWASP_CACHE_DIR"]) / "code"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as writer:
            for word in ["whole", "code"]:
                print(word, file=writer, flush=True)
                time.sleep(0.2)
        with pathlib.Path(__file__).with_name("count").open("a") as writer:
            print(1, file=writer)
    print(*file.read_text().split(), *arguments)
    return {"fail": 3}.get(arguments[0], 0)
"""


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel of one tool, and nothing in the cache."""
    (tmp_path / "slow_wheel.py").write_text(WHEEL)
    (tmp_path / "slow_wheel-1.2.dist-info").mkdir()
    (tmp_path / "slow_wheel-1.2.dist-info" / "METADATA").write_text("Name: slow-wheel\nVersion: 1.2\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def said(folder):
    return yosys.output_of("tool", [*yosys.of_wheel("slow_wheel", "run_tool"), "a", "b"], folder)


@pytest.mark.slow
def test_two_calls_at_once_run_a_whole_tool_that_was_compiled_once(wheel):
    with ThreadPoolExecutor() as pool:
        assert [*pool.map(said, [wheel] * 3)] == ["whole code a b\n"] * 3
    assert said(wheel) == "whole code a b\n"
    assert (wheel / "count").read_text().split() == ["1"]
    assert sorted(x.name for x in (wheel / "cache/izhi/tools").iterdir()) == ["run_tool-1.2", "run_tool-1.2.lock"]


@pytest.mark.slow
def test_a_tool_that_does_not_tell_its_version_is_compiled(wheel):
    text = WHEEL.replace("get(arguments[0], 0)", "get(arguments[0], 3 * (arguments[0] == '--version'))")
    (wheel / "slow_wheel.py").write_text(text)
    assert said(wheel) == "whole code a b\n"
    (wheel / "slow_wheel.py").write_text("def run_tool(arguments):\n    raise SystemExit('no memory')\n")
    (wheel / "slow_wheel-1.2.dist-info" / "METADATA").write_text("Name: slow-wheel\nVersion: 1.3\n")
    with pytest.raises(SimulatorError, match="run_tool fails: no memory"):
        yosys.of_wheel("slow_wheel", "run_tool")


@pytest.mark.slow
def test_a_tool_that_is_killed_while_it_compiles_leaves_nothing_behind(wheel, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", lambda *words, **others: subprocess.CompletedProcess(words, -9, "", ""))
        with pytest.raises(SimulatorError, match=r"^run_tool was ended by SIGKILL$"):
            yosys.of_wheel("slow_wheel", "run_tool")
    assert [x.name for x in (wheel / "cache/izhi/tools").iterdir()] == ["run_tool-1.2.lock"]
    assert said(wheel) == "whole code a b\n"


def test_a_failure_is_told_by_its_last_line(tmp_path):
    failing = [sys.executable, "-c", "import sys; print('first'); print('ERROR: no room'); sys.exit(1)"]
    with pytest.raises(SimulatorError, match=r"^tool fails: no room$"):
        yosys.output_of("tool", failing, tmp_path)


def test_names_in_verilog_are_plain_and_differ():
    old = ["a.b", "a$b", "$1", "1", "$", "end", "a[0]", "a_b"]
    text = "begin a_b <= end a_b_1; " + "".join(f"wire \\{name} ;" for name in old)
    new = re.findall(r"wire (\S+) ;", yosys.with_plain_names(text))
    assert len(set(new)) == len(old)
    assert not {"a_b", "a_b_1", "end"} & set(new)
    assert all(re.fullmatch(r"[a-z]\w*", name) for name in new)
    assert yosys.with_plain_names(r"\a.b [3] = \a.b [0];") == "a_b [3] = a_b [0];"
