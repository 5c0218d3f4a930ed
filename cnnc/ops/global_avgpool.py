"""global_avgpool: the mean of each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.field import Field, Kind
from cnnc.ops.global_kernels import global_examples, global_pool, global_shape
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import EVERYTHING, Sight


@dataclass(frozen=True, slots=True)
class GlobalAvgPool(Op):
    """y = mean of x over all of space.

    (c, *space) -> (c), or (c, 1, ...) with `keep`. Lin, Chen and Yan 2014, Network in network,
    section 3.2.
    """

    keep: bool = False

    NAME: ClassVar[str] = "global_avgpool"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BY_CHANNEL})
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("keep", Kind.FLAG, "keep the axes of space, with extent 1", False),
    )

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return global_shape(single(inputs), self.NAME, self.keep)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        mean = x.mean(axis=tuple(range(2, x.ndim)), keepdims=self.keep)
        return np.asarray(mean)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        share = grad.reshape(*grad.shape[:2], *(1 for _ in shape[1:])) / np.prod(shape[1:])
        return np.broadcast_to(share, (len(grad), *shape)).astype(grad.dtype)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads = ("input",) if wrt is None else ("output_grad",)
        return global_pool("global_avgpool", wrt, reads, layouts)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        return EVERYTHING

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return global_examples(cls(keep=True), cls())
