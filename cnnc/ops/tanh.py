"""tanh: the hyperbolic tangent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.activation import activation, activation_examples
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Tanh(Op):
    """y = tanh(x). Any shape. LeCun et al. 1998, Efficient BackProp, section 4.4."""

    NAME: ClassVar[str] = "tanh"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.HEAVY})

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("output",)

    def forward(self, operands: Operands) -> Array:
        return np.asarray(np.tanh(as_float(operands["input"])))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        y = operands["output"]
        return np.asarray(grad * (1 - y * y))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(), 8)
