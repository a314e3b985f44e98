"""Finds the problem of files of recordings, see ``forked``."""

import h5py  # noqa: F401  its copies need not load it

from forked import serve
from izhi.data import hdf5

if __name__ == "__main__":
    hdf5._SECONDS = 0.3
    serve(hdf5.problem_within_limits, hdf5.signal_problem)
