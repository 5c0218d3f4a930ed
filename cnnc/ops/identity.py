"""identity: the value itself, e.g. the shortcut of a residual block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.elementwise import elementwise
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Identity(Op):
    """y = x. Any shape; costs nothing: the output is the input's memory."""

    NAME: ClassVar[str] = "identity"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.VIEW, Trait.PASSES_GRADIENT})

    def forward(self, operands: Operands) -> Array:
        return as_float(operands["input"])

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return grad

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, ("input",), layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(), ((3, 4, 5),)), Example(cls(), ((7,),)))
