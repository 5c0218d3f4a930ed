"""maxpool: the largest value of each window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.field import Field, Kind
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.pool_kernels import pool, window_axes
from cnnc.ops.pool_window import overhang, pool_examples, pool_extents, pooling
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import Sight, through_window
from cnnc.ops.single import Single
from cnnc.ops.single_planes import plane_pool
from cnnc.ops.window import Pads, pad_array, spatial, taps, unpad_array


@dataclass(frozen=True, slots=True)
class MaxPool(Op):
    """y = max of x over the window; padding never wins; NaN does.

    (c, *space) -> (c, *outputs). The gradient goes to the first largest element of a window, in
    row-major order. Goodfellow, Bengio and Courville 2016, section 9.3.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    pad: Pads
    ceil: bool = False

    NAME: ClassVar[str] = "maxpool"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BY_CHANNEL, Trait.BY_WINDOWS})
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("size", Kind.EXTENT, "window, one extent or one per axis"),
        Field("stride", Kind.EXTENT, "step between windows; the window's size by default", None),
        Field("pad", Kind.PADDING, "border, smaller than the window, that never wins", 0),
        Field("ceil", Kind.FLAG, "round the number of windows up, not down", False),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> MaxPool:
        return cls(*pooling("maxpool", arguments, single(inputs)), arguments["ceil"])

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        space = spatial(shape, "maxpool")
        extents = pool_extents("maxpool", space, self.size, self.stride, self.pad, self.ceil)
        return (shape[0], *extents)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input", "output")

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        outputs = self.output_shape((x.shape[1:],))[1:]
        x = pad_array(x, self._overhang(x, outputs), -np.inf)
        y = np.full((*x.shape[:2], *outputs), -np.inf, x.dtype)
        for _, cut in taps(self.size, self.stride, outputs):
            y = np.maximum(y, x[cut])
        return y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x, y = as_float(operands["input"]), operands["output"]
        pads = self._overhang(x, y.shape[2:])
        x = pad_array(x, pads, -np.inf)
        x_grad = np.zeros(x.shape, grad.dtype)
        free = np.ones(y.shape, bool)
        for _, cut in taps(self.size, self.stride, y.shape[2:]):
            hit = (x[cut] == y) & free
            free &= ~hit
            x_grad[cut] += np.where(hit, grad, 0)
        return unpad_array(x_grad, pads)

    def _overhang(self, x: Array, outputs: Shape) -> Pads:
        return overhang(x.shape[2:], self.size, self.stride, self.pad, outputs)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads = ("input",) if wrt is None else ("output_grad", "input", "output")
        axes = window_axes(wrt, self.size, self.stride, self.pad, layouts)
        return pool("maxpool", wrt, reads, axes, layouts)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        window, output = (self.size, self.stride, self.pad), self.output_shape(inputs)
        return plane_pool("maxpool", window, inputs[0], output, lanes, plain)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        return through_window(self.size, self.stride)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return pool_examples(cls)
