"""relu6: the rectifier, cut off at 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.activation import activation, activation_examples
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Relu6(Op):
    """y = min(max(x, 0), 6). Any shape. Howard et al. 2017, MobileNets; Krizhevsky 2010."""

    NAME: ClassVar[str] = "relu6"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("output",)

    def forward(self, operands: Operands) -> Array:
        return np.clip(as_float(operands["input"]), 0, 6)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        y = operands["output"]
        return np.where((y <= 0) | (y >= 6), 0, grad)

    def rises(self) -> bool:
        return True

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(), 16)
