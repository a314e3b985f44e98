"""Artifacts' archives taken apart and put together again, whatever their contents."""

import io
import json
import zipfile
from hashlib import sha256

import numpy as np


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, raw in contents.items():
            archive.writestr(name, raw)


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def change(path, edit):
    """Edit manifest and entries, and make the checksums right again."""
    contents = entries(path)
    manifest = json.loads(np.load(io.BytesIO(contents.pop("manifest.npy"))).tobytes())
    edit(manifest, contents)
    manifest["sha256"] = {name.removesuffix(".npy"): sha256(raw).hexdigest() for name, raw in contents.items()}
    contents["manifest.npy"] = npy(np.frombuffer(json.dumps(manifest).encode(), np.uint8))
    write(path, contents)
