"""Reads files of NIR, see ``forked``; the arrays of one that is sound then lie beside it in an .npz."""

from pathlib import Path

import h5py  # noqa: F401  its copies need not load it

from forked import serve
from izhi.data.hdf5 import problem_of, signal_problem
from izhi.exchange import hdf5


def problem(path):
    return problem_of(lambda: Path(path).with_suffix(".npz").write_bytes(hdf5.packed(path)))


if __name__ == "__main__":
    hdf5._SECONDS, hdf5._BYTES = 0.3, 16 << 20
    serve(problem, signal_problem)
