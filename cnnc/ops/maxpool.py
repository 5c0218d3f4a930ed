"""maxpool: the largest value of each window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import (
    Array,
    Example,
    Field,
    Kind,
    Op,
    Operands,
    Shape,
    as_float,
    single,
)
from cnnc.ops.pool_kernels import pool
from cnnc.ops.window import (
    Pads,
    pad_array,
    pooling,
    spatial,
    taps,
    unpad_array,
    window_extents,
)


@dataclass(frozen=True, slots=True)
class MaxPool(Op):
    """y = max of x over the window; padding never wins; NaN does.

    (c, *space) -> (c, *outputs). The gradient goes to the first largest element of a window, in
    row-major order. Goodfellow, Bengio and Courville 2016, section 9.3.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    pad: Pads

    NAME: ClassVar[str] = "maxpool"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("size", Kind.EXTENT, "window, one extent or one per axis"),
        Field("stride", Kind.EXTENT, "step between windows; the window's size by default", None),
        Field("pad", Kind.PADDING, "border, smaller than the window, that never wins", 0),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> MaxPool:
        return cls(*pooling("maxpool", arguments, single(inputs)))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        space = spatial(shape, "maxpool")
        return (
            shape[0],
            *window_extents("maxpool", space, self.size, self.stride, self.pad, "size"),
        )

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input", "output")

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        outputs = self.output_shape((x.shape[1:],))[1:]
        x = pad_array(x, self.pad, -np.inf)
        y = np.full((*x.shape[:2], *outputs), -np.inf, x.dtype)
        for _, cut in taps(self.size, self.stride, outputs):
            y = np.maximum(y, x[cut])
        return y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x, y = pad_array(as_float(operands["input"]), self.pad, -np.inf), operands["output"]
        x_grad = np.zeros(x.shape, grad.dtype)
        free = np.ones(y.shape, bool)
        for _, cut in taps(self.size, self.stride, y.shape[2:]):
            hit = (x[cut] == y) & free
            free &= ~hit
            x_grad[cut] += np.where(hit, grad, 0)
        return unpad_array(x_grad, self.pad)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads = ("input",) if wrt is None else ("output_grad", "input", "output")
        return pool("maxpool", wrt, reads, self.size, self.stride, self.pad, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return pool_examples(cls)


def pool_examples(cls: type[Any]) -> tuple[Example, ...]:
    """Windows that tile, overlap, skip and are padded; 1-D to 3-D."""

    def make(shape: Shape, **given: Any) -> Example:
        arguments = {"stride": None, "pad": 0, **given}
        return Example(cls.bind(arguments, (shape,)), (shape,))

    return (
        make((3, 8, 8), size=2),
        make((1, 7, 9), size=2),
        make((17, 9, 9), size=3, stride=2),
        make((2, 8, 7), size=3, stride=2, pad=1),
        make((2, 11, 10), size=2, stride=3),
        make((3, 6, 7), size=(3, 2), stride=(1, 2), pad=[(1, 2), 0]),
        make((2, 5, 5), size=3, stride=1, pad="same"),
        make((1, 4, 4), size=4),
        make((3, 13), size=3, stride=2, pad=1),
        make((2, 4, 5, 6), size=2),
    )
