"""The rule of ops that join two tensors, the second as large as the first or spread over it.

The second may be (c, 1, 1), (1, h, w), (1, 1, 1) or (c) beside (c, h, w), and so for any rank.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnnc.ops.elementwise import broadcast_sum, elementwise
from cnnc.ops.field import OpError
from cnnc.ops.layout import Form, Layouts
from cnnc.ops.op import Example, Gradient, Op
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.window import text


def joined_shape(layer: str, inputs: tuple[Shape, ...]) -> Shape:
    """The first input's shape. Raises OpError where the second does not fit it."""
    first, second = inputs
    if _fits(first, second):
        return first
    gate = (first[0], *(1 for _ in first[1:]))
    help = f"the second value has the shape {text(first)}, or {text(gate)}: one value a channel"
    if _fits(second, first):
        help = f"the smaller value comes second: exchange the two inputs of {layer}"
    raise OpError(
        "shape-mismatch",
        f"{layer} cannot spread {text(second)} over {text(first)}",
        help=help,
        operand=1,
    )


def spread(second: Array, like: Array) -> Array:
    """The second input with the axes that it lacks, each of extent 1."""
    return second.reshape(*second.shape, *(1,) * (like.ndim - second.ndim))


def gathered(grad: Array, shape: Shape) -> Array:
    """A gradient of the whole shape, summed to that of a second input (no batch axis)."""
    full = (*shape, *(1,) * (grad.ndim - 1 - len(shape)))
    pairs = enumerate(zip(full, grad.shape[1:], strict=True), 1)
    summed = tuple(axis for axis, (n, whole) in pairs if n != whole)
    return np.asarray(grad.sum(axis=summed)).reshape(grad.shape[0], *shape)


def joined_form(op: Op, wrt: str | None, layouts: Layouts) -> Form:
    """The loops of either direction; a smaller second input's gradient is a sum."""
    if wrt is None:
        return elementwise(op, ("input0", "input1"), layouts)
    reads = ("output_grad", *op.gradient_reads(wrt))
    result, whole = layouts["result"], layouts["output_grad"]
    if (result.channels, result.extents) == (whole.channels, whole.extents):
        return elementwise(Gradient(op, wrt), reads, layouts)
    return broadcast_sum(Gradient(op, wrt), reads, layouts)


def joined_examples(op: Callable[[], Op]) -> tuple[Example, ...]:
    """Equal shapes, and each way to spread the second input."""
    pairs: tuple[tuple[Shape, Shape], ...] = (
        ((17,), (17,)),
        ((3, 4, 5), (3, 4, 5)),
        ((3, 4, 5), (3, 1, 1)),
        ((3, 5), (3,)),
        ((2, 3, 3), (1, 3, 3)),
        ((5,), (1,)),
        ((1, 4, 3), (1, 1, 1)),
    )
    return tuple(Example(op(), pair) for pair in pairs)


def _fits(first: Shape, second: Shape) -> bool:
    if len(second) == len(first):
        return all(b in (1, a) for a, b in zip(first, second, strict=True))
    return second == first[:1]
