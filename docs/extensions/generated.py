"""Generate the reference pages from the program: commands, settings, Python interface."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "reference"
_NOTE = "<!-- Made by docs/extensions/generated.py; see there. -->\n\n"

#: Public modules, and the content of each.
DOORS: Mapping[str, str] = {
    "izhi": "neurons and their parameters",
    "izhi.connections": "weights, synapses and delays",
    "izhi.network": "layers and networks",
    "izhi.encoding": "encodings of values, events and time series as spikes",
    "izhi.surrogate": "surrogate gradients",
    "izhi.data": "data sets, and your own",
    "izhi.training": "the training loop",
    "izhi.quantization": "low-bit weights, fixed-point states, integers",
    "izhi.artifact": "the file of a trained integer network",
    "izhi.fixed": "the integer model",
    "izhi.board": "devices that run an artifact",
    "izhi.hls_ip": "the existing FPGA IP",
    "izhi.nir": "import and export of NIR files",
    "izhi.snntorch": "neurons for snnTorch, and conversion of its networks",
    "izhi.sklearn": "estimators of scikit-learn",
    "izhi.zoo": "trained networks that come with Izhi",
    "izhi.errors": "errors",
}


def _plain(text: str) -> str:
    """The text in one line, with markup escaped."""
    return re.sub(r"([*_`<\[\\])", r"\\\1", " ".join(text.split()))


def commands() -> str:
    """The page of commands: a section for each, with its purpose and options."""
    from izhi.cli.commands import COMMANDS
    from izhi.cli.parser import parser

    top = parser(whole=True)
    chosen = next(x for x in top._actions if isinstance(x, argparse._SubParsersAction))
    parts = [
        "# Commands\n",
        "`izhi COMMAND --help` prints the common options, `izhi COMMAND --help-all` every option.\n",
    ]
    for name, command in chosen.choices.items():
        parts += [f"## izhi {name}\n", f"{_sentence(COMMANDS[name].about)}\n"]
        parts += ["```console", *(f"$ {line}" for line in COMMANDS[name].examples.splitlines()), "```\n"]
        parts += [*_options(command), ""]
    return "\n".join(parts)


def _options(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:
        if action.dest in ("help", "help_all"):
            continue
        name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value = "" if not action.option_strings or action.nargs == 0 else f" {action.metavar or ''}".rstrip()
        if action.choices is not None and action.option_strings:
            value = f" {'|'.join(map(str, action.choices))}"
        text = (action.help or "") % {**vars(action), "prog": command.prog}
        yield f"`{name}{value}`\n: {_plain(text)}\n"


def _sentence(phrase: str) -> str:
    return f"{phrase[:1].upper()}{phrase[1:]}."


def settings() -> str:
    """The page of settings: a list for each group."""
    from izhi.experiments.settings import GROUPS

    parts = [
        "# Settings\n",
        "Each setting is a key of a TOML file, in the table of its group or at the top level, and an option of the"
        " commands that train: `learning_rate`, `--learning-rate`. A setting without a default depends on others.\n",
    ]
    for place, group in GROUPS.items():
        parts += [f"## {place}\n", f"{(group.__doc__ or '').splitlines()[0]}\n"]
        for name, field in group.model_fields.items():
            default = field.default
            shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
            shown = {"None": "", "True": "true", "False": "false", "": ""}.get(shown, shown)
            parts.append(f"`{name}{f' = {shown}' if shown else ''}`\n: {_plain(field.description or '')}\n")
        parts.append("")
    return "\n".join(parts)


def interface() -> dict[str, str]:
    """A page for each public module, and an index."""
    pages = {"api/index": "# Python interface\n\n" + "\n".join(
        f"- [`{name}`]({name}.md): {about}" for name, about in DOORS.items()
    ) + "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(DOORS) + "\n```\n"}  # fmt: skip
    seen: set[str] = set()
    for name, about in DOORS.items():
        module: Any = import_module(name)
        text = [f"# {name}\n", f"{_sentence(about)}\n"]
        for member in getattr(module, "__all__", [x for x in vars(module) if not x.startswith("_")]):
            obj = getattr(module, member)
            if not (isclass(obj) or isfunction(obj)) or not obj.__module__.startswith("izhi"):
                continue
            place = f"{obj.__module__}.{obj.__qualname__}"
            if place in seen or (obj.__module__ == "izhi.errors") != (name == "izhi.errors"):
                continue
            seen.add(place)
            kind = "autoclass" if isclass(obj) else "autofunction"
            options = ":members:\n:exclude-members: extra_repr\n" if kind == "autoclass" else ""
            text.append(f"```{{eval-rst}}\n.. {kind}:: {name}.{member}\n{_indented(options)}```\n")
        pages[f"api/{name}"] = "\n".join(text)
    return pages


def _indented(text: str) -> str:
    return "".join(f"   {line}\n" for line in text.splitlines())


def write(app: Any) -> None:
    """Write the changed pages only, so that Sphinx does not read the others again."""
    for name, text in {"commands": commands(), "settings": settings(), **interface()}.items():
        path = FOLDER / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != _NOTE + text:
            path.write_text(_NOTE + text)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write, priority=10)
    return {"parallel_read_safe": True}
