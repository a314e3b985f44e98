"""Recordings: every format good and broken, binning, augmentation, streaming, and training on them."""

import hashlib
import io
import json
import shutil
import tracemalloc
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy.io import savemat

from izhi import IzhiError, cli, data
from izhi.data import nmnist, shd, stmnist
from izhi.data.events import CachedReader, EventBatch, EventSamples, checked
from izhi.errors import DataError, SettingError
from izhi.experiments import tuning
from izhi.network import encoding


def nmnist_bytes(times, x, y, p):
    times, x, y, p = (np.asarray(a, np.int64) for a in (times, x, y, p))
    columns = [x, y, (p << 7) | (times >> 16), (times >> 8) & 255, times & 255]
    return np.stack(columns, 1).astype(np.uint8).tobytes()


def write_nmnist(folder, recordings=3, seed=0):
    random = np.random.default_rng(seed)
    for part in ("Train", "Test"):
        for label in range(10):
            below = folder / part / str(label)
            below.mkdir(parents=True)
            for number in range(recordings):
                n = 200
                raw = nmnist_bytes(
                    np.sort(random.integers(0, 300_000, n)),
                    random.integers(0, 34, n),
                    np.clip(random.normal(3 * label + 3, 1, n), 0, 33),
                    random.integers(0, 2, n),
                )
                (below / f"{number:05}.bin").write_bytes(raw)


def write_shd(path, labels, *, speakers=None, change=None, seed=0):
    random = np.random.default_rng(seed)
    count = len(labels)
    content = {
        "times": [np.sort(random.uniform(0, 0.9, 50)).astype(np.float16) for _ in range(count)],
        "units": [random.integers(70 * k, 70 * k + 70, 50).astype(np.uint16) for k in labels],
        "labels": np.asarray(labels, np.uint16),
    }
    if change:
        change(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            rows = file.create_dataset(f"spikes/{name}", (count,), h5py.vlen_dtype(kind))
            for k, row in enumerate(content[name]):
                rows[k] = row
        file["labels"] = content["labels"]
        file["extra/keys"] = np.array([f"word {k}".encode() for k in range(10)])
        if speakers is not None:
            file["extra/speaker"] = np.asarray(speakers, np.uint16)


def write_stmnist(path, recordings=5):
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for label in range(10):
            for number in range(recordings):
                train = np.zeros((101, 30))
                train[random.integers(0, 100, 30), np.arange(30)] = random.choice([-1, 1], 30)
                train[100] = np.sort(random.uniform(0, 1.9, 30))
                file = io.BytesIO()
                savemat(file, {"spiketrain": train})
                archive.writestr(f"data/{label}/{number:03}.mat", file.getvalue())
            archive.writestr(f"data/{label}/{label}_LUT.mat", b"no recording")


def test_the_bytes_of_an_event():
    events = nmnist.parse(nmnist_bytes([5, 70_000, 300_000], [0, 33, 2], [0, 33, 1], [0, 1, 1]), "x")
    assert events.times.tolist() == [5, 70_000, 300_000]
    assert events.units.tolist() == [0, 2 * 34 * 34 - 1, 34 * 34 + 34 + 2]


def test_an_overflow_of_the_clock_moves_later_events_and_is_none_itself():
    events = nmnist.parse(nmnist_bytes([100, 0, 50], [1, 0, 1], [1, 240, 1], [0, 0, 0]), "x")
    assert events.times.tolist() == [100, 50 + 2**13]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (nmnist_bytes([1, 2], [3, 3], [3, 3], [0, 0])[:-1], "x holds 9 bytes, expected a multiple of 5"),
        (nmnist_bytes([9, 2], [3, 3], [3, 3], [0, 0]), "x, event 1 is at 2 µs, before event 0 at 9 µs"),
        (nmnist_bytes([1, 2], [3, 34], [3, 3], [0, 0]), "x, event 1 is at x = 34, y = 3, expected below 34"),
        (nmnist_bytes([1, 2], [3, 3], [77, 3], [0, 0]), "x, event 0 is at x = 3, y = 77, expected below 34"),
    ],
)  # fmt: skip
def test_broken_nmnist_recordings(raw, message):
    with pytest.raises(DataError, match=message):
        nmnist.parse(raw, "x")


@pytest.mark.parametrize(("times", "bad"), [([-3, 5], "-3"), ([0, 2**31], "2,147,483,648"), ([-7, 2**31], "-7")])
def test_the_time_that_no_recording_has_is_named(times, bad):
    with pytest.raises(DataError, match=f"x has an event at {bad} µs, expected 0 to 2,147,483,647"):
        checked(np.array(times), np.zeros(2, np.int64), 4, "x")


@given(raw=st.binary(max_size=60))
def test_any_bytes_are_events_of_the_sensor_or_an_error(raw):
    try:
        events = nmnist.parse(raw, "x")
    except IzhiError:
        return
    assert (np.diff(events.times) >= 0).all()
    assert ((events.units >= 0) & (events.units < 2312)).all()


def test_real_nmnist(real_data, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(real_data))
    d = data.load("nmnist")
    assert d.features == 2312
    assert len(d.train) >= 1000
    batch, labels = d.train.batch(torch.tensor([0, 999]))
    assert labels.tolist() == [0, 9]
    spikes = encoding.frames(batch, 25, 300.0).dense()
    assert 0.02 < spikes.mean() < 0.15


@pytest.mark.slow
def test_real_speech_has_speakers_that_training_knows_and_one_that_it_does_not(real_data, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(real_data))
    assert "speech" in data.recorded_names()
    d = data.load("speech")
    assert (len(d.train), len(d.test), d.features) == (1800, 700, 700)
    assert d.classes[:2] == ("zero", "one")
    assert {name: int(mask.sum()) for name, mask in d.groups.items()} == {
        "known_speakers": 200,
        "new_speakers": 500,
    }


@pytest.mark.slow
def test_formats_of_upstream_load_under_their_names(tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    write_nmnist(tmp_path / "nmnist")
    for part in ("train", "test"):
        write_shd(tmp_path / "shd" / f"shd_{part}.h5", np.arange(20) % 10)
        write_shd(tmp_path / "mine" / f"mine_{part}.h5", np.arange(20) % 10, speakers=[0] * 20)
    (tmp_path / "stmnist").mkdir()
    write_stmnist(tmp_path / "stmnist" / "archive.zip")
    for name, train, test, features in (
        ("nmnist", 30, 30, 2312), ("shd", 20, 20, 700), ("mine", 20, 20, 700), ("stmnist", 40, 10, 200),
    ):  # fmt: skip
        d = data.load(name)
        assert (len(d.train), len(d.test), d.features, len(d.classes)) == (
            train,
            test,
            features,
            10,
        )
        assert data.check(name) == [(tmp_path / name, None)] * (1 if name == "stmnist" else 2)
        _, labels = d.test.batch(slice(None))
        assert sorted(set(labels.tolist())) == list(range(10))


def test_taxels_of_one_column_are_events_of_one_time():
    train = np.zeros((101, 2))
    train[[3, 99], 0] = 1, -1
    train[100] = 0.25, 0.5
    file = io.BytesIO()
    savemat(file, {"spiketrain": train})
    events = stmnist.parse(file.getvalue(), "x")
    assert events.times.tolist() == [250_000, 250_000]
    assert sorted(events.units.tolist()) == [99, 103]


def backwards(content):
    content["times"][3][:2] = 0.5, 0.25


def foreign(content):
    content["units"][3][7] = 700


def longer(content):
    content["times"][3] = content["times"][3][:-1]


def no_number(content):
    content["times"][3][1] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (backwards, "record 3, event 1 is at 250,000 µs, before event 0 at 500,000 µs"),
        (foreign, "record 3, event 7 is from unit 700, expected below 700"),
        (longer, "record 3 has 49 times but 50 units"),
        (no_number, "record 3, event 1 has time nan"),
    ],
)
def test_broken_shd_recordings_name_file_and_record(tmp_path, change, message):
    path = tmp_path / "bad_train.h5"
    write_shd(path, np.arange(10), change=change)
    samples = EventSamples.of(shd.SHDFile(path))
    samples.batch(torch.tensor([2, 4]))
    with pytest.raises(DataError, match=message) as error:
        samples.batch(torch.tensor([2, 3]))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert message in (samples.first_problem() or "")


@pytest.mark.slow
def test_broken_shd_files(tmp_path):
    path = tmp_path / "a_train.h5"
    write_shd(path, np.arange(10))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="truncated or not in SHD's format"):
        shd.SHDFile(path)
    write_shd(path, np.arange(10), change=lambda c: c["labels"].__setitem__(4, 10))
    with pytest.raises(DataError, match="record 4 has label 10, expected below 10"):
        shd.SHDFile(path)
    write_shd(path, np.arange(10), speakers=[1] * 9)
    with pytest.raises(DataError, match="has 9 extra/speaker but 10 labels"):
        shd.SHDFile(path)


def test_broken_archives(tmp_path):
    path = tmp_path / "x.zip"
    write_stmnist(path, recordings=1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated or no archive"):
        stmnist.STMNISTArchive(path)
    for member, message in (
        (b"junk", "holds no spiketrain"),
        (b"\0" * (stmnist._LARGEST + 1), "expected at most"),
    ):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("3/a.mat", member)
        with pytest.raises(DataError, match=message):
            stmnist.STMNISTArchive(path).read(0)


def test_what_is_not_there_says_where_it_was_looked_for(tmp_path, monkeypatch, server):
    _, address = server
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    with pytest.raises(DataError, match="give it on request only: put their zip"):
        data.load("stmnist")
    monkeypatch.setitem(data.SOURCES, "shd", replace(shd.SHD, place=address))
    with pytest.raises(DataError, match="shd is not in .*shd and cannot be downloaded"):
        data.load("shd")
    absent = replace(nmnist.NMNIST, archives={"Train": (f"{address}no.zip", "0" * 32)})
    monkeypatch.setitem(data.SOURCES, "nmnist", absent)
    with pytest.raises(DataError, match="nmnist is not in .* put the folders Train and Test there"):
        data.load("nmnist")
    with pytest.raises(SettingError, match="unknown data set 'mine'"):
        data.load("mine")


def zipped(source, target):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(source.rglob("*")):
            archive.write(path, path.relative_to(source.parent))


def md5_of(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_downloads_are_verified_and_unpacked(tmp_path, monkeypatch, server):
    (upstream, address), root = server, tmp_path / "root"
    monkeypatch.setenv("IZHI_DATA", str(root))
    write_nmnist(upstream, recordings=1)
    archives = {}
    for part in ("Train", "Test"):
        zipped(upstream / part, upstream / f"{part}.zip")
        archives[part] = f"{address}{part}.zip", md5_of(upstream / f"{part}.zip")
    monkeypatch.setitem(data.SOURCES, "nmnist", replace(nmnist.NMNIST, archives=archives))
    assert len(data.load("nmnist").train) == 10
    assert sorted(x.name for x in (root / "nmnist").iterdir()) == ["Test", "Train"]
    sums = {}
    for part in ("train", "test"):
        write_shd(upstream / f"shd_{part}.h5", np.arange(10))
        with zipfile.ZipFile(upstream / f"shd_{part}.h5.zip", "w") as archive:
            archive.write(upstream / f"shd_{part}.h5", f"shd_{part}.h5")
        sums[f"shd_{part}.h5"] = md5_of(upstream / f"shd_{part}.h5.zip")
    source = replace(shd.SHD, place=address, checksums={**sums, "shd_test.h5": "0" * 32})
    monkeypatch.setitem(data.SOURCES, "shd", source)
    with pytest.raises(DataError, match="MD5 hash .* expected md5:0000.* but got [0-9a-f]{32}"):
        data.load("shd")
    assert not (root / "shd" / "shd_test.h5").exists()
    assert [x.name for x in (root / "shd").iterdir()] == ["shd_train.h5"]
    monkeypatch.setitem(data.SOURCES, "shd", replace(source, checksums=sums))
    assert len(data.load("shd").test) == 10


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../outside", b"x")
    with pytest.raises(DataError, match="leads out of its folder"):
        data.download.unzip(tmp_path / "a.zip", tmp_path / "in", 100)
    assert not (tmp_path / "outside").exists()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", b"0" * 1000)
    with pytest.raises(DataError, match="unpacks to 1,000 bytes, expected at most 100"):
        data.download.unzip(tmp_path / "a.zip", tmp_path / "in", 100)


def batch_of(*recordings, shape=(700,)):
    times, units = zip(*recordings, strict=True)
    offsets = np.cumsum([0, *(len(t) for t in times)])
    return EventBatch(
        torch.tensor(np.concatenate(times), dtype=torch.int32),
        torch.tensor(np.concatenate(units), dtype=torch.int32),
        torch.from_numpy(offsets.astype(np.int64)),
        shape,
    )


def test_events_fall_into_their_steps():
    events = batch_of(([0, 999, 1000, 1001, 9999, 10_000], [5, 5, 6, 6, 699, 1]), ([], []), ([2500], [64]))
    spikes = encoding.frames(events, 10, 10.0)
    assert spikes.shape == (10, 3, 700)
    assert spikes.dense().nonzero().tolist() == [[0, 0, 5], [1, 0, 6], [2, 2, 64], [9, 0, 699]]


def test_neighbours_are_pooled_and_events_counted():
    events = batch_of(([0, 10, 20, 30], [0, 4, 4, 699]))
    counts = encoding.frames(events, 1, 1.0, pool=5, counted=True)
    assert counts.shape == (1, 1, 140)
    assert counts[0, 0].nonzero().flatten().tolist() == [0, 139]
    assert counts[0, 0, 0] == 3
    assert torch.equal(encoding.frames(events, 1, 1.0, pool=5).dense(), (counts > 0).float())
    # 34 pixels in threes are 12; the second polarity begins at 144.
    camera = batch_of(([0, 0], [34 * 34 - 1, 34 * 34 + 34 * 3 + 5]), shape=(2, 34, 34))
    found = encoding.frames(camera, 1, 1.0, pool=3, counted=True)
    assert found.shape[-1] == 2 * 12 * 12
    assert found[0, 0].nonzero().flatten().tolist() == [143, 144 + 12 + 1]


def test_augmentation_begins_later_and_bends_time():
    events = batch_of(*[([50_000, 250_000], [1, 2])] * 200)

    def steps(**changes):
        """Where the two events are, of 100 steps; -1 where they are left out."""
        change = encoding.Augmentation(**changes)
        found = encoding.frames(events, 100, 1000.0, seed=1, augmentation=change).dense()
        first, second = found[:, :, 1], found[:, :, 2]
        return [torch.where(x.any(0), x.argmax(0), -1) for x in (first, second)]

    first, second = steps(onset=200)
    assert second.min() in (5, 6, 7)
    assert second.max() in (43, 44)
    there = first >= 0
    assert 0.5 < there.float().mean() < 0.75  # 250 of 400 ms, and what comes before 0 is gone.
    assert ((second - first)[there] - 20).abs().max() <= 1
    first, second = steps(warp=0.5)
    powers = torch.log((second + 0.5) / 100) / np.log(0.25)
    assert powers.min() < 0.7
    assert powers.max() > 1.5
    assert torch.allclose(100 * 0.05**powers - 0.5, first.float(), atol=1.5)


def test_normalised_time_takes_away_when_a_recording_begins_and_how_fast_it_goes():
    random = np.random.default_rng(0)
    times = np.sort(random.integers(0, 300_000, 400))
    units = random.integers(0, 700, 400)
    recordings = [
        (times, units),
        (times + 250_000, units),
        (times * 2, units),
        ([5, 9], [1, 2]),
        ([], []),
    ]
    events = batch_of(*recordings)

    def frames(**options):
        return encoding.frames(events, 60, 600.0, **options).dense().transpose(0, 1)

    plain, later, slower, few, none = frames(normalized=True)
    assert torch.equal(plain, later)
    assert (plain != slower).float().mean() < 0.01  # Microseconds are rounded.
    assert not torch.equal(*frames()[:2])
    active = plain.any(1).nonzero().flatten()
    assert active.min() <= 5
    assert active.max() in (46, 47, 48)
    counts = plain.sum(1).cumsum(0) / plain.sum()
    assert counts[4] < 0.07
    assert counts[44] > 0.93
    assert few[5, [1, 2]].tolist() == [1, 1]
    assert none.sum() == 0


def test_augmentation_shifts_stretches_and_drops():
    random = np.random.default_rng(0)
    recording = (np.sort(random.integers(0, 500_000, 2000)), random.integers(100, 600, 2000))
    events = batch_of(*[recording] * 40)

    def frames(seed=1, **changes):
        return encoding.frames(events, 50, 1000.0, seed=seed, augmentation=encoding.Augmentation(**changes)).dense()

    plain = frames()
    assert all(torch.equal(plain[:, 0], plain[:, b]) for b in range(40))
    shifted = frames(shift=20)
    offsets = {
        next(d for d in range(-20, 21) if torch.equal(plain[:, b].roll(d, -1), shifted[:, b])) for b in range(40)
    }
    assert len(offsets) > 10
    last = frames(stretch=0.3).sum(2).bool().int().flip(0).argmax(0)
    assert last.float().std() > 2
    # Events that share a place make the share that is left a little larger.
    left = frames(drop=0.5).sum() / plain.sum()
    assert 0.5 < left < 0.55
    assert torch.equal(frames(drop=0.5, shift=3, stretch=0.1), frames(drop=0.5, shift=3, stretch=0.1))
    assert not torch.equal(frames(drop=0.5), frames(drop=0.5, seed=2))
    counts = encoding.frames(events, 50, 1000.0, counted=True, pool=10)
    gains = encoding.Augmentation(equalize=0.5)
    changed = encoding.frames(events, 50, 1000.0, counted=True, pool=10, seed=1, augmentation=gains)
    gain = torch.log(changed.sum(0) / counts.sum(0))[:, 11:59]
    common = gain.mean(1)
    assert common.std() > 0.15  # loud and soft
    assert (gain - common[:, None]).std() > 0.2  # high and low
    assert gain.diff(dim=1).abs().max() < 0.25
    assert torch.equal(changed == 0, counts == 0)
    with pytest.raises(SettingError, match="equalize is 0.5, which needs counts"):
        frames(equalize=0.5)
    camera = batch_of(([10, 20], [34 * 34 - 1, 34 * 34]), shape=(2, 34, 34))
    seen = [
        tuple(
            encoding.frames(camera, 1, 1.0, seed=s, augmentation=encoding.Augmentation(shift=1))
            .dense()[0, 0]
            .nonzero()
            .flatten()
            .tolist()
        )
        for s in range(40)
    ]
    # The last pixel of the first polarity never becomes the first of the second, nor of another row.
    assert {unit for found in seen for unit in found} == {
        33 * 34 + 33, 32 * 34 + 33, 33 * 34 + 32, 32 * 34 + 32,
        1156, 1157, 1156 + 34, 1156 + 35,
    }  # fmt: skip


def test_binning_does_not_depend_on_the_number_of_threads():
    random = np.random.default_rng(1)
    events = batch_of(*[
        (np.sort(random.integers(0, 10**6, n)), random.integers(0, 700, n)) for n in (0, 900, 3, 77, 500)
    ])  # fmt: skip
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            changes = encoding.Augmentation(shift=9, stretch=0.2, drop=0.3)
            found.append(encoding.frames(events, 30, 900.0, augmentation=changes, seed=4).words)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


def test_memory_does_not_grow_with_the_data_set(tmp_path):
    write_nmnist(tmp_path, recordings=8)
    samples = EventSamples(
        CachedReader(nmnist.NMNISTFolder(tmp_path / "Train"), 20_000), np.arange(80), torch.zeros(80)
    )
    tracemalloc.start()
    for index in torch.arange(80).split(8):
        samples.batch(index)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 60_000
    assert samples.reader.left >= 0


def test_rows_of_an_image_arrive_one_after_another():
    values = torch.arange(12.0).view(1, 12) / 12
    current = encoding.rows(values, 6, 4)
    assert current.shape == (6, 1, 4)
    assert torch.equal(current[::2, 0], values.view(3, 4))
    assert torch.equal(current[1::2], current[::2])
    with pytest.raises(SettingError, match="steps is 5, expected a multiple of 3"):
        encoding.rows(values, 5, 4)


@pytest.mark.slow
def test_training_on_recordings(tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    write_shd(tmp_path / "mine" / "mine_train.h5", np.arange(200) % 10, speakers=np.arange(200) % 4)
    write_shd(tmp_path / "mine" / "mine_test.h5", np.arange(60) % 10, speakers=np.arange(60) % 5, seed=1)
    common = ["--dataset", "mine", "--steps", "20", "--hidden", "64", "--epochs", "4", "--batch-size", "20",
              "--learning-rate", "5e-3", "--shift", "2", "--quiet"]  # fmt: skip
    results = []
    for out in ("a", "b"):
        assert cli.main(["train", *common, "--out", str(tmp_path / out), "--json", str(tmp_path / "r.json")]) == 0
        results.append(json.loads((tmp_path / "r.json").read_text()))
    first, again = results
    assert first["test_accuracy"] > 0.9
    last = first["history"][-1]
    assert last["test_accuracy"] == pytest.approx(
        0.8 * last["test_accuracy_known_speakers"] + 0.2 * last["test_accuracy_new_speakers"]
    )
    assert first["config"]["window"] == 1000.0
    both = ["compare", *common, "--neurons", "lif", "--out", str(tmp_path / "c"), "--epochs", "1"]
    assert cli.main(both) == 0
    assert "| known speakers (%) | new speakers (%) |" in (tmp_path / "c" / "report.md").read_text()
    strip = [[{k: v for k, v in row.items() if "seconds" not in k} for row in r["history"]] for r in results]
    assert strip[0] == strip[1]
    assert again["test_accuracy"] == first["test_accuracy"]
    assert cli.main(["evaluate", str(tmp_path / "a"), "--json", str(tmp_path / "e.json")]) == 0
    assert json.loads((tmp_path / "e.json").read_text())["test_accuracy"] == first["test_accuracy"]


@pytest.mark.slow
def test_a_speaker_can_be_held_out_for_validation(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    for part in ("train", "test"):
        write_shd(tmp_path / "mine" / f"mine_{part}.h5", np.arange(40) % 10, speakers=np.arange(40) // 10)
    training, validation = data.hold_out_speaker(data.load("mine"), 2)
    assert validation.records.tolist() == list(range(20, 30))
    assert sorted([*training.records, *validation.records]) == list(range(40))
    options = [
        "train",
        "--dataset",
        "mine",
        "--hidden",
        "8",
        "--epochs",
        "1",
        "--quiet",
        "--steps",
        "5",
    ]
    for speaker, status in (("3", 0), ("4", 2)):
        out = ["--validation-speaker", speaker, "--out", str(tmp_path / speaker)]
        assert cli.main([*options, *out]) == status
    assert "validation_speaker is 4, expected one of several: 0, 1, 2, 3" in capsys.readouterr().err
    held = []
    whole = tuning.train
    monkeypatch.setattr(
        tuning,
        "train",
        lambda f, e, *rest, **more: held.append(e.data.validation_speaker) or whole(f, e, *rest, **more),
    )
    tune = ["tune", *options[1:], "--neurons", "lif", "--trials", "2", "--every-speaker"]
    assert cli.main([*tune, "--out", str(tmp_path / "tune")]) == 0
    assert held[:4] == [0, 1, 2, 3]
    assert len(held) > 4
    assert cli.main([*tune, "--validation-speaker", "1", "--out", str(tmp_path / "tune2")]) == 2
    assert "validation_speaker is 1, but every speaker is held out" in capsys.readouterr().err
    for part in ("train", "test"):
        write_shd(tmp_path / "nobody" / f"nobody_{part}.h5", np.arange(40) % 10)
    unknown = [*options, "--dataset", "nobody", "--validation-speaker", "1"]
    assert cli.main([*unknown, "--out", str(tmp_path / "x")]) == 2
    assert "nobody does not say who spoke" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_verified_is_counted_as_it_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    write_nmnist(tmp_path / "nmnist")
    (tmp_path / "nmnist" / "Test" / "7" / "00002.bin").unlink()
    for part, count in (("train", 30), ("test", 20)):
        write_shd(tmp_path / "mine" / f"mine_{part}.h5", np.arange(count) % 10)
    assert cli.main(["data", "verify", "nmnist", "mine", "iris", "--json", str(tmp_path / "v.json")]) == 0
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines[:3]] == [["nmnist", "verified"], ["mine", "verified"], ["iris", "embedded"]]
    counts = [(30, 29), (30, 20), (120, 30)]
    for line, (train, test) in zip(lines, counts, strict=False):
        assert line[2].startswith(f"{train} training and {test} test samples (")
    assert "(published: 70,000 recordings of MNIST" in lines[0][2]
    assert [(row["train"], row["test"]) for row in json.loads((tmp_path / "v.json").read_text())] == counts


def test_a_broken_recording_stops_training_with_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    write_nmnist(tmp_path / "nmnist")
    broken = tmp_path / "nmnist" / "Train" / "4" / "00001.bin"
    broken.write_bytes(broken.read_bytes()[:-2])
    assert cli.main(["train", "--dataset", "nmnist", "--hidden", "32", "--epochs", "1", "--validation", "0",
                     "--out", str(tmp_path / "run"), "--quiet"]) == 2  # fmt: skip
    error = capsys.readouterr().err
    assert f"{broken} holds 998 bytes, expected a multiple of 5" in error
    assert error.count("\n") == 1
    assert cli.main(["data", "verify", "nmnist"]) == 2
    assert "00001.bin holds 998 bytes" in capsys.readouterr().err
    assert cli.main(["data", "list", "nmnist"]) == 0
    shutil.rmtree(tmp_path / "nmnist")
    assert cli.main(["data", "list", "nmnist"]) == 0
    assert "not there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "nmnist", "--encoding", "rate"], "encoding is 'rate', but nmnist holds recorded events"),
        (["--dataset", "digits", "--encoding", "events"], "encoding is 'events', but digits has none"),
        (["--dataset", "iris", "--shift", "2"], "shift is 2, but iris holds no images"),
        (["--dataset", "digits", "--stretch", ".2"], "stretch is 0.2, but digits has no recorded events"),
        (["--dataset", "nmnist", "--population", "5"], "population is 5, but nmnist holds recorded events"),
        (["--dataset", "iris", "--encoding", "rows"], "encoding is 'rows', but iris holds no images"),
        (["--dataset", "digits", "--encoding", "rows"], "steps is 25, expected a multiple of 8"),
        (["--dataset", "nmnist", "--equalize", ".3"], "equalize is 0.3, but only counts have gains; add counts"),
        (["--dataset", "nmnist", "--window", "0"], "window is '0', expected greater than 0"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_data(options, message, tmp_path, capsys):
    assert cli.main(["train", *options, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.slow
def test_training_row_by_row(tmp_path):
    assert cli.main(["train", "--dataset", "digits", "--encoding", "rows", "--steps", "16", "--hidden", "64",
                     "--epochs", "6", "--batch-size", "32", "--learning-rate", "3e-3", "--quiet",
                     "--out", str(tmp_path / "run"), "--json", str(tmp_path / "r.json")]) == 0  # fmt: skip
    assert json.loads((tmp_path / "r.json").read_text())["test_accuracy"] > 0.4
