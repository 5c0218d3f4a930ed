"""avgpool: the mean of each window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.maxpool import pool_examples
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
class AvgPool(Op):
    """y = mean of x over the part of the window that lies inside the input: padding is not counted.

    (c, *space) -> (c, *outputs). LeCun et al. 1998, section II.B (there with a trained factor).
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    pad: Pads

    NAME: ClassVar[str] = "avgpool"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("size", Kind.EXTENT, "window, one extent or one per axis"),
        Field("stride", Kind.EXTENT, "step between windows; the window's size by default", None),
        Field("pad", Kind.PADDING, "border, smaller than the window, that is not counted", 0),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> AvgPool:
        return cls(*pooling("avgpool", arguments, single(inputs)))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        space = spatial(shape, "avgpool")
        return (
            shape[0],
            *window_extents("avgpool", space, self.size, self.stride, self.pad, "size"),
        )

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return self._sum(x) / self._counts(x, x.shape[1:])

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x_grad = pad_array(np.zeros((len(grad), *shape), grad.dtype), self.pad)
        share = grad / self._counts(x_grad[0:0], shape)
        for _, cut in taps(self.size, self.stride, grad.shape[2:]):
            x_grad[cut] += share
        return unpad_array(x_grad, self.pad)

    def _sum(self, x: Array) -> Array:
        outputs = self.output_shape((x.shape[1:],))[1:]
        x = pad_array(x, self.pad)
        windows = taps(self.size, self.stride, outputs)
        total = np.zeros((*x.shape[:2], *outputs), x.dtype)
        for _, cut in windows:
            total += x[cut]
        return total

    def _counts(self, x: Array, shape: Shape) -> Array:
        """How many elements of the input each window holds."""
        return self._sum(np.ones((1, 1, *shape[1:]), x.dtype))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads = ("input",) if wrt is None else ("output_grad",)
        return pool("avgpool", wrt, reads, self.size, self.stride, self.pad, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return pool_examples(cls)
