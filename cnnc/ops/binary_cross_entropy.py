"""binary_cross_entropy: of logits, each element a question of its own, answered yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.elementwise_loss import elementwise_loss, mean, shared
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loss import LossOp
from cnnc.ops.op import Example, Input, Operands, per_channel
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.window import text


@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy(LossOp):
    """loss = mean of (1 - t) softplus(x) + pos_weight t softplus(-x), a sample.

    The negative log-likelihood of t under sigmoid(x): Goodfellow, Bengio and Courville 2016,
    section 6.2.2.2; softplus(x) = max(x, 0) + log(1 + exp(-|x|)), which never overflows. Inputs:
    logits of any shape and a float32 target t of the same shape, 0 to 1. `pos_weight` is empty, or
    has one factor for all, or one for each channel (the first axis).
    """

    pos_weight: tuple[float, ...] = ()

    NAME: ClassVar[str] = "binary_cross_entropy"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(
            "pos_weight",
            Kind.NUMBERS,
            "what a positive counts, for all channels or each",
            1.0,
            minimum=0,
        ),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> BinaryCrossEntropy:
        given = arguments["pos_weight"]
        if not isinstance(given, (list, tuple)):
            given = [given]
            wanted = 1
        else:
            wanted = inputs[0][0]
        if len(given) != wanted:
            raise OpError(
                "bad-value",
                f"pos_weight has {len(given)} numbers, the output {text(inputs[0])} has "
                f"{wanted} channels",
                help="write one number for all of them, or one for each",
                argument="pos_weight",
            )
        if max(given) > float(np.finfo(np.float32).max):
            raise OpError(
                "bad-value", "pos_weight needs finite float32 numbers", argument="pos_weight"
            )
        return cls(() if given == [1.0] else tuple(map(float, given)))

    def target(self, output: Shape) -> Input:
        """What train_step takes besides the inputs: an array like the output."""
        return Input(output, "float32")

    def forward(self, operands: Operands) -> Array:
        x, t = operands["input"], operands["target"]
        log = np.log1p(np.exp(-np.abs(x)))
        positive = self._factor(x) * t * (np.maximum(-x, 0) + log)
        return mean((1 - t) * (np.maximum(x, 0) + log) + positive)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x, t = operands["input"], operands["target"]
        small = np.exp(-np.abs(x))
        chance, rest = np.where(x < 0, small, 1), np.where(x < 0, 1, small)
        return shared(((1 - t) * chance - self._factor(x) * t * rest) / (1 + small), grad)

    def _factor(self, x: Array) -> Array:
        """pos_weight, to be multiplied with (n, channels, *space)."""
        return per_channel(np.array(self.pos_weight or (1.0,), x.dtype), x.ndim)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        table = self.pos_weight if len(self.pos_weight) > 1 else ()
        return elementwise_loss(self, wrt, layouts, table)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(), ((17,), (17,))),
            Example(cls((2.5,)), ((1, 3, 3), (1, 3, 3))),
            Example(cls((0.5, 1.0, 3.0)), ((3, 5), (3, 5))),
            Example(cls((0.5, 2.0)), ((2,), (2,))),
        )
