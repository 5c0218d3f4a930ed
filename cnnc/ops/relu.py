"""relu: the rectifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.activation import activation
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Relu(Op):
    """y = max(x, 0); NaN stays NaN. Any shape. Nair and Hinton 2010."""

    NAME: ClassVar[str] = "relu"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.BY_SIGN})

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("output",)

    def forward(self, operands: Operands) -> Array:
        return np.maximum(as_float(operands["input"]), 0)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return np.where(operands["output"] <= 0, 0, grad)

    def rises(self) -> bool:
        return True

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return tuple(Example(cls(), (shape,)) for shape in ((1,), (17,), (3, 5, 7), (2, 9)))
