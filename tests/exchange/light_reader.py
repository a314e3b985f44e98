"""Reads one file of NIR after another, each in a copy of this process: it is light, and copied in no time.

Tests that read thousands of files would wait long for as many new processes. A path a line comes in; out goes a line of
JSON: null where the file was read, whose arrays then lie beside it in an .npz, or else what is wrong with it.
"""

import json
import os
import sys
from pathlib import Path

import h5py  # noqa: F401  its copies need not load it

from izhi.exchange import hdf5


def problem(path):
    try:
        Path(path).with_suffix(".npz").write_bytes(hdf5.packed(path))
    except MemoryError:
        return "it takes more memory than its size justifies"
    except Exception as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


def main():
    hdf5._SECONDS = 0.3
    hdf5._BYTES = 16 << 20
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            print(json.dumps(problem(line.removesuffix("\n"))), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(json.dumps(hdf5.ended(os.WTERMSIG(status))), flush=True)


if __name__ == "__main__":
    main()
