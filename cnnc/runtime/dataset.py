"""The name of a data set, a directory of IDX files or an .npz file -> a Dataset.

Nothing is downloaded, scaled or augmented: images keep the type and the axes of their files
(`cnnc.runtime.for_input` adds the channel axis that a model asks for).
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.errors import DataError
from cnnc.runtime.idx import read_idx
from cnnc.runtime.npz import read_npz

SHIPPED = {"mnist": Path(__file__).parent / "datasets" / "mnist"}

_IDX_STEMS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_IDX_TYPES = ("idx3-ubyte", "idx1-ubyte", "idx3-ubyte", "idx1-ubyte")
_NPZ_NAMES = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples to train on and samples to test with; the test set may be empty.

    Images are (n, ...). Labels are class numbers (n,) of any integer type, kept as int64, or
    the real targets (n, ...) of a regression, kept as float32.
    Raises DataError where images and labels do not belong together.
    """

    name: str
    train_images: NDArray[Any] = field(repr=False)
    train_labels: NDArray[Any] = field(repr=False)
    test_images: NDArray[Any] = field(repr=False)
    test_labels: NDArray[Any] = field(repr=False)

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            images = np.asarray(getattr(self, f"{part}_images"))
            labels = _labels(np.asarray(getattr(self, f"{part}_labels")), f"{self.name}: {part}")
            if images.dtype.kind not in "biuf" or images.ndim < 2:
                raise DataError(
                    f"{self.name}: {part} images are {images.dtype} {images.shape}, "
                    "expected numbers (n, ...)"
                )
            if len(images) != len(labels):
                raise DataError(
                    f"{self.name}: {len(images)} {part} images, but {len(labels)} {part} labels"
                )
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{self.name}: train images of shape {self.train_images.shape[1:]}, "
                f"but test images of {self.test_images.shape[1:]}"
            )


def load_dataset(source: str | os.PathLike[str]) -> Dataset:
    """Load a shipped data set by name ("mnist"), a directory of four IDX files, or an .npz file.

    A plain name means the shipped one; "./mnist" or a Path is always a path. The IDX files have
    the names of MNIST's (train-images-idx3-ubyte, …), each gzipped or not. An .npz file holds
    train_images, train_labels, test_images, test_labels, or x_train, y_train, x_test, y_test.
    Raises DataError for whatever cannot be read.
    """
    if isinstance(source, str) and source in SHIPPED:
        return _load_directory(source, SHIPPED[source])
    path = Path(source)
    if path.is_dir():
        return _load_directory(str(path), path)
    if path.suffix == ".npz":
        return _load_npz(path)
    if path.exists():
        raise DataError(f"{path}: expected a directory of IDX files or an .npz file")
    if path.name != os.fspath(source) or path.suffix or not isinstance(source, str):
        raise DataError(f"{path}: no such file or directory")
    close = difflib.get_close_matches(source.lower(), SHIPPED, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(SHIPPED)}"
    raise DataError(f"no data set is called {source!r}, and no file or directory; {hint}")


def _load_directory(name: str, directory: Path) -> Dataset:
    files = [
        _find(directory, stem, kind) for stem, kind in zip(_IDX_STEMS, _IDX_TYPES, strict=True)
    ]
    arrays = [read_idx(file) for file in files]
    for part in (0, 2):
        images, labels = arrays[part], arrays[part + 1]
        if images.ndim < 2:
            raise DataError(f"{files[part]}: shape {images.shape}, expected images (n, ...)")
        if labels.ndim < 1 or len(images) != len(labels):
            raise DataError(
                f"{files[part]}: {len(images)} images, but {files[part + 1].name} "
                f"holds labels of shape {labels.shape}"
            )
    return Dataset(name, *arrays)


def _find(directory: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{joint}{kind}{suffix}" for joint in "-." for suffix in ("", ".gz")]
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise DataError(f"{directory / names[0]}: no such file, with or without .gz")


def _load_npz(path: Path) -> Dataset:
    arrays = read_npz(path)
    for names in _NPZ_NAMES:
        if all(name in arrays for name in names):
            return Dataset(str(path), *(arrays[name] for name in names))
    wanted = " or ".join(", ".join(names) for names in _NPZ_NAMES)
    raise DataError(f"{path}: holds {', '.join(arrays) or 'no arrays'}; expected {wanted}")


def _labels(labels: NDArray[Any], where: str) -> NDArray[Any]:
    """Class numbers as int64 (n,), targets as float32 (n, ...)."""
    if labels.ndim and labels.dtype.kind == "f":
        return labels.astype(np.float32, copy=False)
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where} labels are {labels.dtype} {labels.shape}, expected integers (n,)")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(f"{where} labels have shape {labels.shape}, expected (n,)")
    return labels.astype(np.int64)
