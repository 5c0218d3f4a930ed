"""flatten: channels and space as one row of features."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Loop
from cnnc.ops.op import (
    Array,
    Example,
    Op,
    Operands,
    Shape,
    Trait,
    as_float,
    single,
)


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    """(channels, *space) -> (channels * prod(space)), the last axis fastest."""

    NAME: ClassVar[str] = "flatten"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.VIEW})

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (prod(single(inputs)),)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return x.reshape(x.shape[0], prod(x.shape[1:]))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return grad.reshape(grad.shape[0], *shape)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        """A copy, where the input has a halo and cannot be viewed as one row."""
        source, result = layouts["input" if wrt is None else "output_grad"], layouts["result"]
        spatial = source if source.extents else result
        dense = Layout(spatial.channels, spatial.extents)
        return FlattenCopy(
            "input" if wrt is None else "output_grad",
            source if source.extents else dense,
            result if result.extents else dense,
            position_loops(spatial),
        )

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(), ((3, 4, 5),)), Example(cls(), ((2, 9),)), Example(cls(), ((4,),)))


@dataclass(frozen=True, slots=True)
class FlattenCopy(Form):
    """Copies between a tensor with a halo and its flat row, both seen with their space."""

    read: str
    source: Layout
    result: Layout
    loops: tuple[Loop, ...]

    TEMPLATE: ClassVar[str] = "flatten"
    MACRO: ClassVar[str] = "copy"

    def operands(self) -> tuple[str, ...]:
        return (self.read, "result")
