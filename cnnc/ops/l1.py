"""l1: the mean absolute error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.elementwise_loss import elementwise_loss, mean, shared
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loss import LossOp
from cnnc.ops.op import Example, Input, Operands
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class L1(LossOp):
    """loss = mean over the elements of |x - target|, a sample; the network's loss is the mean.

    Inputs: an output of any shape and a float32 target of the same shape. Where the two are equal
    the gradient is 0.
    """

    NAME: ClassVar[str] = "l1"

    def target(self, output: Shape) -> Input:
        """What train_step takes besides the inputs: an array like the output."""
        return Input(output, "float32")

    def forward(self, operands: Operands) -> Array:
        return mean(np.abs(operands["input"] - operands["target"]))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return shared(np.sign(operands["input"] - operands["target"]), grad)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise_loss(self, wrt, layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(), ((17,), (17,))), Example(cls(), ((1, 3, 5), (1, 3, 5))))
