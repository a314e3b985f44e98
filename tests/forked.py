"""Answers of a light process about one file after another, each by a copy of the process, which may not survive it.

Tests that read thousands of files would wait long for as many new processes. A path a line comes in; a line of JSON
goes out: what is wrong with the file, or null.
"""

import json
import os
import sys


def serve(problem, ended):
    """Answer until there are no more lines.

    Args:
        problem: of a path.
        ended: of the number of the signal that ended the copy.
    """
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            print(json.dumps(problem(line.removesuffix("\n"))), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(json.dumps(ended(os.WTERMSIG(status))), flush=True)
