"""An IDX file, plain or gzipped -> a NumPy array.

The format is that of http://yann.lecun.com/exdb/mnist: two zero bytes, a type code, the rank,
one big-endian 32-bit extent per axis, then the elements, big-endian, last axis fastest.

Compression is told from the content, never from the name. Nothing is allocated on the word of a
header: a file that promises more than it holds costs what it holds.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.errors import DataError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_RANK = 32  # what every NumPy can hold
_CHUNK = 1 << 20
_Stream = io.BufferedReader | gzip.GzipFile


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one array, in native byte order and writable.

    Raises DataError for a file that is missing, damaged, truncated or longer than it says.
    """
    path = Path(path)
    try:
        with _open(path) as stream:
            return _parse(stream, path)
    except DataError:
        raise
    except EOFError:
        raise DataError(f"{path}: the gzip stream ends early, the file is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip stream: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except (ValueError, MemoryError) as error:
        raise DataError(f"{path}: {error or 'does not fit in memory'}") from error


@contextmanager
def _open(path: Path) -> Iterator[_Stream]:
    with path.open("rb") as raw:
        if raw.peek(2)[:2] != b"\x1f\x8b":
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield unpacked


def _parse(stream: _Stream, path: Path) -> NDArray[Any]:
    magic = _read(stream, 4)
    if len(magic) < 4:
        raise DataError(f"{path}: {len(magic)} bytes, expected an IDX header of at least 4")
    code, rank = magic[2], magic[3]
    if magic[:2] != b"\0\0" or code not in DTYPES:
        types = ", ".join(f"{known:02x}" for known in DTYPES)
        raise DataError(
            f"{path}: not an IDX file: it starts with {magic.hex(' ')}, "
            f"expected 00 00, a type ({types}) and a rank"
        )
    if rank > MAX_RANK:
        raise DataError(f"{path}: rank {rank}, expected at most {MAX_RANK}")
    extents = _read(stream, 4 * rank)
    if len(extents) < 4 * rank:
        raise DataError(
            f"{path}: truncated: {4 + len(extents)} bytes, "
            f"expected a header of {4 + 4 * rank} for rank {rank}"
        )
    return _elements(stream, path, struct.unpack(f">{rank}I", extents), np.dtype(DTYPES[code]))


def _elements(
    stream: _Stream, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NDArray[Any]:
    expected = math.prod(shape) * dtype.itemsize
    limit = expected + _CHUNK
    data = _read(stream, limit)
    if len(data) != expected:
        ailment = "truncated" if len(data) < expected else "too long"
        found = f"{'at least ' if len(data) == limit else ''}{len(data)}"
        raise DataError(
            f"{path}: {ailment}: {found} bytes of elements, "
            f"expected {expected} for {dtype.name} {shape}"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read(stream: _Stream, count: int) -> bytearray:
    """Up to `count` bytes; in pieces, since one read would allocate `count` at once."""
    data = bytearray()
    while len(data) < count:
        piece = stream.read(min(_CHUNK, count - len(data)))
        if not piece:
            break
        data += piece
    return data
