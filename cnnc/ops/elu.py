"""elu: the exponential linear unit."""

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
class Elu(Op):
    """y = x where x > 0, else alpha (e^x - 1). Any shape. Clevert et al. 2016."""

    alpha: float

    NAME: ClassVar[str] = "elu"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("alpha", Kind.NUMBER, "minus the limit for small x", default=1.0, minimum=0),
    )
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.HEAVY})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Elu:
        return cls(finite(cls.NAME, arguments, "alpha"))

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("output",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.where(x > 0, x, x.dtype.type(self.alpha) * np.expm1(np.minimum(x, 0)))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        y = operands["output"]
        return np.where(y > 0, grad, grad * (y + y.dtype.type(self.alpha)))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(1.0), 8) + activation_examples(cls(0.25))
