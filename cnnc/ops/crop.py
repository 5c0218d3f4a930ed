"""crop: the input without its borders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.margins import narrow, widen
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.window import Pads, explicit, pad_array, spatial, text, unpad_array


@dataclass(frozen=True, slots=True)
class Crop(Op):
    """y = x without its first `before` and last `after` elements on each axis of space.

    (c, *space) -> (c, *(space - before - after)). Ronneberger, Fischer and Brox 2015, U-Net,
    section 2. Keras' Cropping2D, PyTorch's pad with negative numbers.
    """

    pad: Pads

    NAME: ClassVar[str] = "crop"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BY_CHANNEL})
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("pad", Kind.PADDING, "what is cut off around the input; not same or valid"),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Crop:
        return cls(explicit("crop", arguments["pad"], single(inputs)))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        space = spatial(shape, "crop")
        for n, (before, after) in zip(space, self.pad, strict=True):
            if before + after >= n:
                raise OpError(
                    "shape-mismatch",
                    f"crop cuts {before} + {after} off an extent of {n} and leaves nothing",
                    help="cut off less",
                    argument="pad",
                    operand=0,
                    notes=(f"the input is {text(shape)}",),
                )
        return (shape[0], *(n - b - a for n, (b, a) in zip(space, self.pad, strict=True)))

    def forward(self, operands: Operands) -> Array:
        return unpad_array(as_float(operands["input"]), self.pad)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return pad_array(grad, self.pad)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        first = (0, *(before for before, _ in self.pad))
        return (
            narrow("input", first, layouts) if wrt is None else widen("output_grad", first, layouts)
        )

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(((1, 1), (2, 2))), ((3, 4, 5),)),
            Example(cls(((0, 3), (1, 0))), ((1, 5, 2),)),
            Example(cls(((2, 1),)), ((17, 5),)),
            Example(cls(((1, 0), (0, 0), (0, 2))), ((2, 2, 3, 3),)),
        )
