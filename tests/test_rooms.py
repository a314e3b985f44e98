"""The rooms of the house: what each may import, that no two import one another, and that doors open."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import izhi
from izhi.cli.commands import COMMANDS
from izhi.deprecation import RenamedWarning

SOURCE = Path(__file__).parents[1] / "src" / "izhi"

#: Modules of the root that every room may use; they use no room.
COMMON = {"calls", "compiled", "deprecation", "trust", "errors", "files", "processes", "seeds", "version"}
#: Room → the rooms that it may import.
ALLOWED: dict[str, set[str]] = {
    "spec": set(),
    "equation": {"spec"},
    "data": set(),
    "kernels": {"equation", "spec"},
    "hardware": {"equation", "spec"},
    "neurons": {"equation", "kernels", "spec"},
    "network": {"data", "kernels", "neurons", "spec"},
    "training": {"data", "kernels", "network", "neurons", "spec"},
    "exchange": {"data", "equation", "kernels", "network", "neurons", "spec"},
    "quantization": {"equation", "hardware", "kernels", "network", "neurons", "spec", "training"},
    "experiments": {
        "data", "equation", "hardware", "kernels", "network", "neurons", "quantization", "spec", "training",
    },
    "explorer": {"data", "equation", "experiments", "hardware", "network", "neurons", "spec", "training"},
    "zoo": {"data", "experiments", "hardware", "network", "training"},
    "cli": {
        "data", "equation", "exchange", "experiments", "explorer", "hardware", "kernels", "network", "neurons",
        "quantization", "spec", "training", "zoo",
    },
}  # fmt: skip
#: Modules of the root that open a room, or join an ecosystem, and what they import.
DOORS = {
    "artifact": {"hardware"},
    "board": {"hardware"},
    "connections": {"network"},
    "encoding": {"network"},
    "fixed": {"hardware"},
    "hls_ip": {"hardware"},
    "nir": {"exchange"},
    "sklearn": {"network", "neurons", "spec", "training"},
    "snntorch": {"exchange", "kernels", "neurons", "spec"},
    "surrogate": {"neurons"},
}


def modules() -> dict[str, Path]:
    """Dotted names below izhi, and their files."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCE.rglob("*.py")
    }


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Modules below izhi that a file imports, wherever in it, but for its types."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (n.name[5:] for n in node.names if n.name.startswith("izhi."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            if node.module == "izhi":
                yield from (n.name for n in node.names)
            elif node.module and node.module.startswith("izhi."):
                below = node.module[5:]
                named = [f"{below}.{n.name}" for n in node.names]
                yield from (n if n in MODULES else below for n in named)


def room(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(name: str) -> None:
    for module, path in MODULES.items():
        if room(module) == name:
            for imported in imports(path):
                other = room(imported)
                assert other in {name} | COMMON | ALLOWED[name], f"{module} imports {imported}"


def test_every_module_is_in_a_room_or_known_at_the_root() -> None:
    known = {*ALLOWED, *COMMON, *DOORS, "__main__", "__init__"}
    assert {room(module) for module in MODULES} == known


@pytest.mark.parametrize("name", sorted(DOORS))
def test_a_door_opens_its_room_alone(name: str) -> None:
    others = {room(x) for x in imports(MODULES[name])} - COMMON
    assert others == DOORS[name]


def test_what_all_rooms_use_uses_no_room() -> None:
    for name in COMMON:
        assert {room(x) for x in imports(MODULES[name])} <= COMMON


def test_no_modules_import_one_another_in_a_circle() -> None:
    # A module's package is begun before it, and so is no import of its own.
    edges = {
        m: {x for x in imports(p) if x in MODULES and x != m and not m.startswith(f"{x}.")} for m, p in MODULES.items()
    }
    finished: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join([*way[way.index(module) :], module])
        if module not in finished:
            for other in sorted(edges.get(module, ())):
                visit(other, (*way, module))
            finished.add(module)

    for module in sorted(edges):
        visit(module, ())


@pytest.mark.slow
def test_every_door_opens_after_a_bare_import() -> None:
    code = "import izhi\nfor name in izhi.__all__:\n    getattr(izhi, name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_room_and_door_can_be_imported_first() -> None:
    code = f"""
import importlib, sys, torch
for name in {sorted({*DOORS, *ALLOWED, "hardware.fixed.fast"})!r}:
    for loaded in [m for m in sys.modules if m.split(".")[0] == "izhi"]:
        del sys.modules[loaded]
    importlib.import_module("izhi." + name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_bare_import_loads_no_torch() -> None:
    code = "import sys, izhi; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PUBLIC = ["izhi", "izhi.quantization", "izhi.neurons", *(f"izhi.{name}" for name in izhi._DOORS)]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_shows_its_public_names_alone(name: str) -> None:
    module = importlib.import_module(name)
    assert dir(module) == sorted(set(module.__all__)) == sorted(module.__all__)
    assert not {"torch", "np", "math", "Any"} & set(dir(module))
    for member in module.__all__:
        getattr(module, member)
    if name in {f"izhi.{door}" for door in DOORS if door not in ("nir", "sklearn", "snntorch")}:
        leaked = {x for x in vars(module) if not x.startswith("_")} - set(module.__all__)
        assert leaked == set(), "a door holds no other name"


def test_the_doors_are_listed_once() -> None:
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    names = {alias.asname for x in typed.body if isinstance(x, ast.ImportFrom) for alias in x.names}
    assert names | {"IzhiError", "__version__"} == set(izhi.__all__), "what type checkers see"
    page = (SOURCE.parents[1] / "docs" / "architecture.md").read_text()
    assert {f"`izhi.{name}`" for name in izhi._DOORS} <= set(re.findall(r"`izhi\.\w+`", page))


def test_old_names_of_doors_lead_to_new_ones() -> None:
    for old, new in {"izhi.encoding.usual": "default_encoder", "izhi.training.Gradients": "Backprop"}.items():
        module, name = old.rsplit(".", 1)
        with pytest.warns(RenamedWarning, match=f"{old} is now {module}.{new}"):
            found = getattr(importlib.import_module(module), name)
        assert found is getattr(importlib.import_module(module), new)
    for make in (izhi.LIF, izhi.Izhikevich):
        with pytest.warns(RenamedWarning, match="'size' of .* is now 'parameter_shape'"):
            neuron = make(size=3)
        with pytest.warns(RenamedWarning, match="size is now .*parameter_shape"):
            assert neuron.size == (3,)


def test_the_page_of_the_interface_labels_every_public_module_and_command() -> None:
    page = (SOURCE.parents[1] / "docs" / "interface.md").read_text()
    table = page.partition("## Maturity")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    modules = {name for row in rows for name in re.findall(r"`(izhi(?:\.\w+)?)`", row)}
    assert modules == set(PUBLIC)
    assert {name for row in rows for name in re.findall(r"`izhi (\w+)`", row)} == set(COMMANDS)
    known = re.findall(r"^- \*\*([\w ]+)\*\*:", table, re.MULTILINE)
    assert len(known) == 4
    assert all(any(label in row.rsplit("|", 2)[1] for label in known) for row in rows)
