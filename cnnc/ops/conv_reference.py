"""Convolution in NumPy: a sum over the window's elements, in each of the three directions.

conv and conv_transpose are both made of these. Arrays are batch first: x (n, in, *space), y
(n, out, *outputs), the weight (out, in / groups, *kernel). No bias.
"""

from __future__ import annotations

import numpy as np

from cnnc.ops.shapes import Array, Shape
from cnnc.ops.window import Geometry, pad_array, taps, unpad_array


def correlate(x: Array, weight: Array, geometry: Geometry, outputs: Shape) -> Array:
    """Y = weight * x, for these output extents."""
    g, x = geometry, pad_array(x, geometry.pad)
    y = np.zeros((len(x), len(weight), *outputs), np.result_type(x, weight))
    grouped, split = _grouped(y, g.groups), _split(weight, g.groups)
    for tap, cut in taps(g.kernel, g.stride, outputs, g.dilation):
        part = _grouped(x[cut], g.groups)
        grouped += np.einsum("ngi...,goi->ngo...", part, split[(slice(None), *tap)])
    return y


def spread(y: Array, weight: Array, geometry: Geometry, shape: Shape) -> Array:
    """The transpose of `correlate`: the gradient by x, of this shape, from that by y."""
    g = geometry
    x = pad_array(np.zeros((len(y), *shape), np.result_type(y, weight)), g.pad)
    grouped, split = _grouped(y, g.groups), _split(weight, g.groups)
    for tap, cut in taps(g.kernel, g.stride, y.shape[2:], g.dilation):
        part = np.einsum("ngo...,goi->ngi...", grouped, split[(slice(None), *tap)])
        x[cut] += part.reshape(len(x), shape[0], *part.shape[3:])
    return unpad_array(x, g.pad)


def correlate_weight(x: Array, y: Array, geometry: Geometry, shape: Shape) -> Array:
    """The gradient of `correlate` by its weight, of this shape, from the gradient by y."""
    g, x = geometry, pad_array(x, geometry.pad)
    weight = np.zeros(shape, np.result_type(x, y))
    split = _split(weight, g.groups)
    grouped = _flat(_grouped(y, g.groups))
    for tap, cut in taps(g.kernel, g.stride, y.shape[2:], g.dilation):
        part = _flat(_grouped(x[cut], g.groups))
        split[(slice(None), *tap)] = np.einsum("ngop,ngip->goi", grouped, part, optimize=True)
    return weight


def _split(weight: Array, groups: int) -> Array:
    """(out, in, *kernel) -> (groups, out / groups, in, *kernel); the same memory."""
    return weight.reshape(groups, len(weight) // groups, *weight.shape[1:])


def _grouped(x: Array, groups: int) -> Array:
    """(n, channels, *space) -> (n, groups, channels / groups, *space)."""
    return x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])


def _flat(x: Array) -> Array:
    """(n, groups, channels, *space) -> (n, groups, channels, positions)."""
    return x.reshape(*x.shape[:3], int(np.prod(x.shape[3:])))
