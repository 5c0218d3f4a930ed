"""groupnorm: groups of channels of a sample, brought to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cnnc.ops.counted import refuse_count
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.norm_kernels import norm, standardize, standardize_gradient, weights
from cnnc.ops.op import (
    Example,
    Op,
    Operands,
    ParameterSpec,
    as_float,
    channel_sums,
    per_channel,
    single,
)
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import EVERYTHING, Sight
from cnnc.ops.single import Single
from cnnc.ops.single_norm import single_norm
from cnnc.ops.window import Pads, text


@dataclass(frozen=True, slots=True)
class GroupNorm(Op):
    """y = weight[c] * (x - mean) / sqrt(variance + eps) + bias[c], statistics over c's group.

    (c, *space) or (features); any shape. A group is c / groups channels in a row, with all of their
    space; the variance is the biased one. Wu and He 2018, Group normalization, equations 1 to 4.
    With a group a channel it is instance normalisation.
    """

    groups: int
    eps: float = 1e-5
    affine: bool = True

    NAME: ClassVar[str] = "groupnorm"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("groups", Kind.COUNT, "how many groups the channels form"),
        Field("eps", Kind.NUMBER, "added to the variance", 1e-5, minimum=0),
        Field("affine", Kind.FLAG, "train a weight and a bias per channel", True),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> GroupNorm:
        refuse_count(cls.NAME, arguments, "eps", 1)
        return cls(**arguments)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        if shape[0] % self.groups:
            raise OpError(
                "shape-mismatch",
                f"groupnorm cannot form {self.groups} equal groups of {text(shape)}'s "
                f"{shape[0]} channels",
                help="groups must divide the number of channels",
                argument="groups",
                operand=0,
            )
        return shape

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        return weights(single(inputs)[:1]) if self.affine else ()

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        if wrt == "input":
            return ("input", "weight") if self.affine else ("input",)
        return {"weight": ("input",), "bias": ()}[wrt]

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        y = standardize(x, self.groups, self.eps)[0].reshape(x.shape)
        if not self.affine:
            return y
        weight, bias = (per_channel(operands[name], x.ndim) for name in ("weight", "bias"))
        return y * weight + bias

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        if wrt == "bias":
            return channel_sums(grad)
        x = as_float(operands["input"])
        if wrt == "weight":
            y = standardize(x, self.groups, self.eps)[0].reshape(x.shape)
            return channel_sums(grad * y)
        if self.affine:
            grad = grad * per_channel(operands["weight"], x.ndim)
        return standardize_gradient(x, grad, self.groups, self.eps)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return norm(wrt, self.groups, self.eps, self.affine, False, layouts)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        return single_norm(
            single(inputs), self.groups, self.eps, affine=self.affine, each=False, lanes=lanes
        )

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        return EVERYTHING

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(2), ((6, 3, 5),)),
            Example(cls(1, eps=0.1), ((17, 4),)),
            Example(cls(3, affine=False), ((3, 2, 3, 2),)),
            Example(cls(2), ((12,),)),
        )
