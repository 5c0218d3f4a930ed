"""mul: the element-wise product of two tensors, or of a tensor and a gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.broadcast import gathered, joined_examples, joined_form, joined_shape, spread
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Mul(Op):
    """y = a * b. Hu, Shen and Sun 2018, Squeeze-and-Excitation Networks, equation 4.

    b has a's shape, or axes of extent 1 that spread over it: (c, 1, 1), or (c), beside (c, h, w).
    """

    NAME: ClassVar[str] = "mul"
    INPUTS: ClassVar[int | None] = 2
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE})

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return joined_shape(self.NAME, inputs)

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input0", "input1")

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input1",) if wrt == "input0" else ("input0",)

    def forward(self, operands: Operands) -> Array:
        a, b = as_float(operands["input0"]), as_float(operands["input1"])
        return np.asarray(a * spread(b, a))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        if wrt == "input0":
            return np.asarray(grad * spread(operands["input1"], grad))
        return gathered(grad * operands["input0"], shape)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return joined_form(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return joined_examples(cls)
