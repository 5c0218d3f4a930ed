"""normalize: subtract a mean and divide by a standard deviation, by channel, e.g. of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.activation import LARGEST, activation
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, per_channel, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import Single
from cnnc.ops.single_normalize import SingleNormalize
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class Normalize(Op):
    """y = (x - mean[channel]) / std[channel]. Any shape; constants of the network, not trained.

    LeCun et al. 1998, Efficient BackProp, section 4.3.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    NAME: ClassVar[str] = "normalize"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("mean", Kind.NUMBERS, "subtracted; one number, or one a channel"),
        Field("std", Kind.NUMBERS, "divides the difference; one number, or one a channel"),
    )
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.PLACED})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Normalize:
        channels = single(inputs)[0]
        mean = _constants(arguments, "mean", channels)
        std = _constants(arguments, "std", channels)
        if any(value < _SMALLEST for value in std):
            message = f"normalize needs standard deviations above 0, got {min(std):g}"
            raise OpError("bad-value", message, argument="std")
        return cls(mean, std)

    @property
    def factor(self) -> tuple[float, ...]:
        """What the difference is multiplied by."""
        return tuple(1 / value for value in self.std)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return np.asarray((x - _by_channel(self.mean, x)) * _by_channel(self.factor, x))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return np.asarray(grad * _by_channel(self.factor, grad))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return activation(self, wrt, layouts)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        count = single(inputs)[0]
        mean, factor = (v * (count // len(v)) for v in (self.mean, self.factor))
        return Single(SingleNormalize(mean, factor, lanes))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls((0.5, -0.25, 0.1), (0.25, 1.5, 1.0)), ((3, 4, 5),)),
            Example(cls((0.5,), (0.25, 0.75)), ((2, 9),)),
            Example(cls((0.1307,), (0.3081,)), ((7,),)),
        )


_SMALLEST = 2.0**-126
"""The least deviation: smaller ones are no ordinary float32, nor are their reciprocals."""


def _constants(arguments: Mapping[str, Any], name: str, channels: int) -> tuple[float, ...]:
    given = arguments[name]
    listed = not isinstance(given, (int, float))
    values = tuple(float(value) for value in given) if listed else (float(given),)
    if listed and len(values) != channels:
        raise OpError(
            "bad-value",
            f"normalize needs one number, or one for each of the {channels} channels, "
            f"got {len(values)}",
            argument=name,
        )
    if not all(abs(value) <= LARGEST for value in values):
        raise OpError("bad-value", "normalize needs finite float32 numbers", argument=name)
    return values


def _by_channel(values: tuple[float, ...], x: Array) -> Array:
    return per_channel(np.array(values, x.dtype), x.ndim)
