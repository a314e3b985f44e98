"""Proof that the loaders take full-size data sets: files of upstream's exact layout, made of random events.

    python benchmarks/full_size.py            # all sets, a tenth of their size and all of it
    python benchmarks/full_size.py nmnist     # one of them; --shares 0.01 for a hundredth

For each size a process of its own loads the set as users do, reads every training recording once in
batches of 256, binned into 25 steps, and says how fast that was and by how much its memory grew. The
recordings that Izhi keeps once they are read are bounded, here to 16 MiB, so that growth can be seen.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

#: Recordings to learn from and to test on, and events of each: those of the real sets.
SIZES = {
    "nmnist": (60_000, 10_000, 4_100),
    "shd": (8_156, 2_264, 7_900),
    "stmnist": (6_953, 0, 900),
}
KEPT = 16 << 20


def write_nmnist(folder: Path, train: int, test: int, events: int) -> None:
    """Folders Train/<label> and Test/<label> of files with 5 bytes for each event."""
    random = np.random.default_rng(0)
    for part, count in (("Train", train), ("Test", test)):
        for label in range(10):
            (folder / part / str(label)).mkdir(parents=True)
        for number in range(count):
            times = np.sort(random.integers(0, 310_000, events))
            x, y, p = random.integers(0, [[34], [34], [2]], (3, events))
            columns = [x, y, (p << 7) | (times >> 16), (times >> 8) & 255, times & 255]
            raw = np.stack(columns, 1).astype(np.uint8).tobytes()
            (folder / part / str(number % 10) / f"{number + 1:05}.bin").write_bytes(raw)


def write_shd(folder: Path, train: int, test: int, events: int) -> None:
    """shd_train.h5 and shd_test.h5: times in seconds, float16, and units, uint16, of each recording."""
    import h5py

    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, count in (("train", train), ("test", test)):
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            times = file.create_dataset("spikes/times", (count,), h5py.vlen_dtype(np.float16))
            units = file.create_dataset("spikes/units", (count,), h5py.vlen_dtype(np.uint16))
            for k in range(count):
                times[k] = np.sort(random.uniform(0, 1.0, events)).astype(np.float16)
                units[k] = random.integers(0, 700, events).astype(np.uint16)
            file["labels"] = (np.arange(count) % 20).astype(np.uint16)
            file["extra/speaker"] = (np.arange(count) % 12).astype(np.uint16)
            file["extra/keys"] = np.array([f"word {k}".encode() for k in range(20)])


def write_stmnist(folder: Path, recordings: int, _: int, events: int) -> None:
    """A zip archive of <label>/<name>.mat, with a look-up table beside them as upstream has it."""
    from scipy.io import savemat

    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "data_submission.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(recordings):
            train = np.zeros((101, events))
            train[random.integers(0, 100, events), np.arange(events)] = random.choice([-1, 1], events)
            train[100] = np.sort(random.uniform(0, 2.0, events))
            file = io.BytesIO()
            savemat(file, {"spiketrain": train})
            archive.writestr(f"data_submission/{k % 10}/{k:05}.mat", file.getvalue())
        archive.writestr("data_submission/0/LUT.mat", b"")


WRITERS = {"nmnist": write_nmnist, "shd": write_shd, "stmnist": write_stmnist}


def _resident() -> int:
    """Bytes of memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(name: str) -> dict[str, float]:
    """Load a set from IZHI_DATA and read its training recordings once."""
    import torch

    from izhi import data
    from izhi.data import events
    from izhi.network import encoding

    events.CACHE_BYTES = KEPT
    before, began = _resident(), time.perf_counter()
    loaded, window = data.load(name), data.usual_window(name)
    opened = time.perf_counter() - began
    most, count, began = 0, 0, time.perf_counter()
    order = torch.randperm(len(loaded.train), generator=torch.Generator().manual_seed(0))
    for batch, _ in data.stream(loaded.train, torch.split(order, 256)):
        assert isinstance(batch, data.EventBatch)
        assert window is not None
        encoding.frames(batch, 25, window)
        count += len(batch.times)
        most = max(most, _resident())
    seconds = time.perf_counter() - began
    return {
        "recordings": len(loaded.train), "events": count, "opened": opened, "seconds": seconds,
        "grown": most - before,
    }  # fmt: skip


def row(name: str, share: float) -> str:
    """A row of the table: a set of that share of its size, written, loaded and read."""
    train, test, events = SIZES[name]
    with tempfile.TemporaryDirectory() as root:
        WRITERS[name](Path(root) / name, round(train * share), round(test * share), events)
        size = sum(f.stat().st_size for f in Path(root).rglob("*") if f.is_file())
        result = subprocess.run(
            [sys.executable, __file__, "--measure", name], stdout=subprocess.PIPE, text=True,
            check=True, env={**os.environ, "IZHI_DATA": root},
        )  # fmt: skip
    r = json.loads(result.stdout)
    return (
        f"| {name} | {r['recordings']:,} | {r['events'] / 1e6:.1f} M | {size / 1e6:,.0f} MB"
        f" | {r['opened']:.1f} s | {r['seconds']:.1f} s | {r['events'] / r['seconds'] / 1e6:.1f} M"
        f" | {r['grown'] / 1e6:,.0f} MB |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SIZES), help=", ".join(SIZES))
    parser.add_argument("--shares", default="0.1,1", help="of their size [%(default)s]")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    print("| data set | recordings | events | on disk | opened | epoch | events/s | memory grew by |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.sets:
        for share in map(float, options.shares.split(",")):
            print(row(name, share), flush=True)


if __name__ == "__main__":
    main()
