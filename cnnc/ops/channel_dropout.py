"""channel_dropout: set whole channels to zero at random in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cnnc.ops.dropout_mask import DropoutMask
from cnnc.ops.elementwise import elementwise
from cnnc.ops.field import Field, Kind
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import RANDOM, Example, Op, Operands, TrainingStep, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class ChannelDropout(Op):
    """y = x; in training whole channels are 0 with probability rate, else x / (1 - rate).

    Any shape; each feature of a flat input is a channel. Tompson et al. 2015, Efficient Object
    Localization Using Convolutional Networks, section 3.2.
    """

    rate: float

    NAME: ClassVar[str] = "channel_dropout"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("rate", Kind.NUMBER, "share of channels that are dropped", 0.5, minimum=0, below=1),
    )
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.VIEW, Trait.PASSES_GRADIENT})

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> ChannelDropout:
        return cls(float(arguments["rate"]))

    def forward(self, operands: Operands) -> Array:
        return as_float(operands["input"])

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return grad

    def training_steps(self, stream: int) -> tuple[TrainingStep, ...]:
        mask = DropoutMask(self.rate, stream, channels=True)
        return (TrainingStep("dropped", mask, ("input", RANDOM)),)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, ("input",), layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(0.5), ((3, 4, 5),)), Example(cls(0.25), ((7,),)))
