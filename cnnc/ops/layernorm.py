"""layernorm: all values of a sample, brought to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.counted import refuse_count
from cnnc.ops.field import Field, Kind
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.norm_kernels import norm, standardize, standardize_gradient, weights
from cnnc.ops.op import Example, Op, Operands, ParameterSpec, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import EVERYTHING, Sight
from cnnc.ops.single import Single
from cnnc.ops.single_norm import single_norm
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class LayerNorm(Op):
    """y = weight * (x - mean) / sqrt(variance + eps) + bias, statistics over a whole sample.

    Any shape; weight and bias have the input's shape, one value an element. The variance is the
    biased one. Ba, Kiros and Hinton 2016, Layer normalization, equation 3.
    """

    eps: float = 1e-5
    affine: bool = True

    NAME: ClassVar[str] = "layernorm"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("eps", Kind.NUMBER, "added to the variance", 1e-5, minimum=0),
        Field("affine", Kind.FLAG, "train a weight and a bias per element", True),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> LayerNorm:
        refuse_count(cls.NAME, arguments, "eps", 1)
        return cls(**arguments)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        return weights(single(inputs)) if self.affine else ()

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        if wrt == "input":
            return ("input", "weight") if self.affine else ("input",)
        return {"weight": ("input",), "bias": ()}[wrt]

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        y = standardize(x, 1, self.eps)[0].reshape(x.shape)
        return y * operands["weight"] + operands["bias"] if self.affine else y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        if wrt == "bias":
            return np.asarray(grad.sum(axis=0))
        x = as_float(operands["input"])
        if wrt == "weight":
            return np.asarray((grad * standardize(x, 1, self.eps)[0].reshape(x.shape)).sum(axis=0))
        grad = grad * operands["weight"] if self.affine else grad
        return standardize_gradient(x, grad, 1, self.eps)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return norm(wrt, 1, self.eps, self.affine, True, layouts)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        return single_norm(single(inputs), 1, self.eps, affine=self.affine, each=True, lanes=lanes)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        return EVERYTHING

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(), ((3, 4, 5),)),
            Example(cls(eps=0.1), ((17,),)),
            Example(cls(affine=False), ((5, 3),)),
        )
