"""silu: the sigmoid-weighted linear unit, also called swish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.activation import activation, activation_examples, logistic
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Silu(Op):
    """y = x / (1 + e^-x). Any shape. Elfwing, Uchibe and Doya 2018; Ramachandran et al. 2017."""

    NAME: ClassVar[str] = "silu"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset(
        {Trait.ELEMENTWISE, Trait.HEAVY, Trait.HEAVY_GRADIENT}
    )

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.asarray(x * logistic(x))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x = operands["input"]
        s = logistic(x)
        return np.asarray(grad * s * (1 + x * (1 - s)))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(), 12)
