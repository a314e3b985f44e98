"""The file of a network for the IP: round trip, and files that are not what they say."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from archives import change, npy
from ip_networks import a_network, artifact_of
from izhi.errors import ArtifactError, SettingError
from izhi.hardware import artifact, devices as board, ip as hls_ip
from izhi.hardware.artifact import IPArtifact, load, save
from izhi.hardware.artifact.archive import ArtifactArchive
from izhi.hardware.artifact.ip import read


def an_artifact():
    found = artifact_of(a_network())
    return replace(found, encoding={"dataset": "iris", "steps": 30}, provenance={"seed": 1})


def equal(a, b):
    assert (a.network.build, a.network.sizes, a.classes) == (
        b.network.build,
        b.network.sizes,
        b.classes,
    )
    assert (a.encoding, a.provenance) == (b.encoding, b.provenance)
    for x, y in zip(a.network.layers, b.network.layers, strict=True):
        assert x.weight.tobytes() == y.weight.tobytes()
        assert x.bias.tobytes() == y.bias.tobytes()
    assert a.test_inputs.tobytes() == b.test_inputs.tobytes()
    assert np.array_equal(a.test_scores, b.test_scores)


@pytest.mark.parametrize("build", hls_ip.BUILDS)
@pytest.mark.parametrize("sizes", [(1, 1), (4, 8, 3), (16, *[16] * 8)])
def test_what_was_written_is_read(tmp_path, sizes, build):
    found = artifact_of(a_network(1, sizes, build))
    path = tmp_path / "x.izhi"
    save(found, path)
    first = path.read_bytes()
    again = load(path)
    assert isinstance(again, IPArtifact)
    equal(found, again)
    save(again, path)
    assert path.read_bytes() == first
    assert np.load(path)["layers.0.weight"].dtype == np.float32
    board.open("hls-ip", again).run(again.test_inputs)


class Evil:
    def __reduce__(self):
        return (open, ("executed", "w"))


def setting(name, value):
    return lambda manifest, contents: manifest.__setitem__(name, value)


def entry(name, array, **options):
    return lambda manifest, contents: contents.__setitem__(f"{name}.npy", npy(array, **options))


def huge(manifest, contents):
    manifest["sizes"] = [16, 16, 3]
    raw = contents["layers.0.weight.npy"]
    contents["layers.0.weight.npy"] = raw.replace(b"(8, 4)", b"(16, 16)").replace(b"  \n", b"\n", 1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (setting("version", 2), "has version 2, expected 1"),
        (setting("build", "analog"), "unknown build 'analog'"),
        (setting("build", ["izhi"]), "unknown build"),
        (setting("sizes", [4]), "has the sizes"),
        (setting("sizes", [4] * 10), "has the sizes"),
        (setting("sizes", [4, 17, 3]), "has sizes.1 17, expected a whole number from 1 to 16"),
        (setting("sizes", [4, 7, 3]), r"'layers.0.weight' of shape \(8, 4\), expected \(7, 4\)"),
        (setting("sizes", "483"), "has the sizes '483'"),
        (setting("classes", ["a"]), "expected 3 names"),
        (setting("tests", {"count": 3}), "'test.inputs' of shape"),
        (setting("encoding", []), "has no table 'encoding'"),
        (entry("layers.0.weight", np.array([Evil()], object), allow_pickle=True), "layers.0.weight"),
        (entry("layers.0.weight", np.zeros((8, 4))), "'layers.0.weight' of float64"),
        (entry("layers.0.weight", np.full((8, 4), np.nan, np.float32)), "layer 1 has a weight that is not finite"),
        (entry("test.inputs", np.full((2, 4), np.inf, np.float32)), "currents hold a value that is not finite"),
        (entry("test.scores", np.full((2, 3), 77)), "test vector 0 gives the scores"),
        (lambda manifest, contents: contents.pop("layers.1.bias.npy"), "lacks 'layers.1.bias'"),
        (huge, "layers.0.weight"),
    ],
)  # fmt: skip
def test_inconsistent_files(tmp_path, monkeypatch, edit, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.izhi"
    save(an_artifact(), path)
    change(path, edit)
    with pytest.raises(ArtifactError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_damaged_and_foreign_files(tmp_path):
    path = tmp_path / "x.izhi"
    with pytest.raises(ArtifactError, match="cannot read .*No such file"):
        load(path)
    save(an_artifact(), path)
    good = path.read_bytes()
    for wrong in (b"", good[:100], good[:-40], pickle.dumps([1])):
        path.write_bytes(wrong)
        with pytest.raises(ArtifactError, match="truncated or damaged"):
            load(path)
    path.write_bytes(good)
    change(path, setting("format", "izhi artifact"))  # as if it were the other kind
    with pytest.raises(ArtifactError):
        load(path)
    with pytest.raises(ArtifactError, match="is no izhi hls-ip artifact"):
        read(ArtifactArchive(path))


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_flipped_bytes_are_noticed_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("f") / "x.izhi"
    found = an_artifact()
    save(found, path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(raw))
    try:
        again = artifact.load(path)
    except ArtifactError:
        return
    equal(found, again)


def test_a_file_of_one_kind_on_a_device_of_the_other(tmp_path):
    found = an_artifact()
    save(found, tmp_path / "x.izhi")
    for device in ("emulator", "simulator", "pynq"):
        with pytest.raises(SettingError, match="the FPGA IP .hls-ip.; open it on the device hls-ip"):
            board.open(device, found)
    with pytest.raises(SettingError, match="open it on the device hls-ip"):
        board.Emulator().load(found)
    with pytest.raises(ArtifactError, match="expected a network in integers for Izhi's own core"):
        artifact.load_integers(tmp_path / "x.izhi")
