"""scale: multiply by a constant, e.g. pixels by 1/255."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.activation import activation, finite
from cnnc.ops.field import Field, Kind
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Scale(Op):
    """y = factor * x. Any shape; the factor is a constant of the network, not trained."""

    factor: float

    NAME: ClassVar[str] = "scale"
    FIELDS: ClassVar[tuple[Field, ...]] = (Field("factor", Kind.NUMBER, "multiplies every value"),)
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Scale:
        return cls(finite(cls.NAME, arguments, "factor"))

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.asarray(x * x.dtype.type(self.factor))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return np.asarray(grad * grad.dtype.type(self.factor))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(1 / 255), ((3, 4, 5),)), Example(cls(-2.0), ((7,),)))
