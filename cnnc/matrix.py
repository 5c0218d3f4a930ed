"""A convolution layer's weights -> the matrix that it multiplies its input by, and that as text.

A convolution is linear, so it is a product with a matrix: as many rows as the layer has outputs, as
many columns as it has inputs, zero wherever an output does not see an input. This is for looking at
small layers; the compiled kernels never form it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnnc.ops.window import Pads, padding, per_axis, reach, text, window_extents

LARGEST_SHOWN = 128
"""Rows or columns beyond which a matrix is no longer readable as text."""


def convolution_matrix(
    weight: ArrayLike,
    input_shape: Sequence[int],
    stride: int | Sequence[int] = 1,
    pad: int | str | Sequence[Any] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> NDArray[Any]:
    """The matrix A with conv(x).ravel() == A @ x.ravel(), the bias left out.

    Args:
        weight: (out, in / groups, *kernel), as `net.parameters["conv1.weight"]` has it.
        input_shape: (in, *space), without a batch axis; any number of spatial axes.
        stride: the step between windows, one number or one for each axis.
        pad: as in a spec: a number, a (before, after) tuple for every axis, a list with a number
            or a tuple for each axis, "same" or "valid".
        dilation: the step between a window's elements, one number or one for each axis.
        groups: into how many parts the channels fall that do not see each other.

    Returns:
        An array (out * prod(outputs), in * prod(space)) of the weight's dtype. On one axis and one
        channel it is banded (a Toeplitz matrix at stride 1); on two axes block-banded with banded
        blocks (doubly block Toeplitz); each further channel in is a block to the right, each
        further filter a block below. Goodfellow, Bengio and Courville 2016, section 9.1.

    Raises:
        ValueError: weight and input_shape do not fit, or stride or pad make no sense for them.
    """
    values, shape = _ungrouped(np.asarray(weight), groups), tuple(input_shape)
    _check(values, shape)
    filters, channels, *kernel = values.shape
    step = tuple(stride) if isinstance(stride, Sequence) else int(stride)
    steps = per_axis(step, len(kernel), "stride")
    spread = tuple(dilation) if isinstance(dilation, Sequence) else int(dilation)
    spreads = per_axis(spread, len(kernel), "dilation")
    window = reach(tuple(kernel), spreads)
    pads = _pads(pad, shape[1:], window, steps)
    outputs = window_extents("conv", shape[1:], window, steps, pads, "kernel")
    matrix = np.zeros((filters, prod(outputs), channels, prod(shape[1:])), values.dtype)
    for tap in np.ndindex(*kernel):
        place = tuple(t * d for t, d in zip(tap, spreads, strict=True))
        rows, columns = _meetings(place, outputs, shape[1:], steps, pads)
        # The two index arrays stand apart, so NumPy puts their axis first.
        matrix[:, rows, :, columns] = values[(slice(None), slice(None), *tap)]
    return matrix.reshape(filters * prod(outputs), channels * prod(shape[1:]))


def format_matrix(matrix: ArrayLike, blocks: tuple[int, int] | None = None) -> str:
    """A small matrix as lines of text: columns aligned to the right, zeros as dots.

    `blocks` is the (rows, columns) of the blocks between which lines are drawn; for a 2-D
    convolution the widths of its output and its input. Numbers have three digits. Raises
    ValueError for what is not a matrix, is larger than 128 x 128, or does not divide into blocks.
    """
    values = np.asarray(matrix)
    if values.ndim != 2:
        raise ValueError(f"a matrix has 2 axes, got an array of shape {text(values.shape)}")
    if max(values.shape) > LARGEST_SHOWN:
        size = " x ".join(map(str, values.shape))
        raise ValueError(f"at most {LARGEST_SHOWN} x {LARGEST_SHOWN} can be shown, got {size}")
    height, width = blocks or (max(values.shape[0], 1), max(values.shape[1], 1))
    if height < 1 or width < 1 or values.shape[0] % height or values.shape[1] % width:
        size = " x ".join(map(str, values.shape))
        raise ValueError(f"blocks of {height} x {width} do not divide a matrix of {size}")
    cells = [[f"{value:.3g}" if value else "." for value in row] for row in values]
    broad = max((len(cell) for row in cells for cell in row), default=1)
    lines: list[str] = []
    for index, row in enumerate(cells):
        parts = [
            " ".join(cell.rjust(broad) for cell in row[start : start + width])
            for start in range(0, len(row), width)
        ]
        if index and index % height == 0:
            lines.append("-+-".join("-" * len(part) for part in parts))
        lines.append(" | ".join(parts))
    return "\n".join(lines)


def _ungrouped(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """The weight over all channels in, zero where a filter does not see one."""
    if groups == 1 or weight.ndim < 3:
        return weight
    if groups < 1 or len(weight) % groups:
        raise ValueError(f"{len(weight)} filters do not fall into {groups} groups")
    filters, channels, *kernel = weight.shape
    whole = np.zeros((filters, channels * groups, *kernel), weight.dtype)
    for group, part in enumerate(np.split(weight, groups)):
        first, start = group * len(part), group * channels
        whole[first : first + len(part), start : start + channels] = part
    return whole


def _check(weight: NDArray[Any], shape: tuple[int, ...]) -> None:
    if weight.ndim < 3:
        raise ValueError(f"a weight is (out, in, *kernel), got shape {text(weight.shape)}")
    if weight.dtype.kind not in "iuf":
        raise ValueError(f"a weight is an array of real numbers, got {weight.dtype}")
    if min(*weight.shape, *shape, 1) < 1:
        raise ValueError(f"no extent may be 0, got {text(weight.shape)} and {text(shape)}")
    if len(shape) != weight.ndim - 1:
        raise ValueError(
            f"a weight {text(weight.shape)} needs an input of {weight.ndim - 1} axes, channels "
            f"and then space, got {text(shape)}"
        )
    if weight.shape[1] != shape[0]:
        raise ValueError(
            f"a weight {text(weight.shape)} reads {weight.shape[1]} channels, the input "
            f"{text(shape)} has {shape[0]}"
        )


def _pads(
    pad: int | str | Sequence[Any],
    space: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
) -> Pads:
    if isinstance(pad, str) and pad not in {"same", "valid"}:
        raise ValueError(f'pad is numbers, "same" or "valid", got "{pad}"')
    if isinstance(pad, tuple) and len(pad) != 2:
        raise ValueError(f"a tuple pad is (before, after), got {pad}; a list has one entry an axis")
    return padding(pad, space, kernel, stride)


def _meetings(
    tap: tuple[int, ...],
    outputs: tuple[int, ...],
    space: tuple[int, ...],
    stride: tuple[int, ...],
    pads: Pads,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which output meets which input at a tap, both as flat positions; padding is met by none."""
    rows, columns = np.zeros(1, np.intp), np.zeros(1, np.intp)
    for t, count, n, s, (before, _) in zip(tap, outputs, space, stride, pads, strict=True):
        out = np.arange(count)
        at = out * s + t - before
        inside = (at >= 0) & (at < n)
        rows = (rows[:, None] * count + out[inside]).ravel()
        columns = (columns[:, None] * n + at[inside]).ravel()
    return rows, columns
