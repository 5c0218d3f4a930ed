"""cross_entropy: the negative log-likelihood of the label under the softmax of the logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Loop
from cnnc.ops.loss import LabelWeights, LossOp
from cnnc.ops.loss_loops import Lines, every, row_lines
from cnnc.ops.op import Example, Input, Operands
from cnnc.ops.shapes import Array, Shape

_INT32 = 2**31


@dataclass(frozen=True, slots=True)
class CrossEntropy(LossOp):
    """loss = sum over k of t_k (log(sum_j exp(x_j)) - x_k), a position (a sample or its pixel).

    t_k = w_k ((1 - s) [k = label] + s / classes) with the label smoothing s and the class weights
    w (1 where there are none); all are 0 where the label is `ignore_index`. The network's loss is
    the sum over the batch's positions, divided by the sum of w_label over those not ignored.
    Inputs: logits (classes, *space) and labels (*space), each in [0, classes) or `ignore_index`.
    Goodfellow, Bengio and Courville 2016, section 6.2.2.3; smoothing after Szegedy et al. 2016,
    Rethinking the Inception architecture, section 7. The largest logit is subtracted first, so that
    nothing overflows.
    """

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    ignore_index: int | None = None

    NAME: ClassVar[str] = "cross_entropy"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("label_smoothing", Kind.NUMBER, "share spread evenly; at most 1", 0.0, minimum=0),
        Field("class_weights", Kind.NUMBERS, "what each class counts", None, minimum=0),
        Field("ignore_index", Kind.INTEGER, "a label that does not count", None),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> CrossEntropy:
        smoothing, ignore = float(arguments["label_smoothing"]), arguments["ignore_index"]
        if smoothing > 1:
            raise OpError(
                "bad-value",
                f"cross_entropy's label_smoothing must be at most 1, got {smoothing:g}",
                help="it is the share of a label that is spread over all classes, such as 0.1",
                argument="label_smoothing",
            )
        if ignore is not None and not -_INT32 <= ignore < _INT32:
            raise OpError(
                "bad-value",
                f"cross_entropy's ignore_index must be an int32 number, got {ignore}",
                help="a label that no class has, such as -100 or 255, is enough",
                argument="ignore_index",
            )
        return cls(smoothing, _class_weights(arguments["class_weights"], inputs[0]), ignore)

    def target(self, output: Shape) -> Input:
        """What train_step takes besides the inputs: a label a position."""
        return Input(output[1:], "label")

    def classes(self, output: Shape) -> int | None:
        """How many labels there are."""
        return output[0]

    def label_weights(self) -> LabelWeights | None:
        """What each label counts, where they do not all count the same."""
        if self.class_weights is None and self.ignore_index is None:
            return None
        return LabelWeights(self.ignore_index, self.class_weights)

    def forward(self, operands: Operands) -> Array:
        x, wanted = operands["input"], self._wanted(operands)
        x = x - x.max(axis=1, keepdims=True)
        log = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        # A class that nothing wants may have a likelihood of 0.
        each = np.where(wanted == 0, 0, wanted * np.where(wanted == 0, 0, log))
        return np.asarray(-each.sum(axis=tuple(range(1, x.ndim))) / self._mean_of(x.shape[1:]))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x, wanted = operands["input"], self._wanted(operands)
        p = np.exp(x - x.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        share = grad.reshape(-1, *(1 for _ in shape)) / self._mean_of(shape)
        return np.asarray((p * wanted.sum(axis=1, keepdims=True) - wanted) * share)

    def _wanted(self, operands: Operands) -> Array:
        """What a perfect output would have, times the weights: t_k, (n, classes, *space)."""
        x, label = operands["input"], operands["target"][:, None]
        axis = (-1, *(1 for _ in x.shape[2:]))
        hit = label == np.arange(x.shape[1]).reshape(axis)
        wanted = np.where(hit, 1 - self.label_smoothing, 0) + self.label_smoothing / x.shape[1]
        if self.class_weights is not None:
            wanted = wanted * np.reshape(self.class_weights, axis)
        if self.ignore_index is not None:
            wanted = np.where(label == self.ignore_index, 0, wanted)
        return np.asarray(wanted, x.dtype)

    def _mean_of(self, shape: Shape) -> int:
        """How many positions the loss itself takes the mean of; with label weights it sums."""
        return prod(shape[1:]) if self.label_weights() is None else 1

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        logits, result = layouts["input"], layouts["result" if wrt else "input"]
        classes, space = logits.channels, logits.extents
        mean_of = self._mean_of((classes, *space))
        if logits.dense and result.dense:
            size = prod(space)
            lines = every((Loop("position", 0, size),)) if wrt else row_lines("position", size)
            logits = result = Layout(classes, (size,))
        else:
            lines = every(position_loops(logits)[1:])
        labels_at = Layout(1, logits.extents).offset(0, *lines.at)
        weights, ignore = self.class_weights, self.ignore_index
        smoothing = self.label_smoothing
        return CrossEntropyForm(
            wrt, logits, result, lines, labels_at, smoothing, weights, ignore, mean_of
        )

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        weights = (0.5, 1.0, 3.0)
        return (
            Example(cls(), ((10,),), classes=10),
            Example(cls(ignore_index=1), ((1,),), classes=1),
            Example(cls(0.1, weights, -100), ((3,),), classes=3),
            Example(cls(), ((2, 17, 17),), classes=2),
            Example(cls(0.2), ((17, 3),), classes=17),
            Example(cls(0.0, weights), ((3, 5, 3),), classes=3),
            Example(cls(0.0, None, 1), ((3, 2, 3, 2),), classes=3),
            Example(cls(0.1, weights, 255), ((3, 3, 5),), classes=3),
        )


def _class_weights(given: object, output: Shape) -> tuple[float, ...] | None:
    """A number a class. Raises OpError."""
    if given is None:
        return None
    weights = tuple(map(float, given)) if isinstance(given, (list, tuple)) else ()
    if len(weights) != output[0]:
        found = f"{len(weights)} numbers" if weights else "one for all"
        raise OpError(
            "bad-value",
            f"cross_entropy's class_weights must be {output[0]} numbers, one a class, got {found}",
            help="the classes are the channels of the output",
            argument="class_weights",
        )
    if not 0 < max(weights) <= float(np.finfo(np.float32).max):
        raise OpError(
            "bad-value",
            "cross_entropy's class_weights must be finite float32 numbers, not all of them 0",
            argument="class_weights",
        )
    return weights


@dataclass(frozen=True, slots=True)
class CrossEntropyForm(Form):
    """A pass over positions, each with passes over its classes. `mean_of`: positions of a mean."""

    wrt: str | None
    logits: Layout
    result: Layout
    lines: Lines
    labels_at: Affine
    smoothing: float
    weights: tuple[float, ...] | None
    ignore: int | None
    mean_of: int

    TEMPLATE: ClassVar[str] = "cross_entropy"

    @property
    def classes(self) -> int:
        """Logits a position."""
        return self.logits.channels

    @property
    def kept(self) -> float:
        """What smoothing leaves to the label."""
        return 1 - self.smoothing

    @property
    def even(self) -> float:
        """What smoothing gives to each class."""
        return self.smoothing / self.classes

    @property
    def rest(self) -> float:
        """What it gives to all of them, weighted."""
        return self.even * sum(self.weights or ())

    def writer(self) -> tuple[str, str]:
        return self.TEMPLATE, "forward" if self.wrt is None else "input_gradient"

    def operands(self) -> tuple[str, ...]:
        first = () if self.wrt is None else ("output_grad",)
        return (*first, "input", "target", "scratch", "result")

    def labels(self) -> tuple[str, ...]:
        return ("target",)

    def scratch(self) -> int:
        return self.classes
