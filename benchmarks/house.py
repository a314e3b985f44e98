"""What a newcomer meets in src/izhi, in numbers; the same for another tree beside it.

    python benchmarks/house.py                          # this tree
    git worktree add ../other COMMIT
    python benchmarks/house.py --against ../other       # both, side by side
    python benchmarks/house.py --list "functions over 40 lines"

All but the last three counts come from the syntax alone. Those trace the calls from a run's settings to its network:
a change of room is a call, or its return, between modules of two folders; a climb is a call into a room above the
caller's.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]

#: Rooms from the ground up: each may call those before it.
FLOORS = (
    "root", "spec", "equation", "kernels", "data", "hardware", "neurons", "network", "training", "quantization",
    "exchange", "experiments", "explorer", "cli",
)  # fmt: skip

#: Builds the networks of three runs and prints how often the room changed, how often upwards, and in which rooms.
TRACE = """
import json, sys
from pathlib import Path
floors = json.loads(sys.argv[1])
from izhi.experiments import build
from izhi.experiments.settings import experiment
import izhi
source = str(Path(izhi.__file__).parent)
runs = [
    {"dataset": "digits", "neuron": "normalized", "hidden": [16], "learn": "a1,b1", "per_neuron": True},
    {"dataset": "digits", "neuron": "lif", "hidden": [16, 8], "connection": "recurrent-exponential", "delays": 3},
    {"dataset": "digits", "neuron": "RS", "layers": "conv 4x3 norm, pool 2, 16", "readout": "membrane"},
]
rooms, changes, climbs, stack = set(), 0, 0, []
def floor(room):  # a folder in a room lies below the room's own modules
    return floors.index(room.split("/")[0]) - 0.5 * ("/" in room)
def room_of(frame):
    name = frame.f_code.co_filename
    if not name.startswith(source):
        return None
    parts = Path(name).relative_to(source).parts
    return "/".join(parts[:-1]) or "root"
def trace(frame, event, argument):
    global changes, climbs
    if event == "call":
        before = stack[-1] if stack else None
        room = room_of(frame) or before
        stack.append(room)
        if room and before and room != before:
            changes += 1
            climbs += floor(room) > floor(before)
        rooms.add(room)
    elif event == "return" and stack:
        left = stack.pop()
        changes += bool(stack and left and stack[-1] and left != stack[-1])
for turn in range(2):  # the first one imports
    rooms, changes, climbs, stack = set(), 0, 0, []
    sys.setprofile(trace if turn else None)
    for values in runs:
        build.network(experiment(values), (8, 8) if "layers" in values else (64,), 10)
    sys.setprofile(None)
rooms.discard(None)
print(json.dumps([changes, climbs, sorted(rooms)]))
"""


class Tree:
    """The Python sources of one tree, parsed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "src" / "izhi"
        files = sorted(self.source.rglob("*.py"))
        self.texts = {path.relative_to(self.source): path.read_text() for path in files}
        self.trees = {path: ast.parse(text) for path, text in self.texts.items()}

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
        """Every node of these kinds, with its file."""
        for path, tree in self.trees.items():
            yield from ((path, node) for node in ast.walk(tree) if isinstance(node, kinds))

    def lines(self) -> list[str]:
        """A line of the report for each line of a source."""
        return [str(path) for path, text in self.texts.items() for _ in text.splitlines()]

    def long_files(self) -> list[str]:
        """Files of more than 400 lines."""
        counts = {path: len(text.splitlines()) for path, text in self.texts.items()}
        return [f"{path}: {count}" for path, count in counts.items() if count > 400]

    def long_functions(self) -> list[str]:
        """Functions of more than 40 lines, docstring included."""
        places = []
        for path, node in self.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
            assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > 40:
                places.append(f"{path}:{node.lineno}: {node.name}, {length}")
        return places

    def untyped(self) -> list[str]:
        """Uses of Any, and of names that stand for a type with Any in it."""
        aliases = {"Any"}
        for _ in range(2):  # an alias of an alias
            for _, tree in self.trees.items():
                for node in tree.body:
                    target: ast.expr | None = node.target if isinstance(node, ast.AnnAssign) else None
                    if isinstance(node, ast.Assign) and len(node.targets) == 1:
                        target = node.targets[0]
                    value = getattr(node, "value", None)
                    if isinstance(target, ast.Name) and value is not None and _is_type(value):
                        names = {x.id for x in ast.walk(value) if isinstance(x, ast.Name)}
                        if names & aliases and target.id[:1].isupper() and not target.id.isupper():
                            aliases.add(target.id)
        return [
            f"{path}:{getattr(node, 'lineno', 0)}: {node.id}"
            for path, node in self.nodes(ast.Name)
            if isinstance(node, ast.Name) and node.id in aliases
        ]

    def shared_classes(self) -> list[str]:
        """Names of classes that two modules define."""
        names = Counter(node.name for _, node in self.nodes(ast.ClassDef) if isinstance(node, ast.ClassDef))
        return [f"{name}: {count}" for name, count in sorted(names.items()) if count > 1]

    def unformatted(self) -> list[str]:
        """Statements that the formatter leaves alone."""
        return self._lines_with(r"# fmt: skip")

    def naming_lif(self) -> list[str]:
        """Files that name LIF."""
        return [str(path) for path, text in self.texts.items() if re.search(r"\b(LIF|lif)\b", text)]

    def deciding_routes(self) -> list[str]:
        """Functions that record which kernel runs, and so decide it."""
        return self._functions_calling(
            "take", "record_route", "RecordedRoute", within=("kernels", "network"), receivers=("paths",)
        )

    def neuron_loops(self) -> list[str]:
        """Innermost loops of CPU kernels in which a neuron's step, forward or backward, stands."""
        places = set()
        for path, loop in self.nodes(ast.For, ast.While):
            if path.parts[:2] != ("kernels", "cpu"):
                continue
            inner = {
                id(x)
                for deeper in ast.walk(loop)
                if deeper is not loop and isinstance(deeper, (ast.For, ast.While))
                for x in ast.walk(deeper)
            }
            for call in (x for x in ast.walk(loop) if isinstance(x, ast.Call) and id(x) not in inner):
                if isinstance(call.func, ast.Name) and call.func.id in ("advance", "retreat", "step", "step_vjp"):
                    places.add(f"{path}:{call.lineno}: {call.func.id}")
        return sorted(places)

    def _lines_with(self, pattern: str) -> list[str]:
        return [
            f"{path}:{number}"
            for path, text in self.texts.items()
            for number, line in enumerate(text.splitlines(), start=1)
            if re.search(pattern, line)
        ]

    def _functions_calling(self, *names: str, within: tuple[str, ...], receivers: tuple[str, ...]) -> list[str]:
        places = []
        for path, node in self.nodes(ast.FunctionDef):
            if path.parts[0] in within and isinstance(node, ast.FunctionDef):
                for call in (x.func for x in ast.walk(node) if isinstance(x, ast.Call)):
                    by_name = isinstance(call, ast.Name) and call.id in names
                    of_module = (
                        isinstance(call, ast.Attribute)
                        and call.attr in names
                        and isinstance(call.value, ast.Name)
                        and call.value.id in receivers
                    )
                    if by_name or of_module:
                        places.append(f"{path}:{node.lineno}: {node.name}")
                        break
        return places

    def rooms(self) -> tuple[int, int, list[str]]:
        """Changes of room, climbs, and rooms on the way from settings to networks."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "src")}
        command = [sys.executable, "-c", TRACE, json.dumps(FLOORS)]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        changes, climbs, rooms = json.loads(done.stdout)
        return int(changes), int(climbs), list(rooms)


def _is_type(value: ast.expr) -> bool:
    """Whether an expression could be a type: names and subscripts alone."""
    return isinstance(value, (ast.Name, ast.Subscript, ast.BinOp))


COUNTS: dict[str, Callable[[Tree], list[str]]] = {
    "lines": Tree.lines,
    "functions over 40 lines": Tree.long_functions,
    "files over 400 lines": Tree.long_files,
    "uses of Any and its aliases": Tree.untyped,
    "class names used twice": Tree.shared_classes,
    "statements with fmt: skip": Tree.unformatted,
    "files that name LIF": Tree.naming_lif,
    "functions that decide a route": Tree.deciding_routes,
    "loops over a neuron's steps": Tree.neuron_loops,
}


def counts(tree: Tree) -> dict[str, str]:
    """Every number of a tree, as text."""
    numbers = {name: f"{len(count(tree)):,}" for name, count in COUNTS.items()}
    any_name = "uses of Any and its aliases"
    numbers[any_name] += f" ({1000 * len(COUNTS[any_name](tree)) / len(tree.lines()):.1f} per 1,000 lines)"
    changes, climbs, rooms = tree.rooms()
    return {**numbers, "changes of room": f"{changes:,}", "climbs": f"{climbs:,}", "rooms": f"{len(rooms)}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another tree, such as a worktree of an earlier commit")
    parser.add_argument("--list", choices=[name for name in COUNTS if name != "lines"], help="the places of one count")
    options = parser.parse_args()
    here = Tree(HERE)
    if options.list:
        print(*COUNTS[options.list](here), sep="\n")
        return
    columns = [counts(tree) for tree in ([Tree(options.against)] if options.against else []) + [here]]
    for name in columns[0]:
        print(f"{name:32}", *(f"{column[name]:>30}" for column in columns))


if __name__ == "__main__":
    main()
