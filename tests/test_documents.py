"""What documents, notebooks and files of settings tell readers to type: commands parse, settings hold."""

import contextlib
import io
import json
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from izhi import cli
from izhi.equation import literature
from izhi.exchange.conventions import LIBRARIES
from izhi.experiments import comparison, comparison_report
from izhi.experiments.settings import experiment, read
from izhi.experiments.variants import named_variants
from izhi.spec import ORDERS, PATTERNS

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: Those of the reference are made of the program itself.
MADE = ROOT / "docs" / "reference"
PAGES = sorted(x for x in (ROOT / "docs").rglob("*.md") if MADE not in x.parents)
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
SETTINGS = sorted((ROOT / "experiments").glob("*.toml"))
#: A word that stands for what the reader has: RUN, QUANTIZED_RUN, LANES.
PLACEHOLDER = re.compile(r"[A-Z_]{3,}")


def named(path):
    return str(path.relative_to(ROOT))


def text_of(path):
    """What a file says to its reader: of a notebook its cells, of settings the comments."""
    if path.suffix == ".ipynb":
        return "\n\n".join("".join(c["source"]) for c in json.loads(path.read_text())["cells"])
    if path.suffix == ".toml":
        lines = [line for line in path.read_text().splitlines() if line.startswith("#")]
        return "\n".join(f"    {line.removeprefix('#').strip()}" for line in lines)
    return path.read_text()


def typed(text):
    """The commands that stand on lines of their own, as lists of words."""
    lines = text.replace("\\\n", " ").splitlines()
    starts = re.compile(r"(?: {4,}|[!$] ?|(?=izhi |make ))(?=(?:izhi|make) )")
    for line in (x for x in lines if starts.match(x)):
        for command in line.strip().lstrip("!$ ").split(" && "):
            yield [word for word in shlex.split(command, comments=True) if word != "…"]


def mentioned(text):
    """The commands that stand within sentences, as lists of words."""
    for found in re.findall(r"`((?:izhi|make)\s[^`]+)`", text):
        yield [word for word in shlex.split(" ".join(found.split())) if word != "…"]


@cache
def help_of(command):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as end:
        cli.parser.parser().parse_args([command, "--help-all"])
    assert end.value.code == 0
    return shown.getvalue()


def check_make(words):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for word in words[1:]:
        assert "=" in word or word in targets, f"{word} is no target of the Makefile"


def check_typed(words):
    if words[0] == "make":
        check_make(words)
        return
    # Where a number is expected, no other placeholder parses.
    parsed = cli.parser.parser().parse_args(["1" if PLACEHOLDER.fullmatch(w) else w for w in words[1:]])
    config = getattr(parsed, "config", None)
    if config is not None and config.startswith("experiments/"):
        assert (ROOT / config).is_file(), config


def check_mentioned(words):
    """A sentence may name a command without all that it needs: its options must be there."""
    if words[0] == "make":
        check_make(words)
        return
    text = help_of(words[1])
    for option in (word for word in words[2:] if word.startswith("--")):
        assert re.search(rf"{option}(?![\w-])", text), f"izhi {words[1]} has no {option}"


@pytest.mark.parametrize("path", [*DOCUMENTS, *NOTEBOOKS, *SETTINGS], ids=named)
def test_commands_parse(path):
    text = text_of(path)
    for words in typed(text):
        check_typed(words)
    for words in mentioned(text):
        check_mentioned(words)


def test_commands_are_found_and_mistakes_in_them_are_seen():
    text = (
        "Run `izhi rtl --sizes`, or\n\n    izhi quantize RUN --weights 4 \\\n      --states 12 --out Q"
        " && izhi export Q  # a comment\n    make PYTHON=python3 demo\n"
    )
    assert list(mentioned(text)) == [["izhi", "rtl", "--sizes"]]
    quantize, export, make = typed(text)
    assert quantize == shlex.split("izhi quantize RUN --weights 4 --states 12 --out Q")
    assert export == ["izhi", "export", "Q"]
    assert make == ["make", "PYTHON=python3", "demo"]
    for words in (quantize, export, make):
        check_typed(words)
    for wrong in (
        "izhi quantise RUN",
        "izhi train --epoch 3",
        "izhi run x --lanes many",
        "izhi rtl",
    ):
        with pytest.raises(cli.IzhiError):
            check_typed(wrong.split())
    with pytest.raises(AssertionError, match="izhi rtl has no --size"):
        check_mentioned(["izhi", "rtl", "--size"])
    with pytest.raises(AssertionError, match="dem is no target"):
        check_make(["make", "dem"])
    assert sum(len(list(typed(text_of(path)))) for path in DOCUMENTS) > 20
    assert sum(len(list(typed(text_of(path)))) for path in SETTINGS) >= 5


def test_scripts_that_documents_name_are_there():
    for path in DOCUMENTS:
        for script in re.findall(r"\b(?:benchmarks|experiments)/[\w-]+\.\w+", path.read_text()):
            # Of src/izhi/experiments documents name modules below src/izhi.
            places = (ROOT, ROOT / "src" / "izhi")
            is_there = any((place / script).is_file() for place in places)
            assert is_there or PLACEHOLDER.match(Path(script).stem), f"{named(path)} names {script}"


def test_files_that_the_page_of_the_architecture_names_are_there():
    """A file name alone is in the folder of the path before it, within a cell of a table."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    package, missing, count = ROOT / "src" / "izhi", [], 0
    for line in (x for x in page.splitlines() if x.startswith("| ")):
        for cell in line.split(" | "):
            folder = package
            for file in re.findall(r"`([\w/]+(?:/|\.py))`", cell):
                path = package / file if "/" in file else folder / file
                path = path if path.exists() or "/" not in file else folder / file
                count += 1
                if not path.exists():
                    missing.append(file)
                folder = path if path.is_dir() else path.parent
    assert missing == []
    assert count > 80


def test_lines_of_prose_have_at_most_100_characters():
    """Tables, code, links and images are excepted; reports are written by the program."""
    texts = [x for x in (*DOCUMENTS, ROOT / "SECURITY.md", ROOT / "CODE_OF_CONDUCT.md") if x.name != "report.md"]
    wide = []
    for path in texts:
        text = re.sub(r"^```.*?^```", lambda x: "\n" * x[0].count("\n"), path.read_text(), flags=re.M | re.S)
        for number, line in enumerate(text.splitlines(), start=1):
            prose = re.sub(r"`[^`]*`?|\]\([^)]*\)", "", line)
            if len(prose) > 100 and not re.match(r"    | *\||!\[", line):
                wide.append(f"{named(path)}:{number}")
    assert wide == []


@pytest.mark.parametrize("path", SETTINGS, ids=named)
def test_settings_resolve_for_every_variant(path, tmp_path, monkeypatch):
    monkeypatch.setenv("IZHI_DATA", str(tmp_path))
    (tmp_path / "speech").mkdir()  # known by its files, of which settings need no more than the names
    for part in ("train", "test"):
        (tmp_path / "speech" / f"speech_{part}.h5").touch()
    values = read(path)
    if path.stem == "ip":  # one file for three data sets, which the command names
        values["dataset"] = "iris"
    tables = values.pop("variants")
    variants = named_variants(tables)
    assert [variant.label for variant in variants] == list(tables)
    planned = comparison.plan(variants, [0, 1], values)
    for variant, (first, second) in planned:
        assert first != second
        assert experiment({**values, **variant.settings, "seed": 1}) == second
        (tmp_path / "config.toml").write_text(second.to_toml())
        assert experiment(read(tmp_path / "config.toml")) == second


class Row:
    """As much of a comparison's row as its headings depend on."""

    def __init__(self, groups):
        self._groups = groups

    def groups(self):
        return dict.fromkeys(self._groups)


def tables_of_comparisons(path):
    """Columns of each table of neurons that comes after an ``izhi compare``, before another section."""
    compared = False
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            compared = False
        elif line.startswith("    izhi "):
            compared = line.startswith("    izhi compare ")
        elif compared and line.startswith("| neuron |"):
            yield [column.strip() for column in line.strip("| ").split("|")]


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=named(path)) for path in DOCUMENTS if list(tables_of_comparisons(path))],
)
def test_tables_have_columns_that_the_command_prints(path):
    for columns in tables_of_comparisons(path):
        shares = [x.removesuffix(" (%)") for x in columns if x.endswith(" (%)")]
        printed = comparison_report.headings([Row(shares)])
        assert [x for x in columns if x not in printed] == []


def test_there_are_tables_of_comparisons():
    assert {"mnist.md", "neurons.md"} <= {p.name for p in DOCUMENTS if list(tables_of_comparisons(p))}


NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
           "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")  # fmt: skip
#: What documents count, and how many there are.
COUNTED = {
    r"(\w+) event orders": len(ORDERS),
    r"(\w+) firing patterns": len(PATTERNS),
    r"(\w+) libraries; conversions": len(LIBRARIES),
    r"has (\w+) packages": len([x for x in (ROOT / "src" / "izhi").iterdir() if (x / "__init__.py").exists()]),
    r"\b(?:are \[)?(\w+) notebooks": len(NOTEBOOKS),
    r"has (\w+) neurons in at most": len(literature.NEURONS),
}


@pytest.mark.parametrize("pattern", COUNTED, ids=COUNTED.get)
def test_numbers_that_documents_name_are_those_of_the_code(pattern):
    texts = [text for path in DOCUMENTS for text in re.findall(pattern, " ".join(text_of(path).split()), re.IGNORECASE)]
    named = [text.lower() for text in texts if text.lower() in NUMBERS]
    assert named
    assert {NUMBERS.index(text) for text in named} == {COUNTED[pattern]}
