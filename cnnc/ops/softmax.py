"""softmax: channels as probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import Single
from cnnc.ops.single_softmax import SingleSoftmax
from cnnc.ops.softmax_kernels import over_channels
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class Softmax(Op):
    """y[c] = e^x[c] / sum over k of e^x[k], at each position. Any shape. Bridle 1990.

    The largest x is subtracted first, so that nothing overflows.
    """

    NAME: ClassVar[str] = "softmax"

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("output",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        shifted = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        y = operands["output"]
        return np.asarray(y * (grad - (grad * y).sum(axis=1, keepdims=True)))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return over_channels(self.NAME, wrt, layouts)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        return Single(SingleSoftmax(single(inputs)[0], log=False, lanes=lanes))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        shapes = ((17,), (1,), (3, 4, 5), (5, 3), (2, 2, 3, 2))
        return tuple(Example(cls(), (shape,), scale=10) for shape in shapes)
