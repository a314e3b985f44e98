"""Downloads, by pooch: a file appears under its name only when it is whole and verified."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from izhi import files
from izhi.data import damage
from izhi.errors import DataError, FileError, shown

#: Told, a line at a time, what is being downloaded.
Progress = Callable[[str], None]
#: Looks at a file that has arrived from an address; raises DataError if it is not right.
Check = Callable[[Path, str], None]


def nothing(path: Path, address: str) -> None:
    """The check of a file of which its checksum says enough."""


def fetch(addresses: Sequence[str], target: Path, *, md5: str | None = None, check: Check = nothing) -> str | None:
    """Fetch a file from the first address that gives it whole.

    Args:
        addresses: where it may be (http or https).
        target: where it goes.
        md5: of its bytes; None if ``check`` alone says whether it is right.
        check: looks at it before it gets its name.

    Returns:
        None, or why no address gave it.

    Raises:
        FileError: if the target cannot be written.
    """
    import pooch
    from requests import HTTPError, RequestException

    pooch.get_logger().setLevel("WARNING")  # What it does is said by the data sets.

    def download(address: str, partial: str, manager: object) -> None:
        pooch.HTTPDownloader(chunk_size=1 << 20)(address, partial, manager)
        check(Path(partial), address)

    reasons = []
    files.make_folder(target.parent)
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
        except ValueError as error:  # another checksum, which pooch goes on to explain, or no address at all
            reasons.append(f"{address}: {str(error).split('. ')[0]}")
        except OSError as error:
            raise FileError(f"cannot write {target}: {files.problem(error)}") from None
    return "; ".join(reasons)


def fetch_once(addresses: Sequence[str], target: Path, *, md5: str) -> str | None:
    """Fetch a file as ``fetch`` does unless it is there, as one must be that has this checksum.

    Raises:
        DataError: if it is there with another checksum.
        FileError: if it cannot be read or written.
    """
    import pooch

    if not target.is_file():
        return fetch(addresses, target, md5=md5)
    with files.reading(target):
        digest = pooch.file_hash(str(target), alg="md5")
    if digest != md5:
        raise DataError(f"{target} has MD5 {digest}, expected {md5}: delete it and fetch it again")
    return None


def _origin(error: BaseException) -> BaseException:
    """The error that began a chain of them: what the network said, without its wrappings."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def unzip(archive: Path, folder: Path, limit: int) -> None:
    """Unpack an archive into a folder, at most ``limit`` bytes, and nothing outside the folder.

    Raises:
        DataError: if it is damaged, larger, or holds paths that lead elsewhere.
        FileError: if the folder cannot be written.
    """
    with damage.caught(f"{archive} is damaged", "fetch it again"), zipfile.ZipFile(archive) as members:
        size = sum(member.file_size for member in members.infolist())
        if size > limit:
            raise DataError(f"{archive} unpacks to {size:,} bytes, expected at most {limit:,}: not this data set")
        for member in members.infolist():
            place = (folder / member.filename).resolve()
            if not place.is_relative_to(folder.resolve()):
                raise DataError(f"{archive} holds {shown(member.filename)}, which leads out of its folder")
        with files.writing(folder):
            members.extractall(folder)


def unpack(archive: Path, target: Path, limit: int) -> None:
    """Take a file or folder out of the archive that holds it, and remove the archive.

    It gets its name when it is whole.

    Raises:
        DataError: as ``unzip``, or if the archive does not hold it.
        FileError: if it cannot be written.
    """
    folder = target.with_name(f".{target.name}")
    unzip(archive, folder, limit)
    if not (folder / target.name).exists():
        raise DataError(f"{archive} holds no {target.name}; delete it and fetch it again")
    with files.writing(target):
        os.replace(folder / target.name, target)
        shutil.rmtree(folder)
        archive.unlink()
