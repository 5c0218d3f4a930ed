"""add: the element-wise sum of two or more tensors of one shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

from cnnc.ops.elementwise import elementwise
from cnnc.ops.field import OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import ANYWHERE, Cut, Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.window import text


@dataclass(frozen=True, slots=True)
class Add(Op):
    """y = a + b + ...; all of one shape. He et al. 2016, Deep Residual Learning, equation 1."""

    count: int

    NAME: ClassVar[str] = "add"
    INPUTS: ClassVar[int | None] = None
    TRAITS: ClassVar[frozenset[Trait]] = frozenset(
        {Trait.ELEMENTWISE, Trait.COMMUTES, Trait.PASSES_GRADIENT, Trait.BY_CHANNEL}
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Add:
        return cls(len(inputs))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        for index, shape in enumerate(inputs):
            if shape != inputs[0]:
                raise OpError(
                    "shape-mismatch",
                    f"add needs equal shapes, got {text(inputs[0])} and {text(shape)}",
                    operand=index,
                )
        return inputs[0]

    def input_names(self, count: int) -> tuple[str, ...]:
        return tuple(f"input{i}" for i in range(count))

    @property
    def inputs_read(self) -> int:
        return self.count

    def forward(self, operands: Operands) -> Array:
        terms = (as_float(operands[name]) for name in self.input_names(self.count))
        return reduce(lambda total, term: total + term, terms)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return grad

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, self.input_names(self.count), layouts)

    def cuts(self, wrt: str | None) -> frozenset[Cut]:
        return ANYWHERE

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(2), ((3, 4, 5), (3, 4, 5))),
            Example(cls(3), ((17,), (17,), (17,))),
        )
