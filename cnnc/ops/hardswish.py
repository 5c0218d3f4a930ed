"""hardswish: x times the hard logistic function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.activation import activation, activation_examples
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class HardSwish(Op):
    """y = x min(max(x + 3, 0), 6) / 6. Any shape. Howard et al. 2019, Searching for MobileNetV3."""

    NAME: ClassVar[str] = "hardswish"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.asarray(x * np.clip(x + 3, 0, 6) / 6)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x = operands["input"]
        slope = np.where(x >= 3, 1, x / 3 + 0.5)
        return np.where(x <= -3, 0, grad * slope)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(), 12)
