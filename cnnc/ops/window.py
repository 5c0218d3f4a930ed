"""Sliding windows: padding and extents of convolution and pooling, and slices for their references.

Formulas: Dumoulin and Visin 2016, A guide to convolution arithmetic, relationships 6 and 14.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnc.ops.field import OpError
from cnnc.ops.shapes import Array, Shape

Pads = tuple[tuple[int, int], ...]
"""(before, after) per spatial axis."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a convolution's windows lie over its input, and into how many groups channels fall."""

    kernel: Shape
    stride: Shape
    pad: Pads
    dilation: Shape
    groups: int


def spatial(shape: Shape, layer: str) -> Shape:
    """The spatial extents of (channels, *space); OpError where there are none."""
    if len(shape) < 2:
        raise OpError(
            "shape-mismatch",
            f"{layer} needs channels and space, got a flat input {text(shape)}",
            help="put it before flatten",
            operand=0,
        )
    return shape[1:]


def text(shape: Shape) -> str:
    """A shape as messages write it: (8, 13, 13), (10)."""
    return "(" + ", ".join(map(str, shape)) + ")"


def per_axis(value: int | tuple[int, ...], rank: int, argument: str) -> tuple[int, ...]:
    """One positive extent per axis from `5` or `5x3`; OpError where the ranks differ."""
    extents = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(extents) != rank:
        written = "x".join(map(str, extents))
        raise OpError(
            "rank-mismatch",
            f"{argument} {written} has {len(extents)} axes, the input has {rank}",
            help=(
                f"write one number for all axes, or {rank} joined by x"
                if rank > 1
                else "write one number"
            ),
            argument=argument,
        )
    if min(extents, default=1) < 1:
        raise OpError("bad-value", f"{argument} must be at least 1", argument=argument)
    return extents


def padding(value: Any, space: Shape, kernel: Shape, stride: Shape) -> Pads:
    """Resolve `pad=`: a number, one entry per axis, a (before, after) pair, `same` or `valid`.

    `same` gives ceil(input / stride) outputs; where the total is odd the extra element comes after.
    """
    if value == "valid":
        return tuple((0, 0) for _ in space)
    if value == "same":
        totals = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, k, s in zip(space, kernel, stride, strict=True)
        ]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(value, list):
        if len(value) != len(space):
            raise OpError(
                "rank-mismatch",
                f"pad has {len(value)} axes, the input has {len(space)}",
                argument="pad",
            )
        pads = tuple(_pair(entry) for entry in value)
    else:
        pads = tuple(_pair(value) for _ in space)
    if any(side < 0 for pair in pads for side in pair):
        raise OpError("bad-value", "pad must not be negative", argument="pad")
    return pads


def explicit(layer: str, pad: object, shape: Shape) -> Pads:
    """A padding of so many elements; OpError for `same` and `valid`, which need a window."""
    space = spatial(shape, layer)
    if isinstance(pad, str):
        raise OpError(
            "bad-value",
            f"{layer} has no window, so that pad={pad} means nothing",
            help="write how many elements, such as pad=1 or pad=(0, 1)",
            argument="pad",
        )
    ones = tuple(1 for _ in space)
    return padding(pad, space, ones, ones)


def _pair(entry: Any) -> tuple[int, int]:
    return (entry, entry) if isinstance(entry, int) else (int(entry[0]), int(entry[1]))


def window_extents(
    layer: str, space: Shape, kernel: Shape, stride: Shape, pads: Pads, kernel_argument: str
) -> Shape:
    """floor((in + before + after - kernel) / stride) + 1 per axis; OpError where nothing fits."""
    extents = []
    for n, k, s, (before, after) in zip(space, kernel, stride, pads, strict=True):
        padded = n + before + after
        written = "x".join(map(str, kernel))
        if k > padded:
            padded_text = " x ".join(str(m + b + a) for m, (b, a) in zip(space, pads, strict=True))
            raise OpError(
                "kernel-too-large",
                f"{layer} window {written} is larger than its padded input {padded_text}",
                help="use a smaller window, more padding, or fewer layers that shrink the image",
                argument=kernel_argument,
                operand=0,
            )
        if s > padded > 1:
            raise OpError(
                "stride-too-large",
                f"stride {s} leaves nothing to step over in a padded input of {padded}",
                help="use a smaller stride",
                argument="stride",
                operand=0,
            )
        extents.append((padded - k) // s + 1)
    return tuple(extents)


def reach(kernel: Shape, dilation: Shape) -> Shape:
    """How far a window extends: dilation * (kernel - 1) + 1 per axis."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def taps(
    kernel: Shape, stride: Shape, outputs: Shape, dilation: Shape = ()
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Each window element: its index into a weight, and that of all it meets in the padded input.

    Both are for arrays with two axes, batch and channels or out and in, before the spatial ones.
    """
    dilation = dilation or (1,) * len(kernel)
    for tap in np.ndindex(*kernel):
        cut = (
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, outputs, stride, strict=True)
        )
        yield (slice(None), slice(None), *tap), (slice(None), slice(None), *cut)


def pad_array(x: Array, pads: Pads, value: float = 0.0) -> Array:
    """(n, c, *space) with its space padded by `value`."""
    return np.pad(x, ((0, 0), (0, 0), *pads), constant_values=value)


def unpad_array(x: Array, pads: Pads) -> Array:
    """The inverse of `pad_array`."""
    cut = tuple(slice(b, x.shape[2 + i] - a) for i, (b, a) in enumerate(pads))
    return x[(slice(None), slice(None), *cut)]
