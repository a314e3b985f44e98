"""Forms, workflows and CITATION.cff: that they are read, and agree with what else says the same."""

import re
import sys
from pathlib import Path

import pytest

from izhi.version import __version__

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
FORGE = ROOT / ".github"
FORMS = sorted(x for x in FORGE.glob("ISSUE_TEMPLATE/*.yml") if x.stem != "config")
WORKFLOWS = sorted(FORGE.glob("workflows/*.yml"))

pytestmark = pytest.mark.skipif(not FORGE.is_dir(), reason="there is no .github here")


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_there_are_forms_and_workflows():
    assert {x.stem for x in FORMS} == {"bug", "feature", "question"}
    assert {x.stem for x in WORKFLOWS} == {"release", "test"}
    assert read(FORGE / "ISSUE_TEMPLATE" / "config.yml")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_something_that_must_be_answered(path):
    form = read(path)
    assert form["name"]
    assert form["description"]
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in asked}) == len(asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_little_and_not_for_long(path):
    workflow = read(path)
    assert "concurrency" in workflow
    assert workflow["permissions"] in ({}, {"contents": "read"})
    assert "secrets." not in path.read_text()
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert re.search(r"@(v\d+|[0-9a-f]{40})$", step.get("uses", "@v1")), step


def test_one_job_alone_may_publish():
    jobs = read(FORGE / "workflows" / "release.yml")["jobs"]
    may = {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})}
    assert may == {"publish"}
    assert jobs["publish"]["environment"] == "pypi"
    assert jobs["publish"]["needs"] == "build"


def test_the_tested_pythons_are_those_that_are_promised():
    tested = read(FORGE / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    known = project()
    named = [x.rpartition(" ")[2] for x in known["classifiers"] if re.search(r"Python :: 3\.\d+$", x)]
    assert tested == named
    assert known["requires-python"] == f">={tested[0]}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"| Python | {tested[0]}–{tested[-1]} |" in readme


def test_the_citation_is_of_this_version():
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == __version__
    assert citation["license"] == project()["license"]
    assert citation["authors"] == project()["authors"]
