"""Calls within a wide frame: what they give and say is theirs, and none of them asks the system for memory."""

import inspect
import subprocess
import sys

import pytest

from izhi.calls import with_room


@with_room
def divide(a: float, *, by: float = 2.0) -> float:
    """A quotient."""
    return a / by


def test_a_function_stays_what_it_is():
    assert divide(3.0) == 1.5
    assert divide(3.0, by=4.0) == 0.75
    with pytest.raises(ZeroDivisionError):
        divide(1.0, by=0.0)
    assert divide.__name__ == "divide"
    assert divide.__doc__ == "A quotient."
    assert list(inspect.signature(divide).parameters) == ["a", "by"]


def test_calls_of_every_depth_have_room():
    """In a process of its own, whose faults of pages are those of these calls."""
    script = """
import resource, sys
from izhi.calls import with_room

def down(depth):
    if depth:
        down(depth - 1)
    else:
        for _ in range(2000):
            leaf(1, 2, 3)

def leaf(a, b, c):
    return a

def every_depth():
    for depth in range(150):
        down(depth)

with_room(every_depth)()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
with_room(every_depth)()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # without room a loop at the end of a piece has 2000
