"""upsample: larger images, by repetition or by linear interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import Sight
from cnnc.ops.upsample_kernels import linear, nearest, source_axes
from cnnc.ops.window import per_axis, spatial


@dataclass(frozen=True, slots=True)
class Upsample(Op):
    """`factor` times as many elements along each axis of space.

    (c, *space) -> (c, *(factor * space)). nearest: y[p] = x[floor(p / factor)]. linear: between the
    two nearest elements along each axis, at (p + 1/2) / factor - 1/2, no further out than the outer
    elements; with `align_corners` at p (n - 1) / (factor n - 1), so that corners meet corners.
    Dumoulin and Visin 2016, section 4 (nearest); Press et al., Numerical Recipes, section 3.6.
    """

    factor: tuple[int, ...]
    mode: str = "nearest"
    align_corners: bool = False

    NAME: ClassVar[str] = "upsample"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BY_CHANNEL})
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("factor", Kind.EXTENT, "how many times as large, one for all axes or one per axis"),
        Field(
            "mode",
            Kind.WORD,
            "repeat elements, or interpolate along every axis; bilinear is another word for linear",
            "nearest",
            choices=("nearest", "linear", "bilinear"),
        ),
        Field("align_corners", Kind.FLAG, "linear: outer elements keep their place", False),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Upsample:
        space = spatial(single(inputs), "upsample")
        mode = "nearest" if arguments["mode"] == "nearest" else "linear"
        if arguments["align_corners"] and mode == "nearest":
            raise OpError(
                "bad-value",
                "align_corners is for linear interpolation, but the mode is nearest",
                help="write mode=linear, or leave align_corners out",
                argument="align_corners",
            )
        factor = per_axis(arguments["factor"], len(space), "factor")
        return cls(factor, mode, arguments["align_corners"])

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        space = spatial(shape, "upsample")
        return (shape[0], *(n * f for n, f in zip(space, self.factor, strict=True)))

    def _matrices(self, space: Shape, dtype: Any) -> list[Array]:
        """For each axis, how much each output (row) takes of each input (column)."""
        if self.mode == "nearest":
            pairs = zip(space, self.factor, strict=True)
            return [np.repeat(np.eye(n, dtype=dtype), f, axis=0) for n, f in pairs]
        matrices = []
        for axis in source_axes(space, self.factor, self.align_corners):
            places = np.array([axis.source(p) for p in range(axis.outputs)])
            reach = 1 - abs(places[:, None] - np.arange(axis.inputs))
            matrices.append(np.maximum(reach, 0).astype(dtype))
        return matrices

    def forward(self, operands: Operands) -> Array:
        y = as_float(operands["input"])
        for axis, matrix in enumerate(self._matrices(y.shape[2:], y.dtype)):
            y = np.moveaxis(np.tensordot(y, matrix, ([2 + axis], [1])), -1, 2 + axis)
        return y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        for axis, matrix in enumerate(self._matrices(shape[1:], grad.dtype)):
            grad = np.moveaxis(np.tensordot(grad, matrix, ([2 + axis], [0])), -1, 2 + axis)
        return grad

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        if self.mode == "nearest":
            return nearest(wrt, self.factor, layouts)
        return linear(wrt, self.factor, self.align_corners, layouts)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        wide = 1 if self.mode == "nearest" else 2
        window = tuple(wide if f > 1 else 1 for f in self.factor)
        return Sight(window, tuple(Fraction(1, f) for f in self.factor))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls((2, 2)), ((3, 4, 5),)),
            Example(cls((3, 1)), ((1, 2, 3),)),
            Example(cls((2,)), ((17, 5),)),
            Example(cls((1, 2, 3)), ((2, 2, 3, 2),)),
            Example(cls((2, 2), "linear"), ((3, 4, 5),)),
            Example(cls((3, 1), "linear"), ((1, 3, 2),)),
            Example(cls((4,), "linear"), ((2, 1),)),
            Example(cls((2, 3), "linear", align_corners=True), ((2, 3, 4),)),
            Example(cls((2, 1, 2), "linear", align_corners=True), ((2, 2, 3, 1),)),
        )
