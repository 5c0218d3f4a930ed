"""flatten: channels and space as one row of features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Loop
from cnnc.ops.op import (
    Array,
    Example,
    Field,
    Operands,
    ParameterSpec,
    Shape,
    Trait,
    as_float,
    single,
)
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class Flatten:
    """(channels, *space) -> (channels * prod(space)), the last axis fastest."""

    NAME: ClassVar[str] = "flatten"
    FIELDS: ClassVar[tuple[Field, ...]] = ()
    INPUTS: ClassVar[int | None] = 1
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.VIEW})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Flatten:
        return cls()

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (prod(single(inputs)),)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        return ()

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input",)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ()

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return x.reshape(x.shape[0], prod(x.shape[1:]))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return grad.reshape(grad.shape[0], *shape)

    def halo(self, wrt: str | None) -> Pads:
        return ()

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

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        return 0

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
