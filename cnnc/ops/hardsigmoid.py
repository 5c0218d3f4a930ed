"""hardsigmoid: the logistic function in three straight pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.activation import activation, activation_examples
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class HardSigmoid(Op):
    """y = min(max(x + 3, 0), 6) / 6. Any shape. Courbariaux et al. 2015; Howard et al. 2019."""

    NAME: ClassVar[str] = "hardsigmoid"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("output",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.asarray(np.clip(x + 3, 0, 6) / 6)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        y = operands["output"]
        return np.where((y <= 0) | (y >= 1), 0, grad / 6)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(), 12)
