"""gelu: the Gaussian error linear unit."""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, pi, sqrt
from typing import ClassVar

import numpy as np

from cnnc.ops.activation import activation, activation_examples
from cnnc.ops.field import Field, Kind
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Gelu(Op):
    """y = x Phi(x), Phi the normal distribution's: (1 + erf(x / sqrt 2)) / 2. Any shape.

    `approximate` takes (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 for Phi. Hendrycks and
    Gimpel 2016.
    """

    approximate: bool

    NAME: ClassVar[str] = "gelu"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("approximate", Kind.FLAG, "by tanh, as the paper's formula 2", default=False),
    )
    TRAITS: ClassVar[frozenset[Trait]] = frozenset(
        {Trait.ELEMENTWISE, Trait.HEAVY, Trait.HEAVY_GRADIENT}
    )

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.asarray(x * self._share(x))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x = operands["input"]
        if not self.approximate:
            density = np.exp(-x * x / 2) / x.dtype.type(sqrt(2 * pi))
            return np.asarray(grad * (self._share(x) + x * density))
        t = np.tanh(_inner(x))
        slope = (1 - t * t) * x.dtype.type(sqrt(2 / pi)) * (1 + 3 * x.dtype.type(_CUBIC) * x * x)
        return np.asarray(grad * ((1 + t) + x * slope) / 2)

    def _share(self, x: Array) -> Array:
        """Phi(x)."""
        if self.approximate:
            return np.asarray((1 + np.tanh(_inner(x))) / 2)
        values = np.fromiter((erf(v) for v in (x / sqrt(2)).flat), x.dtype, x.size)
        return np.asarray((1 + values.reshape(x.shape)) / 2)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(False), 10) + activation_examples(cls(True), 10)


_CUBIC = 0.044715


def _inner(x: Array) -> Array:
    return np.asarray(x.dtype.type(sqrt(2 / pi)) * (x + x.dtype.type(_CUBIC) * x**3))
