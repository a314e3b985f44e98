"""What parsers of others stumble over is a damaged file, whatever they raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from izhi.errors import DataError, IzhiError


@contextmanager
def caught(what: str, fix: str = "use an intact copy") -> Iterator[None]:
    """Within it, any exception is a DataError of one line: what is wrong, the exception's reason, what to do."""
    try:
        yield
    except IzhiError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{what} ({reason}); {fix}") from None
