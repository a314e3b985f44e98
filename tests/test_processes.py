"""How processes begin and end: nothing that Python would do before its end is left out."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from izhi import processes

#: Where something is still to be printed in the end.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
ENDS = """
import atexit, sys, threading, time
from izhi import processes

def late():
    time.sleep(0.3)
    print("thread")

atexit.register(print, "atexit")
threading.Thread(target=late).start()
sys.stdout.write("begun, ")
sys.stderr.write("beside")
processes.end(7)
"""


def test_the_end_waits_for_threads_calls_what_is_registered_and_prints_the_rest() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, env=BUFFERED)
    assert done.stdout == "begun, thread\natexit\n"
    assert done.stderr == "beside"
    assert done.returncode == 7


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_the_end_comes_where_output_has_no_place() -> None:
    code = "import sys; from izhi import processes; sys.stdout.write('lost'); processes.end(3)"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, env=BUFFERED
        )
    assert (done.returncode, done.stderr) == (3, "")


def test_a_module_is_loaded_once_and_garbage_is_looked_for_again() -> None:
    frozen = gc.get_freeze_count()
    assert processes.load("json") is sys.modules["json"]
    assert gc.get_freeze_count() == frozen
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError):
        processes.load("izhi.no_such_module")
    assert gc.isenabled()


@pytest.mark.slow
def test_a_command_that_fails_by_a_bug_ends_with_its_traceback_alone() -> None:
    code = """
from izhi import __main__, cli, processes

def fails():
    processes.load("torch")
    raise RuntimeError("a bug")

cli.main = fails
__main__.program()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: a bug\n")
