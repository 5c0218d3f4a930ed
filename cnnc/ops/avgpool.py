"""avgpool: the mean of each window."""

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
class AvgPool(Op):
    """y = sum of x over the window / how many elements of the padded input the window holds.

    (c, *space) -> (c, *outputs). Without `count_pad` only elements of the input itself count. What
    `ceil` lets a window overhang beyond the padding never counts. LeCun et al. 1998, section II.B
    (there with a trained factor).
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    pad: Pads
    ceil: bool = False
    count_pad: bool = True

    NAME: ClassVar[str] = "avgpool"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BY_CHANNEL, Trait.BY_WINDOWS})
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("size", Kind.EXTENT, "window, one extent or one per axis"),
        Field("stride", Kind.EXTENT, "step between windows; the window's size by default", None),
        Field("pad", Kind.PADDING, "border of zeros, smaller than the window", 0),
        Field("ceil", Kind.FLAG, "round the number of windows up, not down", False),
        Field("count_pad", Kind.FLAG, "divide by the window's padding too", True),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> AvgPool:
        window = pooling("avgpool", arguments, single(inputs))
        return cls(*window, arguments["ceil"], arguments["count_pad"])

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        space = spatial(shape, "avgpool")
        extents = pool_extents("avgpool", space, self.size, self.stride, self.pad, self.ceil)
        return (shape[0], *extents)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return self._sum(x, x.shape[2:]) / self._counts(x.shape[2:])

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        pads = overhang(shape[1:], self.size, self.stride, self.pad, grad.shape[2:])
        x_grad = pad_array(np.zeros((len(grad), *shape), grad.dtype), pads)
        share = grad / self._counts(shape[1:]).astype(grad.dtype)
        for _, cut in taps(self.size, self.stride, grad.shape[2:]):
            x_grad[cut] += share
        return unpad_array(x_grad, pads)

    def _sum(self, x: Array, space: Shape) -> Array:
        """The sum of each window; x is the input, or already has its padding."""
        outputs = self.output_shape(((1, *space),))[1:]
        pads = overhang(space, self.size, self.stride, self.pad, outputs)
        x = pad_array(x, pads) if x.shape[2:] == space else x
        total = np.zeros((*x.shape[:2], *outputs), x.dtype)
        for _, cut in taps(self.size, self.stride, outputs):
            total += x[cut]
        return total

    def _counts(self, space: Shape) -> Array:
        """What each window's sum is divided by."""
        outputs = self.output_shape(((1, *space),))[1:]
        beyond = overhang(space, self.size, self.stride, self.pad, outputs)
        counted = pad_array(np.ones((1, 1, *space), np.float32), self.pad, float(self.count_pad))
        rest = tuple((0, a - b) for (_, a), (_, b) in zip(beyond, self.pad, strict=True))
        return self._sum(pad_array(counted, rest), space)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads = ("input",) if wrt is None else ("output_grad",)
        axes = window_axes(wrt, self.size, self.stride, self.pad, layouts)
        return pool("avgpool", wrt, reads, axes, layouts, self.count_pad)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        window, output = (self.size, self.stride, self.pad), self.output_shape(inputs)
        return plane_pool("avgpool", window, inputs[0], output, lanes, plain)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        return through_window(self.size, self.stride)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return pool_examples(
            cls,
            ((2, 8, 7), {"size": 3, "stride": 2, "pad": 1, "count_pad": False}),
            ((1, 6, 7), {"size": 3, "stride": 2, "pad": 1, "ceil": True}),
            ((2, 7), {"size": 4, "stride": 3, "pad": (2, 1), "ceil": True, "count_pad": False}),
        )
