"""reshape: the same values under another shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.flatten import row_major_copy
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.window import text

_AXES = 4


@dataclass(frozen=True, slots=True)
class Reshape(Op):
    """y has x's values in their order, the last axis fastest. PyTorch's reshape and Unflatten.

    Any shape -> (dims). Costs nothing where the input's memory has no halo.
    """

    dims: tuple[int, ...]

    NAME: ClassVar[str] = "reshape"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("dims", Kind.COUNTS, "the new shape, a number or a list: channels, then space"),
    )
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.VIEW})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Reshape:
        given = arguments["dims"]
        dims = (given,) if isinstance(given, int) else tuple(given)
        if not 1 <= len(dims) <= _AXES:
            raise OpError(
                "bad-value",
                f"reshape takes 1 to {_AXES} dims, got {len(dims)}",
                help="features, or channels and up to three axes of space",
                argument="dims",
            )
        return cls(dims)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        if prod(shape) != prod(self.dims):
            raise OpError(
                "shape-mismatch",
                f"reshape to {text(self.dims)} needs {prod(self.dims)} values, "
                f"got {text(shape)}, which has {prod(shape)}",
                help="the product of dims must be the input's; the batch is no part of it",
                argument="dims",
                operand=0,
            )
        return self.dims

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return x.reshape(len(x), *self.dims)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return grad.reshape(len(grad), *shape)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return row_major_copy("input" if wrt is None else "output_grad", layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls((6, 10)), ((3, 4, 5),)),
            Example(cls((2, 3, 3)), ((18,),)),
            Example(cls((7,)), ((7, 1),)),
        )
