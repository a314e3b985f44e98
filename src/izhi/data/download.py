"""Downloads: a file appears under its name only when it is whole and verified."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from izhi.errors import DataError

Progress = Callable[[str], None]


def md5_of(path: Path) -> str:
    """The MD5 of a file's bytes."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def expect_md5(path: Path, checksum: str, address: str) -> None:
    """Raise DataError unless the file has that MD5."""
    digest = md5_of(path)
    if digest != checksum:
        raise DataError(
            f"{address} has MD5 {digest}, expected {checksum}: it has changed or was cut off; try again"
        )


def fetch(
    addresses: Sequence[str], target: Path, verify: Callable[[Path, str], None]
) -> str | None:
    """Fetch a file from the first address that gives it whole.

    Args:
        addresses: where it may be.
        target: where it goes.
        verify: called with the partial file and its address; raises DataError if it is not right.

    Returns:
        None, or why no address gave it.

    Raises:
        DataError: if the folder cannot be written.
    """
    reasons = []
    for address in addresses:
        partial = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(
                prefix=f".{target.name}-", suffix=target.suffix, dir=target.parent
            )
            with (
                os.fdopen(handle, "wb") as out,
                urllib.request.urlopen(address, timeout=30) as response,
            ):
                while block := response.read(1 << 20):
                    out.write(block)
            verify(Path(partial), address)
            os.replace(partial, target)
            return None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reasons.append(f"{address}: {getattr(error, 'reason', error)}")
        except DataError as error:
            reasons.append(str(error))
        except OSError as error:
            raise DataError(f"cannot write to {target.parent}: {error.strerror or error}") from None
        finally:
            if partial is not None and os.path.exists(partial):
                os.unlink(partial)
    return "; ".join(reasons)


def unzip(archive: Path, folder: Path, limit: int) -> None:
    """Unpack an archive into a folder, at most ``limit`` bytes, and nothing outside the folder.

    Raises:
        DataError: if it is damaged, larger, or holds paths that lead elsewhere.
    """
    try:
        with zipfile.ZipFile(archive) as members:
            size = sum(member.file_size for member in members.infolist())
            if size > limit:
                raise DataError(
                    f"{archive} unpacks to {size:,} bytes, expected at most {limit:,}: not this data set"
                )
            for member in members.infolist():
                place = (folder / member.filename).resolve()
                if not place.is_relative_to(folder.resolve()):
                    raise DataError(
                        f"{archive} holds {member.filename!r}, which leads out of its folder"
                    )
            members.extractall(folder)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive} is damaged ({error}); fetch it again") from None
