"""Image files and .npy files -> one batch for a model's input.

Values stay raw, 0..255, as in the data that models train on: scaling is a layer of the model.
Nothing is cropped, inverted or centred.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.errors import DataError
from cnnc.runtime.inputs import as_dtype, described, for_input
from cnnc.runtime.npz import read_npy

if TYPE_CHECKING:
    from PIL import Image

_MODES = {1: "L", 3: "RGB"}


def read_images(
    paths: Iterable[str | os.PathLike[str]],
    shape: tuple[int, ...],
    dtype: str,
    *,
    resize: bool = False,
) -> NDArray[Any]:
    """Read files into an array (n, *shape) of `dtype` (uint8 or float32).

    An image file is one sample, turned as its EXIF data say, laid on white where it is
    transparent, and made grey or RGB after the channels of `shape`, (1, h, w) or (3, h, w).
    With `resize` it is stretched to h x w where it differs. Of an animation, the first frame.
    A .npy file is one sample or a batch (see `for_input`).
    Raises DataError for every file that cannot be read or does not fit.
    """
    parts = [_read_file(Path(path), tuple(shape), dtype, resize) for path in paths]
    return np.concatenate(parts) if parts else np.empty((0, *shape), dtype)


def _read_file(path: Path, shape: tuple[int, ...], dtype: str, resize: bool) -> NDArray[Any]:
    if path.suffix != ".npy":
        return _read_image(path, shape, resize).astype(dtype, copy=False)
    array = read_npy(path)
    try:
        return as_dtype(_as_batch(array, shape), dtype)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _as_batch(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    with suppress(DataError):
        return for_input(array[None], shape)
    with suppress(DataError):
        return for_input(array, shape)
    raise DataError(f"an array of shape {array.shape}, expected {shape} or {described(shape)}")


def _read_image(path: Path, shape: tuple[int, ...], resize: bool) -> NDArray[np.uint8]:
    if len(shape) != 3 or shape[0] not in _MODES:
        raise DataError(
            f"{path}: an image has shape (1, h, w) or (3, h, w), "
            f"but the model's input is {shape}; pass a .npy file"
        )
    channels, height, width = shape
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise DataError(f"{path}: reading images needs Pillow: pip install pillow") from None
    try:
        with Image.open(path) as opened:
            deep = opened.mode.startswith("I;16") or (opened.mode, opened.format) == ("I", "PNG")
            image = _flattened(ImageOps.exif_transpose(opened), _MODES[channels], deep)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image that Pillow knows, nor a .npy file") from None
    except Exception as error:  # each of Pillow's decoders has errors of its own
        raise DataError(f"{path}: cannot be read: {error or type(error).__name__}") from error
    if image.size != (width, height):
        if not resize:
            raise DataError(
                f"{path}: {image.width}x{image.height} pixels, expected {width}x{height} "
                "(width x height); --resize (resize=True) stretches it"
            )
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels.reshape(1, height, width, channels), -1, 1))


def _flattened(image: Image.Image, mode: str, deep: bool) -> Image.Image:
    """The image as a viewer shows it on white paper, in 8 bits a channel; `deep` says 16 bits."""
    from PIL import Image

    if deep:  # convert() would clip at 255
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError(f"32-bit pixels ({image.mode}), expected 8 or 16 bits; pass a .npy file")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert(mode)
