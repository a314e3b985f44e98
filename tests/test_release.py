"""What is released: an sdist that can be built and tested, and a wheel that runs without the checkout.

``$IZHI_DIST`` names a folder that holds both, as after ``make dist``; else they are built here.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from izhi.version import __version__

ROOT = Path(__file__).parents[1]
#: What nobody needs who has no repository.
OF_THE_REPOSITORY = {".ci/run", ".gitignore"}
#: What an environment leaves in a checkout.
LEFT = ("__pycache__", "*.egg-info", ".git", ".venv*", ".*_cache", ".hypothesis", "build", "dist", "runs")


def python(*words, interpreter=sys.executable, **options):
    """What a process prints that sees nothing of the checkout but what its folder holds."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([interpreter, *words], capture_output=True, text=True, env=own, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make(kind, source, out):
    """As a front end without an environment of its own has setuptools do it."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    python("-c", code, str(out), cwd=source)


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with an sdist of the checkout and the wheel that was built from it."""
    if named := os.environ.get("IZHI_DIST"):
        return Path(named)
    folder = tmp_path_factory.mktemp("release")
    # A copy: files of earlier builds in the checkout would come along.
    shutil.copytree(ROOT, folder / "checkout", ignore=shutil.ignore_patterns(*LEFT))
    make("sdist", folder / "checkout", folder / "dist")
    with tarfile.open(*(folder / "dist").glob("*.tar.gz")) as archive:
        archive.extractall(folder)
    make("wheel", folder / f"izhi-{__version__}", folder / "dist")
    return folder / "dist"


@pytest.mark.slow
def test_the_sdist_holds_what_the_repository_holds(dist):
    with tarfile.open(dist / f"izhi-{__version__}.tar.gz") as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "Makefile", "tests/conftest.py", "src/izhi/py.typed", "docs/hardware.md"} <= held
    assert not [name for name in held if "__pycache__" in name]
    if not (ROOT / ".git").exists():
        pytest.skip("this is no repository to compare with")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    there = {name for name in files.split("\0") if name and (ROOT / name).exists()}
    assert there - held == OF_THE_REPOSITORY & there


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(dist):
    with zipfile.ZipFile(dist / f"izhi-{__version__}-py3-none-any.whl") as archive:
        held = set(archive.namelist())
    about = {name for name in held if name.startswith(f"izhi-{__version__}.dist-info/")}
    source = ROOT / "src"
    there = {p.relative_to(source).as_posix() for p in (source / "izhi").rglob("*") if p.is_file()}
    assert held - about == {name for name in there if "__pycache__" not in name}
    assert {
        "izhi/py.typed",
        "izhi/data/__init__.pyi",
        "izhi/hardware/core/simulated.cc",
        "izhi/hardware/core/vivado.tcl",
    } <= held


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory):
    """The interpreter of a fresh environment that has the wheel, and else the packages that are here."""
    home = tmp_path_factory.mktemp("environment")
    python("-m", "venv", "--without-pip", str(home))
    its = str(home / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    site = Path(python("-c", "import site; print(site.getsitepackages()[-1])", interpreter=its).strip())
    # An editable install of the checkout is found by .pth files here, which are not read from there.
    here = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "here.pth").write_text("\n".join(here))
    wheel = str(dist / f"izhi-{__version__}-py3-none-any.whl")
    python("-m", "pip", "--python", its, "install", "--quiet", "--no-deps", "--ignore-installed", wheel)
    return its


@pytest.mark.long
def test_the_wheel_runs_without_the_checkout(installed, tmp_path):
    def izhi(*words):
        return python("-m", "izhi", *words, interpreter=installed, cwd=tmp_path)

    code = "import izhi; [getattr(izhi, name) for name in izhi.__all__]; print(izhi.__file__)"
    place = Path(python("-c", code, interpreter=installed, cwd=tmp_path).strip())
    assert place.is_relative_to(Path(installed).parents[1])
    script = Path(installed).with_name("izhi.exe" if os.name == "nt" else "izhi")
    shown = subprocess.run([script, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert shown == f"izhi {__version__}\n"
    assert "digits" in izhi("data")
    words = ["train", "--dataset", "digits", "--epochs", "1", "--hidden", "16", "--steps", "5", "--out", "run"]
    assert "test accuracy" in izhi(*words)
    assert (tmp_path / "run" / "config.toml").is_file()
    assert "of 10 digits right" in izhi("demo", "--no-core", "--out", "demo")
