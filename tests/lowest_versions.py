"""Print the lowest versions that pyproject.toml declares, one requirement a line, as pip reads them.

python tests/lowest_versions.py [EXTRA ...] [--newest NAME ...]
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
NAME = re.compile(r"[\w.-]+")


def lowest(extras: list[str], newest: list[str]) -> list[str]:
    """The requirements with some extras: ``>=`` as ``==``, but for the packages named in ``newest``."""
    of_extras = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    lines = dict.fromkeys([*PROJECT["dependencies"], *of_extras])
    return [line if NAME.match(line)[0] in newest else line.replace(">=", "==", 1) for line in lines]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    parser.add_argument("--newest", nargs="*", default=[], metavar="NAME")
    arguments = parser.parse_args()
    print(*lowest(arguments.extras, arguments.newest), sep="\n")
