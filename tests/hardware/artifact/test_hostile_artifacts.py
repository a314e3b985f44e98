"""Artifacts from strangers, damaged by the thousand: a network, or one line of an error, in time and in memory."""

import io
import json
import random
import zipfile
from hashlib import sha256

import numpy as np
import pytest

from archives import npy
from hostility import complaints, mutations
from ip_networks import a_network, artifact_of as ip_artifact_of
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from networks import random_network, random_spikes, with_windows
from tiers import slow_but

#: What a value of a manifest is replaced by.
STRANGE = (
    None, True, False, -1, 0, 1, 2, 7, 255, 65536, 10**6, 10**7, 2**63, 10**30, 0.5, 1e300, float("nan"), "", "x",
    "lif", [], [1], ["a", "b"], {}, {"a": 1}, [[[]]], [2, 0], [32, 30], "x" * 5000,
)  # fmt: skip
#: Shapes that a header may claim.
SHAPES = (
    "()",
    "(1,)",
    "(True, 5)",
    "(-1, 6)",
    "(0,)",
    "(1.5,)",
    "(10**9,)",
    "'x'",
    "None",
    "(99999999999999999,)",
    "[3]",
)


def integers(network=None, **options):
    network = network or random_network(1, **options)
    spikes = random_spikes(2, 6, 3, network.inputs, most=2)
    scores = fixed.run(network, spikes).scores
    names = tuple(f"class {k}" for k in range(scores.shape[-1]))
    return IntegerArtifact(network, 6, names, {"encoding": "rate"}, {"seed": 1}, spikes, scores)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Whole artifacts, as bytes."""
    path = tmp_path_factory.mktemp("whole") / "x.izhi"
    found = {"integers": [integers(), integers(kind="lif", recurrent=True, readout=True),
                          integers(with_windows(random_network(1, (64, 30, 5), readout=True), (2, 8, 6))),
                          integers(readout=True, membrane=fixed.FixedPoint(16, 3), reads="steps")],
             "ip": [ip_artifact_of(a_network(1, (4, 8, 3), build)) for build in ("izhi", "lif")]}  # fmt: skip
    whole = {}
    for kind, artifacts in found.items():
        whole[kind] = []
        for one in artifacts:
            artifact.save(one, path)
            whole[kind].append(path.read_bytes())
    return whole


def contents(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sealed(manifest, entries):
    """An archive whose checksums are right, whatever it holds."""
    if isinstance(manifest, dict):
        sums = {name.removesuffix(".npy"): sha256(raw).hexdigest() for name, raw in entries.items()}
        manifest = {**manifest, "sha256": sums}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        text = json.dumps(manifest).encode()
        for name, raw in (("manifest.npy", npy(np.frombuffer(text, np.uint8))), *entries.items()):
            archive.writestr(name, raw)
    return file.getvalue()


def places(table):
    for key, value in list(table.items() if isinstance(table, dict) else enumerate(table)):
        yield table, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def damage_the_manifest(draw, manifest, entries):
    table, key = draw.choice([p for p in places(manifest) if p[1] != "sha256" and p[0] is not manifest.get("sha256")])
    if draw.random() < 0.2:
        del table[key]
    else:
        table[key] = draw.choice(STRANGE)


def damage_a_number(draw, manifest, entries):
    """Plausible numbers reach farther than strange ones."""
    numbers = [(t, k) for t, k in places(manifest) if isinstance(t[k], int)]
    table, key = draw.choice(numbers)
    table[key] = draw.choice((table[key] + 1, table[key] - 1, 2 * table[key], table[key] * 1000, draw.randrange(40)))


def damage_an_array(draw, manifest, entries):
    name = draw.choice(list(entries))
    try:
        array = np.load(io.BytesIO(entries[name]))
    except Exception:  # damaged already
        return
    shape = tuple(draw.choice((n, n, 1, 0, n + 1, 2 * n)) for n in array.shape)
    kind = draw.choice((array.dtype, array.dtype, np.uint8, np.int16, np.int64, np.float32, ">i4", np.bool_, "U3"))
    low, high = draw.choice(((0, 2), (-128, 128), (-(2**15), 2**15), (-(2**31), 2**31), (-(2**62), 2**62)))
    values = np.random.default_rng(draw.randrange(2**32)).integers(low, high, shape)
    with np.errstate(all="ignore"):
        entries[name] = npy(values.astype(kind))


def damage_a_header(draw, manifest, entries):
    name = draw.choice(list(entries))
    found = b"{'descr': '|u1', 'fortran_order': False, 'shape': " + draw.choice(SHAPES).encode() + b", }"
    whole = found.ljust(118 - 1) + b"\n"
    entries[name] = b"\x93NUMPY\x01\x00" + len(whole).to_bytes(2, "little") + whole + entries[name][128:]


def damage_bytes(draw, manifest, entries):
    name = draw.choice(list(entries))
    (entries[name],) = mutations([entries[name]], 1, draw.randrange(2**32))


def move_an_entry(draw, manifest, entries):
    name = draw.choice(list(entries))
    raw = entries.pop(name)
    if draw.random() < 0.7:
        entries[draw.choice((draw.choice([name, *entries]), "more.npy", "../x.npy", "x" * 300))] = raw


INNER = (damage_the_manifest, damage_the_manifest, damage_a_number, damage_a_number, damage_an_array,
         damage_a_header, damage_bytes, move_an_entry)  # fmt: skip


def inner(whole, count, seed):
    """Archives that are sound, whose checksums are right, and whose contents are damaged."""
    draw = random.Random(seed)
    for _ in range(count):
        entries = contents(draw.choice(whole))
        manifest = json.loads(np.load(io.BytesIO(entries.pop("manifest.npy"))).tobytes())
        for _ in range(draw.choice((1, 1, 2, 3))):
            draw.choice(INNER)(draw, manifest, entries)
            if not entries or not isinstance(manifest, dict) or not manifest:
                break
        yield sealed(manifest, entries)


def load_all(folder, cases):
    path = folder / "x.izhi"

    def read(data):
        path.write_bytes(data)
        artifact.save(artifact.load(path), path)
        artifact.load(path)

    assert complaints(read, cases) == []


@pytest.mark.parametrize("kind", slow_but(["ip"], ["integers", "ip"]))
def test_damaged_artifacts_are_refused_or_loaded(tmp_path, samples, kind):
    whole = samples[kind]
    load_all(tmp_path, [*mutations(whole, 150, 0), *inner(whole, 350, 0)])


@pytest.mark.long
@pytest.mark.parametrize("kind", ["integers", "ip"])
def test_damaged_artifacts_are_refused_or_loaded_at_length(tmp_path, samples, kind):
    whole = samples[kind]
    load_all(tmp_path, [*mutations(whole, 2000, 1), *inner(whole, 4000, 1)])


def test_what_the_fuzzer_makes_gets_past_the_archive(samples):
    """Otherwise it would only try the checksums."""
    reached = 0
    for data in inner(samples["integers"], 100, 3):
        entries = contents(data)
        manifest = json.loads(np.load(io.BytesIO(entries.pop("manifest.npy"))).tobytes())
        sums = {name.removesuffix(".npy"): sha256(raw).hexdigest() for name, raw in entries.items()}
        reached += manifest["sha256"] == sums
    assert reached == 100


def test_entries_that_lie_upon_each_other_take_no_memory(tmp_path):
    """Every entry of the directory points to the same megabyte."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.npy", npy(np.zeros(1 << 20, np.uint8)))
        (entry,) = archive.infolist()
        for k in range(500):
            again = zipfile.ZipInfo(entry.filename)
            for name in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(again, name, getattr(entry, name))
            again.filename = f"{k:08d}.npy"
            archive.filelist.append(again)
        archive._didModify = True
    load_all(tmp_path, [file.getvalue()])
