"""cross_entropy: the negative log-likelihood of the label under the softmax of the logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import (
    Array,
    Example,
    Input,
    LossOp,
    Operands,
    OpError,
    Shape,
)
from cnnc.ops.window import text


@dataclass(frozen=True, slots=True)
class CrossEntropy(LossOp):
    """loss = log(sum_k exp(x_k)) - x_label, a sample; the network's loss is the mean.

    Inputs: logits (classes) and a label in [0, classes). Goodfellow, Bengio and Courville 2016,
    section 6.2.2.3; the largest logit is subtracted first, so that nothing overflows.
    """

    NAME: ClassVar[str] = "cross_entropy"

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> CrossEntropy:
        cls().output_shape(inputs)
        return cls()

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len(inputs[0]) != 1:
            raise OpError(
                "shape-mismatch",
                f"cross_entropy needs one logit per class, got {text(inputs[0])}",
                help="end the model with dense(classes)",
                operand=0,
            )
        return ()

    def target(self, output: Shape) -> Input:
        """What train_step takes besides the inputs: a label a sample."""
        return Input((), "label")

    def classes(self, output: Shape) -> int | None:
        """How many labels there are."""
        return output[0]

    def forward(self, operands: Operands) -> Array:
        x, label = operands["input"], operands["target"]
        x = x - x.max(axis=1, keepdims=True)
        picked = np.take_along_axis(x, label[:, None], axis=1)[:, 0]
        return np.asarray(np.log(np.exp(x).sum(axis=1)) - picked)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x, label = operands["input"], operands["target"]
        p = np.exp(x - x.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(p)), label] -= 1
        return np.asarray(p * grad[:, None])

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        if wrt is None:
            return Loss("cross_entropy", "forward", layouts["input"].channels, _READS)
        return Loss(
            "cross_entropy", "input_gradient", layouts["input"].channels, ("output_grad", *_READS)
        )

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(), ((10,),), classes=10), Example(cls(), ((1,),), classes=1))


_READS = ("input", "target")


@dataclass(frozen=True, slots=True)
class Loss(Form):
    """A loss over a flat output of `size` elements, or its gradient."""

    template: str
    macro: str
    size: int
    reads: tuple[str, ...]

    def writer(self) -> tuple[str, str]:
        return self.template, self.macro

    def operands(self) -> tuple[str, ...]:
        return (*self.reads, "result")

    def labels(self) -> tuple[str, ...]:
        return ("target",)
