"""Bytes -> a file that appears whole or not at all. Knows nothing of what the files are for."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Write a file that appears under its name whole or not at all; OSError where it cannot."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # /dev/null or a pipe: to be written to, never to be replaced
        return
    with appearing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def appearing(path: Path, *, rename: bool = True) -> Iterator[Path]:
    """A fresh name beside `path`, renamed to it at the end; removed where that does not happen."""
    temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        yield temporary
        if rename:
            temporary.replace(path)
    except OSError as error:
        # The name beside it means nothing to whoever asked for this file.
        if error.filename is not None and os.fspath(error.filename) == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
