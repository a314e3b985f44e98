"""The artifact: what is saved is loaded, strangers' files do no harm, and it needs numpy alone."""

import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archives import change, entries, npy, write
from izhi.errors import ArtifactError
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from networks import random_network, random_spikes


def artifact_of(seed=0, **options):
    network = random_network(seed, **options)
    x = random_spikes(seed, 6, 3, 12, most=2 if seed % 2 else 1)
    scores = fixed.run(network, x).scores
    names = tuple(f"class {k}" for k in range(scores.shape[1]))
    return IntegerArtifact(network, 6, names, {"encoding": "rate"}, {"seed": seed}, x, scores)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 10**6), st.sampled_from(["izhikevich", "lif"]), st.booleans(), st.booleans(),
    st.integers(2, 8), st.sampled_from([8, 16]),
)  # fmt: skip
def test_what_is_saved_is_loaded(tmp_path_factory, seed, kind, recurrent, readout, bits, width):
    a = artifact_of(seed, kind=kind, recurrent=recurrent, readout=readout, bits=bits, width=width)
    path = tmp_path_factory.mktemp("a") / "x.izhi"
    artifact.save(a, path)
    b = artifact.load(path)
    assert (b.steps, b.classes, b.encoding, b.provenance) == (
        6,
        a.classes,
        {"encoding": "rate"},
        {"seed": seed},
    )
    assert np.array_equal(a.test_inputs, b.test_inputs)
    x = random_spikes(seed + 1, 20, 4, 12)
    one, two = (fixed.run(n.network, x, trace=True) for n in (a, b))
    assert np.array_equal(one.scores, two.scores)
    for name in ("accumulator", "current", "v", "u", "spikes"):
        for p, q in zip(getattr(one.trace, name), getattr(two.trace, name), strict=True):
            assert np.array_equal(p, q)
    again = path.with_suffix(".again")
    artifact.save(b, again)
    assert again.read_bytes() == path.read_bytes()


@given(st.integers(2, 8), st.integers(1, 20), st.integers(1, 5), st.integers(0, 99))
def test_packed_integers_come_back_and_take_their_bits(bits, columns, rows, seed):
    half = 1 << (bits - 1)
    values = np.random.default_rng(seed).integers(-half, half, (rows, columns))
    packed = artifact.pack(values, bits)
    assert packed.shape == (rows, -(-columns * bits // 8))
    assert np.array_equal(artifact.unpack(packed, bits, columns), values)


def test_the_first_bits_of_a_byte_are_the_first_weight():
    assert artifact.pack(np.array([[1, -1, 7]]), 4).tolist() == [[0xF1, 0x07]]


def test_it_loads_without_torch(tmp_path):
    artifact.save(artifact_of(), tmp_path / "x.izhi")
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "numba", "snntorch", "pydantic"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from izhi.hardware import artifact, fixed
a = artifact.load(sys.argv[1])
print(fixed.run(a.network, a.test_inputs).scores.sum())
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.izhi")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "x.izhi") as whole:
        assert json.loads(whole["manifest"].tobytes())["version"] == artifact.VERSION


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def pickled(manifest, contents):
    contents["layers.0.weight.npy"] = npy(np.array([Evil()], object), allow_pickle=True)


def huge(manifest, contents):
    raw = contents["layers.0.weight.npy"]
    contents["layers.0.weight.npy"] = raw.replace(b"(9, 6)", b"(9999999, 6)").replace(b" " * 6 + b"\n", b"\n")


def wider(manifest, contents):
    manifest["layers"][0]["inputs"] = 13


def floats(manifest, contents):
    contents["layers.0.c.npy"] = npy(np.zeros(9, np.float32))


def unconnected(manifest, contents):
    manifest["layers"][1]["inputs"] = 8


def beyond(manifest, contents):
    contents["layers.0.c.npy"] = npy(np.full(9, 5000, np.int16))


def lacking(manifest, contents):
    del contents["layers.1.multiplier.npy"]


def newer(manifest, contents):
    manifest["version"] = 2


def nameless(manifest, contents):
    manifest["classes"] = ["a"]


def bits(manifest, contents):
    manifest["layers"][0]["weight_bits"] = 64


def untrue(manifest, contents):
    contents["test.scores.npy"] = npy(np.zeros((3, 5), np.int64) + 77)


def deep(manifest, contents):
    manifest["provenance"] = {"a": True}
    manifest["layers"] = "[" * 10


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (pickled, "layers.0.weight"),
        (huge, "layers.0.weight"),
        (wider, r"'layers.0.weight' of shape \(9, 6\), expected \(9, 7\)"),
        (floats, "'layers.0.c' of float32"),
        (unconnected, "layers.1.inputs 8, expected 9, the outputs before"),
        (beyond, "layers.0.c beyond its format of 12 bits"),
        (lacking, "lacks 'layers.1.multiplier'"),
        (newer, "has version 2, expected 1; export it again"),
        (nameless, "has the classes"),
        (bits, "layers.0.weight_bits 64, expected a whole number from 2 to 8"),
        (untrue, "test vector 0 gives the scores"),
        (deep, "has no list of layers"),
    ],
)
def test_inconsistent_artifacts(tmp_path, monkeypatch, edit, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.izhi"
    artifact.save(artifact_of(), path)
    change(path, edit)
    with pytest.raises(ArtifactError, match=message) as error:
        artifact.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_damaged_and_foreign_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.izhi"
    with pytest.raises(ArtifactError, match="cannot read .*No such file"):
        artifact.load(path)
    artifact.save(artifact_of(), path)
    good = path.read_bytes()
    for wrong in (b"", good[:100], good[:-40], pickle.dumps(Evil())):
        path.write_bytes(wrong)
        with pytest.raises(ArtifactError, match="truncated or damaged"):
            artifact.load(path)
    path.write_bytes(good)
    contents = entries(path)
    write(path, contents, zipfile.ZIP_DEFLATED)  # as a bomb would be
    with pytest.raises(ArtifactError, match="compressed or encrypted"):
        artifact.load(path)
    write(path, {"manifest.npy": npy(np.frombuffer(b'{"format": "other"}', np.uint8))})
    with pytest.raises(ArtifactError, match="is no izhi artifact"):
        artifact.load(path)
    write(path, {"manifest.npy": npy(np.frombuffer(b"[" * 100_000, np.uint8))})
    with pytest.raises(ArtifactError, match="no JSON"):
        artifact.load(path)
    assert not (tmp_path / "executed").exists()


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_flipped_bytes_are_noticed_or_harmless(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("f")
    path = folder / "x.izhi"
    a = artifact_of()
    artifact.save(a, path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(raw))
    try:
        b = artifact.load(path)
    except ArtifactError:
        return
    # Some bytes of an archive, such as dates, mean nothing: then the network is the same.
    x = random_spikes(5, 9, 4, 12)
    assert np.array_equal(fixed.run(a.network, x).scores, fixed.run(b.network, x).scores)


def test_a_network_of_4_bits_is_small(tmp_path):
    network = random_network(3, (784, 512, 10))
    x = random_spikes(3, 25, 4, 784)
    scores = fixed.run(network, x).scores
    artifact.save(IntegerArtifact(network, 25, tuple("0123456789"), {}, {}, x, scores), tmp_path / "x.izhi")
    assert (tmp_path / "x.izhi").stat().st_size < 260_000
