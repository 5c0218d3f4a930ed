"""softplus: a smooth rectifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.activation import activation, activation_examples, finite, logistic
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Softplus(Op):
    """y = log(1 + e^(beta x)) / beta, and x where beta x > 20. Any shape. Dugas et al. 2001.

    The generated code needs no such threshold: beyond it the two are the same float32.
    """

    beta: float

    NAME: ClassVar[str] = "softplus"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("beta", Kind.NUMBER, "how sharp the bend is", default=1.0),
    )
    TRAITS: ClassVar[frozenset[Trait]] = frozenset(
        {Trait.ELEMENTWISE, Trait.HEAVY, Trait.HEAVY_GRADIENT}
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Softplus:
        beta = finite(cls.NAME, arguments, "beta")
        if beta < _SMALLEST:
            raise OpError(
                "bad-value", f"softplus needs a beta above 0, got {beta:g}", argument="beta"
            )
        return cls(beta)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        z = x * x.dtype.type(self.beta)
        smooth = (np.maximum(z, 0) + np.log1p(np.exp(-abs(z)))) / x.dtype.type(self.beta)
        return np.where(z > 20, x, smooth)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        z = operands["input"] * grad.dtype.type(self.beta)
        return np.where(z > 20, grad, grad * logistic(z))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(1.0), 12) + activation_examples(cls(5.0), 12)


_SMALLEST = 2.0**-126
"""The least beta: smaller ones are no ordinary float32, nor are their reciprocals."""
