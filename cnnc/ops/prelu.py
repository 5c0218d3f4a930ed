"""prelu: the rectifier with a trained slope below zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.activation import activation_examples, finite
from cnnc.ops.counted import refuse_count
from cnnc.ops.elementwise import elementwise, parameter_sum
from cnnc.ops.field import Field, Kind
from cnnc.ops.initializers import Constant
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import (
    Example,
    Gradient,
    Op,
    Operands,
    ParameterSpec,
    Trait,
    as_float,
    per_channel,
    single,
)
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import Single
from cnnc.ops.single_prelu import SinglePrelu
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class Prelu(Op):
    """y = x where x > 0, else weight[channel] * x. Any shape. He et al. 2015, equation 1.

    A flat tensor has a weight a feature. `shared` is one weight for all channels, as the paper's
    channel-shared variant.
    """

    init: float
    shared: bool

    NAME: ClassVar[str] = "prelu"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("init", Kind.NUMBER, "first value of the slopes", default=0.25),
        Field("shared", Kind.FLAG, "one slope for all channels", default=False),
    )
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.PLACED})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Prelu:
        refuse_count(cls.NAME, arguments, "init", 2)
        return cls(finite(cls.NAME, arguments, "init"), arguments["shared"])

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        count = 1 if self.shared else single(inputs)[0]
        return (ParameterSpec("weight", (count,), Constant(self.init), 1, 1),)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return ("input", "weight") if wrt == "input" else ("input",)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.where(x > 0, x, x * per_channel(operands["weight"], x.ndim))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x = operands["input"]
        if wrt == "input":
            return np.where(x > 0, grad, grad * per_channel(operands["weight"], x.ndim))
        parts = np.where(x > 0, 0, grad * x)
        others = tuple(axis for axis in range(x.ndim) if self.shared or axis != 1)
        return np.asarray(parts.sum(axis=others)).reshape(shape)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        if wrt is None:
            return elementwise(self, ("input", "weight"), layouts)
        reads = ("output_grad", *self.gradient_reads(wrt))
        if wrt == "input":
            return elementwise(Gradient(self, wrt), reads, layouts)
        return parameter_sum(Gradient(self, wrt), reads, layouts, by_channel=not self.shared)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        return Single(SinglePrelu(single(inputs)[0], self.shared, lanes))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return activation_examples(cls(0.25, False)) + activation_examples(cls(0.25, True))
