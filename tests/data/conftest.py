"""A server of files, as mirrors are."""

import pytest

from served import served


@pytest.fixture
def server(tmp_path):
    """An HTTP server of the folder 'mirror'; the folder and its address."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with served(folder) as address:
        yield folder, f"{address}/"
