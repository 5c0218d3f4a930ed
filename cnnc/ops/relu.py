"""relu: the rectifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.elementwise import elementwise
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import (
    Array,
    Example,
    Field,
    Gradient,
    Operands,
    ParameterSpec,
    Shape,
    Trait,
    as_float,
    single,
)
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class Relu:
    """y = max(x, 0); NaN stays NaN. Any shape. Nair and Hinton 2010."""

    NAME: ClassVar[str] = "relu"
    FIELDS: ClassVar[tuple[Field, ...]] = ()
    INPUTS: ClassVar[int | None] = 1
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Relu:
        return cls()

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return single(inputs)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        return ()

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input",)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("output",)

    def forward(self, operands: Operands) -> Array:
        return np.maximum(as_float(operands["input"]), 0)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return np.where(operands["output"] <= 0, 0, grad)

    def halo(self, wrt: str | None) -> Pads:
        return ()

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        if wrt is None:
            return elementwise(self, ("input",), layouts)
        return elementwise(Gradient(self, wrt), ("output_grad", "output"), layouts)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        return 0

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return tuple(Example(cls(), (shape,)) for shape in ((1,), (17,), (3, 5, 7), (2, 9)))
