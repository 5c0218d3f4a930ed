"""The name of a data set, a directory of IDX files or an .npz file -> a Dataset.

Nothing is downloaded, scaled or augmented: images keep the type and the axes of their files
(`cnnc.runtime.for_input` adds the channel axis that a model asks for).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
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

    Images are (n, ...). Labels are class numbers (n,), kept as int64, or (n, ...) of any integer
    type where each position has one; or the real targets (n, ...) of a regression, kept as
    float32. For a model of several inputs or targets, `images` or `labels` are dicts of arrays by
    the names that its train_step takes.
    Raises DataError where images and labels do not belong together.
    """

    name: str
    train_images: Any = field(repr=False)
    train_labels: Any = field(repr=False)
    test_images: Any = field(repr=False)
    test_labels: Any = field(repr=False)

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            where = f"{self.name}: {part} "
            images = _each(getattr(self, f"{part}_images"), "images", where, _images)
            labels = _each(getattr(self, f"{part}_labels"), "labels", where, _labels)
            _check_counts({**_by_name(images, "images"), **_by_name(labels, "labels")}, self, part)
            object.__setattr__(self, f"{part}_images", images)
            object.__setattr__(self, f"{part}_labels", labels)
        train, test = _by_name(self.train_images, "images"), _by_name(self.test_images, "images")
        if list(train) != list(test):
            raise DataError(
                f"{self.name}: train has {', '.join(train)}, but test {', '.join(test)}"
            )
        for name, array in train.items():
            if array.shape[1:] != test[name].shape[1:]:
                raise DataError(
                    f"{self.name}: train {name} of shape {array.shape[1:]}, "
                    f"but test {name} of {test[name].shape[1:]}"
                )


def load_dataset(source: str | os.PathLike[str], names: Sequence[str] = ()) -> Dataset:
    """Load a shipped data set by name ("mnist"), a directory of four IDX files, or an .npz file.

    A plain name means the shipped one; "./mnist" or a Path is always a path. The IDX files have
    the names of MNIST's (train-images-idx3-ubyte, …), each gzipped or not. An .npz file holds
    train_images, train_labels, test_images, test_labels, or x_train, y_train, x_test, y_test; or,
    for a model of several inputs or targets, train_NAME and test_NAME for each, e.g. train_image,
    train_patient, train_kind_target, train_size_target. `names` are those that the model's
    train_step takes, if they are known: the error for a file of other arrays lists them.
    Raises DataError for whatever cannot be read.
    """
    if isinstance(source, str) and source in SHIPPED:
        return _load_directory(source, SHIPPED[source])
    path = Path(source)
    if path.is_dir():
        return _load_directory(str(path), path)
    if path.suffix == ".npz":
        return _load_npz(path, names)
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


def _load_npz(path: Path, names: Sequence[str]) -> Dataset:
    arrays = read_npz(path)
    for usual in _NPZ_NAMES:
        if all(name in arrays for name in usual):
            return Dataset(str(path), *(arrays[name] for name in usual))
    if parts := _named_parts(arrays):
        return Dataset(str(path), *parts)
    raise DataError(f"{path}: holds {', '.join(arrays) or 'no arrays'}; expected {_wanted(names)}")


def _wanted(names: Sequence[str]) -> str:
    """What an .npz file may hold for a model that takes these inputs and targets, if known."""
    usual = " or ".join(map(", ".join, _NPZ_NAMES))
    if not names:
        return f"{usual}, or train_NAME and test_NAME for each input and each target of the model"
    own = ", ".join(f"{part}_{name}" for part in ("train", "test") for name in names)
    return f"{usual}, or {own}" if len(names) == 2 else own


def _named_parts(arrays: dict[str, Any]) -> list[dict[str, Any]]:
    """Inputs and targets of train, then of test, by name; none where the names are others.

    A target is told by its name: train_step's are `target` or end with `_target`.
    """
    parts: list[dict[str, Any]] = []
    for part in ("train_", "test_"):
        found = {n.removeprefix(part): a for n, a in arrays.items() if n.startswith(part)}
        targets = {n: a for n, a in found.items() if f"_{n.rstrip('_')}".endswith("_target")}
        parts += [{n: a for n, a in found.items() if n not in targets}, targets]
    same = set(parts[0]) == set(parts[2]) and set(parts[1]) == set(parts[3])
    return parts if same and all(parts) else []


def _each(
    given: Any, what: str, where: str, check: Callable[[NDArray[Any], str], NDArray[Any]]
) -> Any:
    """One array, or each of a dict of them, checked and converted."""
    if not isinstance(given, Mapping):
        return check(np.asarray(given), where + what)
    if not given:
        raise DataError(f"{where}{what}: a dict without arrays, expected at least one")
    return {name: check(np.asarray(array), f"{where}{name}") for name, array in given.items()}


def _by_name(arrays: Any, name: str) -> dict[str, NDArray[Any]]:
    return dict(arrays) if isinstance(arrays, dict) else {name: arrays}


def _check_counts(arrays: dict[str, NDArray[Any]], dataset: Dataset, part: str) -> None:
    first, *rest = arrays
    for name in rest:
        if len(arrays[name]) != len(arrays[first]):
            raise DataError(
                f"{dataset.name}: {len(arrays[first])} {part} {first}, "
                f"but {len(arrays[name])} {part} {name}"
            )


def _images(images: NDArray[Any], where: str) -> NDArray[Any]:
    if images.dtype.kind not in "biuf" or images.ndim < 2:
        raise DataError(f"{where}: {images.dtype} {images.shape}, expected numbers (n, ...)")
    return images


def _labels(labels: NDArray[Any], where: str) -> NDArray[Any]:
    """Class numbers as int64 (n,) or integers (n, ...), targets as float32 (n, ...)."""
    if labels.ndim and labels.dtype.kind == "f":
        return labels.astype(np.float32, copy=False)
    if labels.ndim > 1 and labels.dtype.kind == "b":  # a mask
        return labels.astype(np.uint8)
    if not labels.ndim or labels.dtype.kind not in "iu":
        raise DataError(
            f"{where}: {labels.dtype} {labels.shape}, expected integers (n,) or (n, ...)"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return labels.astype(np.int64) if labels.ndim == 1 else labels
