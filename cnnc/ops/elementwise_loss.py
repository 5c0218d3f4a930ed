"""The kernels of every loss that judges each element by itself: the mean over all of them.

The formula is the loss's own: its template's macros `value` and `gradient` set `each` from `x`, an
element of the output, and `y`, what it should have been; `value_needs` and `gradient_needs` name
what they use besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loss import LossOp
from cnnc.ops.loss_loops import Lines, every, position_lines
from cnnc.ops.shapes import Array


@dataclass(frozen=True, slots=True)
class ElementwiseLoss(Form):
    """One pass over the output.

    `table` holds a factor a channel, where the loss has such; `channel` is then a coordinate.
    """

    op: LossOp
    wrt: str | None
    x: Layout
    target: Layout
    result: Layout
    lines: Lines
    elements: int
    table: tuple[float, ...]

    TEMPLATE: ClassVar[str] = "elementwise_loss"

    def writer(self) -> tuple[str, str]:
        return self.TEMPLATE, "forward" if self.wrt is None else "input_gradient"

    def operands(self) -> tuple[str, ...]:
        first = () if self.wrt is None else ("output_grad",)
        return (*first, "input", "target", "result")


def elementwise_loss(
    op: LossOp, wrt: str | None, layouts: Layouts, table: tuple[float, ...] = ()
) -> ElementwiseLoss:
    """The form of such a loss, or of its gradient by the output."""
    x, target = layouts["input"], layouts["target"]
    result = layouts["result"] if wrt else x
    elements = x.channels * prod(x.extents)
    if x.dense and target.dense and result.dense and not table:
        x, target, result = x.flat(), target.flat(), result.flat()
    lines = every(position_loops(x)) if wrt else position_lines(x)
    return ElementwiseLoss(op, wrt, x, target, result, lines, elements, table)


def mean(each: Array) -> Array:
    """The mean over each sample's elements: (n, *shape) -> (n)."""
    result: Array = each.mean(axis=tuple(range(1, each.ndim)))
    return result


def shared(slopes: Array, grad: Array) -> Array:
    """The gradient of that mean: each element's own slope, times its part of the sample's (n)."""
    part = grad / prod(slopes.shape[1:])
    return np.asarray(slopes * part.reshape(-1, *(1 for _ in slopes.shape[1:])))


__all__ = ["ElementwiseLoss", "elementwise_loss", "mean", "shared"]
