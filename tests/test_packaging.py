"""Other ways to Izhi: the conda recipe, the container, notebooks on Colab, and the citation."""

import json
import re
import shlex
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

from izhi import cli
from izhi.version import __version__
from lowest_versions import PROJECT

ROOT = Path(__file__).parents[1]
RECIPE = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text())
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: Packages whose name on conda-forge is another.
ON_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base", "lightning-fabric": "pytorch-lightning"}


def test_the_conda_recipe_needs_what_the_project_needs():
    lowest = PROJECT["requires-python"].removeprefix(">=")
    wanted = {}
    for one in map(Requirement, PROJECT["dependencies"]):
        wanted[ON_CONDA.get(one.name, one.name)] = str(one.specifier)
    found = dict(line.split() for line in RECIPE["requirements"]["run"] if not line.startswith("python "))
    assert found == wanted
    assert RECIPE["context"] == {"version": __version__, "python_min": lowest}
    builds = [line for line in RECIPE["requirements"]["host"] if line.startswith("setuptools")]
    assert builds == ["setuptools >=77"]
    [(name, target)] = PROJECT["scripts"].items()
    assert RECIPE["build"]["python"]["entry_points"] == [f"{name} = {target}"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]
    for line in RECIPE["tests"][1]["script"]:
        if line != "izhi --version":
            cli.parser.parser().parse_args(shlex.split(line)[1:])


def instructions():
    """Those of the Dockerfile, as pairs of a word and the rest."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def test_the_container_is_built_of_what_is_there():
    known = instructions()
    assert {word for word, _ in known} <= {"FROM", "ARG", "COPY", "RUN", "USER", "WORKDIR", "CMD"}
    (base,) = (rest for word, rest in known if word == "FROM")
    python = re.fullmatch(r"python:(3\.\d+)-slim-\w+", base)
    assert python, f"{base} is no small image of a named Python and system"
    assert f"Programming Language :: Python :: {python[1]}" in PROJECT["classifiers"]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for *sources, target in (rest.split() for word, rest in known if word == "COPY"):
        assert target.startswith("/source")
        copied |= set(sources)
    assert copied == kept, "the Dockerfile copies what .dockerignore lets through"
    assert all((ROOT / name).exists() for name in copied)
    assert {"pyproject.toml", "src", PROJECT["readme"], *PROJECT["license-files"]} <= copied, "a build reads these"


def test_the_container_runs_the_demo_without_privileges():
    known = instructions()
    words = [word for word, _ in known]
    user = dict(known)["USER"]
    assert user.isdigit(), "a number, which a cluster can check"
    assert int(user) > 0
    assert f"--uid {user} " in dict(known)["RUN"]
    assert max(k for k, word in enumerate(words) if word in ("RUN", "COPY")) < words.index("USER")
    assert words[-1] == "CMD"
    command = json.loads(known[-1][1])
    assert command == ["izhi", "demo"]
    cli.parser.parser().parse_args(command[1:])
    assert "pip install --no-cache-dir" in dict(known)["RUN"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_installs_izhi_on_colab_alone(path):
    first = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    model = next(x for x in nbformat.read(NOTEBOOKS[0], as_version=4).cells if x.cell_type == "code")
    assert first.source == model.source
    assert first.metadata.tags == ["remove-cell"], "the site's pages do not show it"
    calls = []

    class Shell:
        def run_line_magic(self, *words):
            calls.append(words)

    code = TransformerManager().transform_cell(first.source)
    exec(code, {"get_ipython": Shell})
    assert calls == []
    colab = {"google": object(), "google.colab": object()}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in colab.items():
            patch.setitem(sys.modules, name, module)
        exec(code, {"get_ipython": Shell})
    [(magic, words)] = calls
    assert magic == "pip"
    install, requirement = re.fullmatch(r"(install --quiet) \"(.*)\"", words).groups()
    assert install
    named = Requirement(requirement)
    assert named.name == PROJECT["name"]
    assert named.url.startswith("git+https://")
    assert named.extras <= set(PROJECT["optional-dependencies"])


def test_the_citation_has_the_date_of_the_changelog_and_no_invented_doi():
    text = (ROOT / "CITATION.cff").read_text()
    citation = yaml.safe_load(text)
    (date,) = re.findall(rf"^## {re.escape(__version__)} \((.*)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["date-released"] == date
    assert "doi" not in citation, "take this test away with the placeholder"
    assert "a placeholder: no DOI is registered yet" in text
