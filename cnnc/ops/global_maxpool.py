"""global_maxpool: the largest value of each channel."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from cnnc.ops.field import Field, Kind
from cnnc.ops.global_kernels import global_examples, global_pool, global_shape
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import EVERYTHING, Sight


@dataclass(frozen=True, slots=True)
class GlobalMaxPool(Op):
    """y = max of x over all of space; NaN wins.

    (c, *space) -> (c), or (c, 1, ...) with `keep`. The gradient goes to the first largest element,
    in row-major order. Oquab et al. 2015, Is object localization for free?, section 3.
    """

    keep: bool = False

    NAME: ClassVar[str] = "global_maxpool"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BY_CHANNEL})
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("keep", Kind.FLAG, "keep the axes of space, with extent 1", False),
    )

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return global_shape(single(inputs), self.NAME, self.keep)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input", "output")

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.asarray(x.max(axis=tuple(range(2, x.ndim)), keepdims=self.keep))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x = as_float(operands["input"]).reshape(*grad.shape[:2], prod(shape[1:]))
        hit = x == operands["output"].reshape(*grad.shape[:2], 1)
        first = hit & (hit.cumsum(axis=2) == 1)
        x_grad = np.where(first, grad.reshape(*grad.shape[:2], 1), 0)
        return x_grad.reshape(len(grad), *shape).astype(grad.dtype)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads = ("input",) if wrt is None else ("output_grad", "input", "output")
        return global_pool("global_maxpool", wrt, reads, layouts)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        return EVERYTHING

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return global_examples(cls(keep=True), cls())
