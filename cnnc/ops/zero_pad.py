"""zero_pad: zeros around the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cnnc.ops.field import Field, Kind
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.margins import narrow, widen
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.window import Pads, explicit, pad_array, spatial, unpad_array


@dataclass(frozen=True, slots=True)
class ZeroPad(Op):
    """y = x with `before` and `after` zeros on each axis of space.

    (c, *space) -> (c, *(before + space + after)). PyTorch's ZeroPad2d, Keras' ZeroPadding2D.
    """

    pad: Pads

    NAME: ClassVar[str] = "zero_pad"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BY_CHANNEL})
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("pad", Kind.PADDING, "zeros around the input; not same or valid"),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> ZeroPad:
        return cls(explicit("zero_pad", arguments["pad"], single(inputs)))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        space = spatial(shape, "zero_pad")
        return (shape[0], *(n + b + a for n, (b, a) in zip(space, self.pad, strict=True)))

    def forward(self, operands: Operands) -> Array:
        return pad_array(as_float(operands["input"]), self.pad)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return unpad_array(grad, self.pad)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        first = (0, *(before for before, _ in self.pad))
        return (
            widen("input", first, layouts) if wrt is None else narrow("output_grad", first, layouts)
        )

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(((1, 1), (2, 2))), ((3, 4, 5),)),
            Example(cls(((0, 3), (1, 0))), ((1, 3, 1),)),
            Example(cls(((2, 1),)), ((17, 5),)),
            Example(cls(((1, 0), (0, 0), (0, 2))), ((2, 2, 3, 3),)),
        )
