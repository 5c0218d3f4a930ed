"""identity: the value itself, e.g. the shortcut of a residual block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cnnc.ops.elementwise import elementwise
from cnnc.ops.layout import Form, Layouts, Machine
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
class Identity:
    """y = x. Any shape; costs nothing: the output is the input's memory."""

    NAME: ClassVar[str] = "identity"
    FIELDS: ClassVar[tuple[Field, ...]] = ()
    INPUTS: ClassVar[int | None] = 1
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.VIEW, Trait.PASSES_GRADIENT})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Identity:
        return cls()

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return single(inputs)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        return ()

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input",)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ()

    def forward(self, operands: Operands) -> Array:
        return as_float(operands["input"])

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return grad

    def halo(self, wrt: str | None) -> Pads:
        return ()

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, ("input",), layouts)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        return 0

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(), ((3, 4, 5),)), Example(cls(), ((7,),)))
