"""Arrays as files hold them -> arrays as a model's inputs and its loss take them.

Axes and types only; values stay what they are, since scaling them is a layer of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.errors import DataError
from cnnc.runtime.model import Model

Arrays = NDArray[Any] | Mapping[str, NDArray[Any]]
"""One array, or arrays by the names of a model's inputs or targets."""


def for_input(images: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Give a batch (n, ...) the axes of an input `shape` (channels first), contiguous.

    Takes (n, *shape) as it is, adds the one missing channel of (n, 28, 28) for (1, 28, 28),
    and turns channels-last (n, 32, 32, 3) for (3, 32, 32). Raises DataError for anything else.
    """
    sample = images.shape[1:]
    if images.ndim and sample == shape:
        fitting = images
    elif images.ndim and (1, *sample) == shape:
        fitting = images[:, None]
    elif images.ndim > 2 and (sample[-1], *sample[:-1]) == shape:
        fitting = np.moveaxis(images, -1, 1)
    else:
        raise DataError(f"images of shape {images.shape}, expected {described(shape)}")
    return np.ascontiguousarray(fitting)


def described(shape: tuple[int, ...]) -> str:
    """The shape of a batch of any size, e.g. (n, 1, 28, 28)."""
    return f"({', '.join(['n', *map(str, shape)])})"


def as_dtype(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The same values as `dtype` (uint8 or float32), contiguous and in native byte order.

    Real numbers become float32, rounded where they must be. Only whole numbers within 0..255
    become uint8. Raises DataError for the rest.
    """
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return np.ascontiguousarray(array)
    if not castable(array.dtype, wanted):
        raise DataError(f"elements of type {array.dtype}, expected {dtype}")
    if wanted == np.uint8 and array.size and (array.min() < 0 or array.max() > 255):
        raise DataError(f"elements within {array.min()}..{array.max()}, expected uint8, 0..255")
    return np.ascontiguousarray(array, dtype=wanted)


def castable(found: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether values of type `found` can be meant for an input of type `wanted`."""
    return found.kind in ("biuf" if wanted.kind == "f" else "biu")


def named(given: Arrays, names: Iterable[str], what: str, model: Model) -> dict[str, NDArray[Any]]:
    """What a model takes, by name and in its order; one array is that of the only name.

    Raises DataError for other names, and for one array where there are several.
    """
    names = list(names)
    listed = ", ".join(names)
    if isinstance(given, Mapping):
        if set(given) != set(names):
            found = ", ".join(map(str, given)) or "nothing"
            raise DataError(f"{what} {found}, but {model.name} takes {listed}")
        return {name: np.asarray(given[name]) for name in names}
    if len(names) != 1:
        raise DataError(
            f"{model.name} takes the {what} {listed}; expected a dict with an array for each, "
            "got one array"
        )
    return {names[0]: np.asarray(given)}


def as_inputs(images: Arrays, model: Model) -> dict[str, NDArray[Any]]:
    """Arrays by input, with its axes (see `for_input`).

    For a float32 input they keep their type, so that they can be converted by the batch. Raises
    DataError for axes and elements that do not fit.
    """
    arrays = named(images, model.input_shapes, "inputs", model)
    return {name: _explained(name, arrays, partial(_as_input, name, model)) for name in arrays}


def as_targets(labels: Arrays, model: Model) -> dict[str, NDArray[Any]]:
    """Arrays by target, as the model's losses take them.

    Class numbers (n,) as int64 or (n, *space) of any integer type, each within 0..classes-1 or the
    label to be ignored; numbers of the output's shape as float32. (n,) fits (1,) and (n, 28, 28)
    fits (1, 28, 28). Raises DataError.
    """
    arrays = named(labels, model.targets, "targets", model)
    return {name: _explained(name, arrays, partial(_as_target, name, model)) for name in arrays}


def _explained(
    name: str,
    arrays: Mapping[str, NDArray[Any]],
    convert: Callable[[NDArray[Any]], NDArray[Any]],
) -> NDArray[Any]:
    """What becomes of one of several arrays; the error, if any, says of which."""
    try:
        return convert(arrays[name])
    except DataError as error:
        if len(arrays) == 1:
            raise
        raise DataError(f"{name}: {error}") from None


def _as_input(name: str, model: Model, images: NDArray[Any]) -> NDArray[Any]:
    dtype = model.input_dtypes[name]
    fitting = for_input(images, tuple(model.input_shapes[name]))
    if dtype == "float32" and castable(images.dtype, np.dtype(dtype)):
        return fitting
    return as_dtype(fitting, dtype)


def _as_target(name: str, model: Model, labels: NDArray[Any]) -> NDArray[Any]:
    target = model.targets[name]
    shape, classes = tuple(target["shape"]), target["classes"]
    found = labels[:, None] if labels.ndim and (1, *labels.shape[1:]) == shape else labels
    if classes is None:
        if not found.ndim or found.shape[1:] != shape:
            raise DataError(f"targets of shape {labels.shape}, expected {described(shape)}")
        return as_dtype(found, "float32")
    if found.dtype.kind not in "iu" or not found.ndim or found.shape[1:] != shape:
        wanted = described(shape) if shape else "(n,)"
        raise DataError(
            f"labels are {labels.dtype} {labels.shape}, expected class numbers {wanted}"
        )
    judged = counting(found, target)
    if judged.size and (judged.min() < 0 or judged.max() >= classes):
        raise DataError(
            f"labels within {judged.min()}..{judged.max()}, "
            f"but {model.name} has classes 0..{classes - 1}"
        )
    return found if shape else found.astype(np.int64, copy=False)


def counting(labels: NDArray[Any], target: Mapping[str, Any]) -> NDArray[Any]:
    """The labels that count: those but the one to be ignored, in one row if there is one."""
    ignored = target.get("ignore_index")
    return labels if ignored is None else labels[labels != ignored]
