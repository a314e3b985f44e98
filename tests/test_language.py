"""The language of the project, as far as a script can check it: names, help lines, words of the README."""

import argparse
import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from izhi.cli.commands import COMMANDS
from izhi.cli.parser import parser
from izhi.experiments.settings import FIELDS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "izhi"

#: Room → names that say nothing to a reader from outside, and what replaced them.
RENAMED = {
    "data": {"caught": "as_data_error", "Remembering": "CachedReader", "take": "extract"},
    "exchange": {"Way": "LinearGraph", "Row": "NetworkBuilder", "_Row": "ConversionState"},
    "experiments": {
        "Kind": "NeuronEntry", "Look": "SampleTrace", "Together": "ParallelRunner", "go_on": "run_pending or resume",
        "look": "trace_sample", "without": "exclude_classes",
    },
    "explorer": {"Work": "BackgroundTask"},
    "kernels": {
        "Vocabulary": "OpSet", "Drive": "SynapticInput", "Deferred": "LazyTensor", "settled": "materialize",
        "Factored": "LowRankGradient", "retreat": "step_vjp", "hands_down": "needs_input_grad", "take": "record_route",
        "FEW": "SMALL_OUTPUT", "MANY": "OUTPUT_BLOCK", "own_line": "prefetch_for_write", "sum_usual": "sum_baseline",
        "weave_group": "interleave_pairs", "is_there": "has_bf16_dot", "Weighted": "FusedProduct",
        "WeightGradient": "LowRankGradient", "advance": "step",
    },
    "hardware": {"Relay": "SkidBuffer"},
    "network": {"usual": "default_encoder", "watched": "run_with_hooks"},
    "neurons": {"Mixture": "HeterogeneousPopulation", "hold": "clamp_straight_through"},
    "training": {"Gradients": "Backprop"},
}  # fmt: skip
#: Modules with names of that kind, and what replaced them.
MOVED = {
    "data/places.py": "data/local_files.py", "data/damage.py": "errors.py",
    "exchange/way.py": "exchange/graph.py", "exchange/row.py": "exchange/builder.py",
    "experiments/looks.py": "experiments/sample_trace.py",
    "experiments/inside.py": "experiments/artifact_trace.py", "experiments/rows.py": "spec/",
    "experiments/settings/kinds.py": "spec/neuron.py", "explorer/parts.py": "explorer/widgets.py",
    "kernels/cpu/frames.py": "kernels/cpu/event_binning.py",
}  # fmt: skip
#: First words of help lines that are verbs, which a noun phrase does not begin with.
VERBS = {
    "add", "begin", "choose", "clip", "compare", "continue", "draw", "end", "hold", "keep", "leave", "list", "merge",
    "read", "remove", "run", "say", "set", "show", "take", "test", "time", "train", "use", "write",
}  # fmt: skip
#: Nouns that are written as one of those verbs, with what follows them.
NOUNS = ("list, download", "list of", "run folder", "run of", "run to", "test fold", "test samples", "test accuracy",
         "time of", "time series", "time step", "time norm")  # fmt: skip
#: Names that a help line may begin with.
PROPER = {"Fabric", "Gaussian", "Izhi's", "Ray", "TensorBoard", "Verilog"}
CLAUSE = re.compile(r"\b(?:which|that is|that are|whose|if wished|is said|it is|there is)\b")
README_WORDS = 900


def named(path):
    return str(path.relative_to(ROOT))


@cache
def identifiers(room):
    """Names that the modules of a room define or use: name → the first place."""
    places = {}
    for path in sorted((SOURCE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            for kind, attribute in (
                (ast.ClassDef, "name"), (ast.FunctionDef, "name"), (ast.Name, "id"), (ast.arg, "arg"),
                (ast.Attribute, "attr"), (ast.alias, "name"),
            ):  # fmt: skip
                if isinstance(node, kind):
                    places.setdefault(getattr(node, attribute), f"{path.relative_to(SOURCE)}:{node.lineno}")
    return places


@pytest.mark.parametrize("room", RENAMED)
def test_old_names_are_gone(room):
    left = {old: identifiers(room)[old] for old in RENAMED[room] if old in identifiers(room)}
    assert left == {}, f"say {', '.join(RENAMED[room][old] for old in left)}"


def test_old_modules_are_gone():
    assert [old for old in MOVED if (SOURCE / old).exists()] == []


def test_nothing_is_called_utils():
    assert [named(x) for x in SOURCE.rglob("*util*")] == []
    text = {path: path.read_text() for path in SOURCE.rglob("*.py")}
    assert [named(path) for path, source in text.items() if re.search(r"(?:def|class) \w*[uU]tils?\b", source)] == []


@cache
def help_lines():
    """The help of every option and setting, and the line of every command: name → text."""
    lines = {f"izhi {name}": entry.about for name, entry in COMMANDS.items()}
    (commands,) = (x for x in parser(whole=True)._actions if isinstance(x, argparse._SubParsersAction))
    for name, command in commands.choices.items():
        for action in command._actions:
            if action.help != argparse.SUPPRESS:
                lines[f"izhi {name} {(action.option_strings or [action.dest])[-1]}"] = action.help or ""
    return {**lines, **{name: field.description or "" for name, field in FIELDS.items()}}


def fault_of(text):
    """Why a text is no noun phrase; None if it is."""
    first = re.split(r"[\s,;:]", text)[0]
    if not (first.islower() or not first.isalpha() or first[:2].isupper() or first in PROPER):
        return "begins with a capital"
    if text.endswith("."):
        return "ends with a point"
    if first in VERBS and not text.startswith(NOUNS):
        return "begins with a verb"
    return "has a clause" if CLAUSE.search(text) else None


def test_help_lines_are_noun_phrases():
    assert len(help_lines()) > 700
    faults = {name: (fault, text) for name, text in help_lines().items() if (fault := fault_of(text))}
    assert faults == {}


@pytest.mark.parametrize(
    "text", ["Number of steps", "number of steps.", "keep every state", "the state that is to be kept by the network"]
)
def test_what_is_no_noun_phrase_is_seen(text):
    assert fault_of(text)


def test_verbs_and_clauses_in_help_are_seen():
    assert CLAUSE.search("the library that is to read it, by whose conventions spikes are the same")
    assert "keep" in VERBS
    assert not "keep every k-th state".startswith(NOUNS)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= README_WORDS


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=named)
def test_notebooks_use_new_names(path):
    code = "\n".join("".join(x["source"]) for x in json.loads(path.read_text())["cells"] if x["cell_type"] == "code")
    old = ("izhi.Mixture", "data.found(", "from izhi import Mixture")
    assert [name for name in old if name in code] == []
