"""huber: squared where the error is small, absolute where it is large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.elementwise_loss import elementwise_loss, mean, shared
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loss import LossOp
from cnnc.ops.op import Example, Input, Operands
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Huber(LossOp):
    """loss = mean over the elements of h(x - target), a sample; the network's loss is the mean.

    h(e) = e^2 / 2 where |e| <= delta, and delta (|e| - delta / 2) elsewhere: Huber 1964, Robust
    estimation of a location parameter, equation 1.3. Inputs: an output of any shape and a float32
    target of the same shape.
    """

    delta: float = 1.0

    NAME: ClassVar[str] = "huber"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("delta", Kind.NUMBER, "where the square ends; above 0", 1.0, minimum=0),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Huber:
        delta, float32 = float(arguments["delta"]), np.finfo(np.float32)
        if not float(float32.tiny) <= delta <= float(float32.max):
            raise OpError(
                "bad-value",
                "huber needs a delta above 0 that is a finite float32 number",
                help="the loss without a square is l1",
                argument="delta",
            )
        return cls(delta)

    def target(self, output: Shape) -> Input:
        """What train_step takes besides the inputs: an array like the output."""
        return Input(output, "float32")

    def forward(self, operands: Operands) -> Array:
        size = np.abs(operands["input"] - operands["target"])
        # With s = min(size, delta) both branches are s (size - s / 2).
        small = np.minimum(size, self.delta)
        return mean(small * (size - 0.5 * small))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        error = operands["input"] - operands["target"]
        return shared(np.clip(error, -self.delta, self.delta), grad)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise_loss(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(), ((5,), (5,))),
            Example(cls(0.25), ((3, 3, 5), (3, 3, 5))),
        )
