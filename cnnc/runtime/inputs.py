"""Arrays as files hold them -> arrays as a model's inputs and its loss take them.

Axes and types only; values stay what they are, since scaling them is a layer of the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.errors import DataError
from cnnc.runtime.model import Model


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


def sole_input(model: Model) -> tuple[tuple[int, ...], str]:
    """Shape and type of a model's one input. Raises DataError where it has several."""
    if len(model.input_shapes) != 1:
        names = ", ".join(model.input_shapes)
        raise DataError(f"{model.name} has the inputs {names}, expected one: images")
    ((name, shape),) = model.input_shapes.items()
    return tuple(shape), model.input_dtypes[name]


def as_targets(labels: NDArray[Any], model: Model) -> NDArray[Any]:
    """Labels as a model's loss takes them.

    Class numbers (n,) within 0..classes-1 as int64 for a classifier, else targets of the
    output's shape as float32, where (n,) fits an output of (1,). Raises DataError.
    """
    if model.classes is None:
        shape = tuple(next(iter(model.output_shapes.values())))
        targets = labels[:, None] if labels.ndim == 1 and shape == (1,) else labels
        if targets.shape[1:] != shape:
            raise DataError(f"targets of shape {labels.shape}, expected {described(shape)}")
        return as_dtype(targets, "float32")
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(f"labels are {labels.dtype} {labels.shape}, expected class numbers (n,)")
    if labels.size and (labels.min() < 0 or labels.max() >= model.classes):
        raise DataError(
            f"labels within {labels.min()}..{labels.max()}, "
            f"but {model.name} has classes 0..{model.classes - 1}"
        )
    return labels.astype(np.int64, copy=False)
