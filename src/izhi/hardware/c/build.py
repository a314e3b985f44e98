"""A network's C given to a compiler, in a folder of its own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from izhi.errors import DeviceError

T = TypeVar("T")


def built(command: Sequence[str], texts: Mapping[str, str], product: str, load: Callable[[Path], T]) -> T:
    """What a function makes of the file ``product``, for which a command compiles all of the C among the texts.

    Raises:
        DeviceError: if the compiler refuses them.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in texts.items():
            (folder / file).write_text(text)
        sources = [file for file in texts if file.endswith(".c")]
        done = subprocess.run([*command, *sources, "-o", product], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip() or "without a message").splitlines()[-1]
            raise DeviceError(f"{command[0]} cannot compile the network: {last}")
        return load(folder / product)


__all__ = ["built"]
