"""Compiled cores on disk: those that are empty or cut off are compiled anew before anything loads them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from networks import random_network

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from izhi.errors import SimulatorError
from izhi.hardware.core import compile, shape_of
from izhi.hardware.core.compile import library

CORE = b"a shared library that a compiler made"


def netlist_of(core):
    return f"{core.shape} {bool(core.states)}"


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """How often a core was compiled, by stand-ins for yosys and the compiler."""
    times = []

    def run(command, **options):
        Path(command[-1]).write_bytes(CORE)
        times.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compile, "cpp_compiler", lambda: "c++")
    monkeypatch.setattr(compile.yosys, "rtlil_of", lambda design, name: netlist_of(design))
    monkeypatch.setattr(compile.yosys, "run", lambda script, place: (Path(place) / "core.cc").write_text(""))
    monkeypatch.setattr(compile, "subprocess", SimpleNamespace(run=run))
    return times


def test_a_damaged_core_is_compiled_anew(compiled):
    shape = shape_of(random_network(1), 20, lanes=4, units=2)
    file = library.__wrapped__(shape)
    checksum = file.with_suffix(".sha256")
    assert library.__wrapped__(shape) == file
    assert len(compiled) == 1
    for damaged, content in (
        (file, b""), (file, CORE[:-1]), (file, CORE.upper()), (file, CORE + b"\0"),
        (checksum, b""), (checksum, checksum.read_bytes()[:20]),
    ):  # fmt: skip
        compiled.clear()
        damaged.write_bytes(content)
        assert library.__wrapped__(shape) == file
        assert (len(compiled), file.read_bytes()) == (1, CORE)
    for missing in (file, checksum):
        compiled.clear()
        missing.unlink()
        assert library.__wrapped__(shape) == file
        assert (len(compiled), file.read_bytes()) == (1, CORE)
    assert library.__wrapped__(shape) == file
    assert len(compiled) == 1


def test_a_core_is_made_once_for_each_netlist(compiled, monkeypatch):
    shape = shape_of(random_network(1), 20, lanes=4, units=2)
    found = [library.__wrapped__(shape)]
    with monkeypatch.context() as patch:
        patch.setattr(compile.yosys, "rtlil_of", lambda design, name: pytest.fail("it is there"))
        assert [library.__wrapped__(shape)] == found
    found += [library.__wrapped__(replace(shape, steps=21)), library.__wrapped__(shape, shows_states=True)]
    with monkeypatch.context() as patch:
        patch.setenv("CXXFLAGS", "-O3")
        found.append(library.__wrapped__(shape))
    assert len(set(found)) == len(compiled) == 4
    monkeypatch.setattr(compile, "_sources", lambda: "others")
    assert library.__wrapped__(shape) == found[0]
    assert len(compiled) == 4
    monkeypatch.setattr(compile.yosys, "rtlil_of", lambda design, name: "of these sources")
    assert library.__wrapped__(replace(shape, steps=22)) not in found
    assert len(compiled) == 5
    assert len(list(found[0].parent.glob("*.so"))) == 5


def test_two_threads_compile_a_core_once(compiled):
    shape = shape_of(random_network(1), 20, lanes=4, units=2)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(library.__wrapped__, [shape, shape])
    assert first == second
    assert len(compiled) == 1


def test_registers_of_a_core_share_the_branch_of_the_clock_where_nothing_is_between(compiled, monkeypatch):
    edge, end = "\tif (posedge_p_aclk) {\n", "\t}\n"
    one, two = ("\t\tone.next = one.curr;\n", "\t\tif (x) {\n\t\t\ttwo.next = y;\n\t\t}\n")
    between, comment = "\tx = one.curr;\n", "\t// cells one two\n"
    whole = comment + edge + one + end + comment + edge + two + end + between + edge + one + end + "\tif (x) {\n" + end
    written = []
    monkeypatch.setattr(compile.yosys, "run", lambda script, place: (Path(place) / "core.cc").write_text(whole + edge))
    monkeypatch.setattr(compile, "_whole", lambda core, driver: written.append(core) or core)
    library.__wrapped__(shape_of(random_network(1), 20, lanes=4, units=2))
    assert written[-1] == edge + one + two + end + between + edge + one + end + "\tif (x) {\n" + end + edge


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("core.cc:3: error: no x\n1 error generated.\n", "core.cc:3: error: no x"),
        ("ld: final link failed: No space left on device\ncollect2: error: ld returned 1 exit status\n", "ld: final"),
        ("", "without a message"),
        ("out of memory\n", "out of memory"),
    ],
    ids=["compiler", "linker", "nothing", "other"],
)
def test_a_compiler_s_own_reason_is_told(compiled, monkeypatch, said, reason):
    def fail(command, **options):
        return SimpleNamespace(returncode=1, stderr=said)

    monkeypatch.setattr(compile, "subprocess", SimpleNamespace(run=fail))
    with pytest.raises(SimulatorError, match=f"cannot compile the core: {reason}"):
        library.__wrapped__(shape_of(random_network(1), 20, lanes=4, units=2))
