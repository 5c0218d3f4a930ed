"""leaky_relu: the rectifier with a slope below zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.activation import activation, activation_examples, finite
from cnnc.ops.field import Field, Kind
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class LeakyRelu(Op):
    """y = x where x > 0, else slope * x. Any shape. Maas, Hannun and Ng 2013."""

    slope: float

    NAME: ClassVar[str] = "leaky_relu"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("slope", Kind.NUMBER, "what negative values are multiplied by", default=0.01),
    )
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.BY_SIGN})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> LeakyRelu:
        return cls(finite(cls.NAME, arguments, "slope"))

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("output",) if self.slope >= 0 else ("input",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.where(x > 0, x, x * x.dtype.type(self.slope))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        (value,) = operands.values()
        return np.where(value > 0, grad, grad * grad.dtype.type(self.slope))

    def rises(self) -> bool:
        return self.slope > 0  # an infinity times 0 is none

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(0.01)) + activation_examples(cls(-0.5))
