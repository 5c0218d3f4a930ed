"""NumPy's own files (.npy, .npz) -> arrays.

Pickles are never loaded: a file of objects is an error, whoever wrote it.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.errors import DataError

_NPY_MAGIC = b"\x93NUMPY"


def read_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array of one .npy file. Raises DataError where there is none to read."""
    path = Path(path)
    with _explained(path), path.open("rb") as stream:
        magic = stream.read(len(_NPY_MAGIC))
        if magic != _NPY_MAGIC:
            raise DataError(f"{path}: not a .npy file: it starts with {magic!r}")
        stream.seek(0)
        array = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise DataError(
                f"{path}: longer than the {array.dtype} {array.shape} that its header announces"
            )
        return array


def read_npz(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read every array of one .npz file, by name.

    Raises DataError where one of them is damaged or holds objects.
    """
    path = Path(path)
    arrays: dict[str, NDArray[Any]] = {}
    with _explained(path), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            with _explained(path, f"array {name!r}: "), archive.open(member) as stream:
                arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
                stream.read()  # reaches the end, where the checksum is compared
    return arrays


@contextmanager
def _explained(path: Path, where: str = "") -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: {where}damaged or not an .npz file: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: {where}{error.strerror or error}") from error
    except Exception as error:  # NumPy and zipfile answer damage with a dozen types
        raise DataError(f"{path}: {where}{_reason(error)}") from error


def _reason(error: Exception) -> str:
    if "allow_pickle" in str(error):
        return "holds pickled Python objects, expected numbers; pickles are never loaded"
    if isinstance(error, MemoryError):
        return "does not fit in memory"
    return f"damaged or truncated: {error or type(error).__name__}"
