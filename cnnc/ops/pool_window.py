"""Pooling windows: their arguments, how many there are, and slices for the references.

Formulas: Dumoulin and Visin 2016, A guide to convolution arithmetic, section 3; with `ceil` those
of PyTorch's ceil_mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.ops.field import OpError
from cnnc.ops.op import Example
from cnnc.ops.shapes import Shape
from cnnc.ops.window import Pads, padding, per_axis, spatial, window_extents


def pooling(
    layer: str, arguments: Mapping[str, Any], shape: Shape
) -> tuple[tuple[int, ...], tuple[int, ...], Pads]:
    """(size, stride, pads) of a pooling layer from its arguments; OpError where they do not fit."""
    space = spatial(shape, layer)
    size = per_axis(arguments["size"], len(space), "size")
    given = arguments["stride"]
    stride = size if given is None else per_axis(given, len(space), "stride")
    pads = padding(arguments["pad"], space, size, stride)
    for k, pair in zip(size, pads, strict=True):
        if max(pair) >= k:
            raise OpError(
                "bad-value",
                f"{layer} pad {max(pair)} must be smaller than its window, {k}",
                help="a window of padding alone has no value",
                argument="pad",
            )
    return size, stride, pads


def pool_extents(
    layer: str, space: Shape, size: Shape, stride: Shape, pads: Pads, ceil: bool
) -> Shape:
    """Outputs: floor((in + before + after - size) / stride) + 1, or with `ceil` rounded up.

    Rounded up, the last window may reach beyond the padding, but one that would start there, after
    the input, is left out. OpError where nothing fits.
    """
    if not ceil:
        return window_extents(layer, space, size, stride, pads, "size")
    extents = []
    for n, k, s, (before, after) in zip(space, size, stride, pads, strict=True):
        count = -(-(n + before + after - k) // s) + 1
        extents.append(count - 1 if (count - 1) * s >= n + before else count)
    within = all(k <= n + b + a for n, k, (b, a) in zip(space, size, pads, strict=True))
    if within or min(extents) < 1:
        window_extents(layer, space, size, stride, pads, "size")  # refuses what makes no sense
    return tuple(extents)


def overhang(space: Shape, size: Shape, stride: Shape, pads: Pads, outputs: Shape) -> Pads:
    """The pads, widened after the input as far as the last windows hang over."""
    return tuple(
        (before, max(after, (m - 1) * s + k - n - before))
        for n, k, s, (before, after), m in zip(space, size, stride, pads, outputs, strict=True)
    )


def pool_examples(cls: type[Any], *more: tuple[Shape, dict[str, Any]]) -> tuple[Example, ...]:
    """Windows that tile, overlap, skip, are padded and rounded up; 1-D to 3-D. And `more`."""
    defaults = {f.name: f.default for f in cls.FIELDS}
    cases: tuple[tuple[Shape, dict[str, Any]], ...] = (
        ((3, 8, 8), {"size": 2}),
        ((1, 7, 9), {"size": 2}),
        ((17, 9, 9), {"size": 3, "stride": 2}),
        ((2, 8, 7), {"size": 3, "stride": 2, "pad": 1}),
        ((2, 11, 10), {"size": 2, "stride": 3}),
        ((3, 6, 7), {"size": (3, 2), "stride": (1, 2), "pad": [(1, 2), 0]}),
        ((2, 5, 5), {"size": 3, "stride": 1, "pad": "same"}),
        ((1, 4, 4), {"size": 4}),
        ((2, 6, 8), {"size": 3, "stride": 2, "ceil": True}),
        ((3, 13), {"size": 3, "stride": 2, "pad": 1}),
        ((3, 5), {"size": 2, "pad": 1, "ceil": True}),
        ((2, 4, 5, 6), {"size": 2}),
        *more,
    )
    return tuple(
        Example(cls.bind({**defaults, **given}, (shape,)), (shape,)) for shape, given in cases
    )
