"""mse: the mean squared error."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Loop
from cnnc.ops.op import Array, Example, Input, LossOp, Operands, Shape


@dataclass(frozen=True, slots=True)
class Mse(LossOp):
    """loss = mean over the elements of (x - target)^2, a sample; the network's loss is the mean.

    Inputs: an output of any shape and a float32 target of the same shape.
    """

    NAME: ClassVar[str] = "mse"

    def target(self, output: Shape) -> Input:
        """What train_step takes besides the inputs: an array like the output."""
        return Input(output, "float32")

    def forward(self, operands: Operands) -> Array:
        error = operands["input"] - operands["target"]
        result: Array = (error**2).mean(axis=tuple(range(1, error.ndim)))
        return result

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        error = operands["input"] - operands["target"]
        each = 2 / prod(error.shape[1:]) * grad.reshape(-1, *(1 for _ in error.shape[1:]))
        return np.asarray(error * each)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        x, target = layouts["input"], layouts["target"]
        result = layouts["result"] if wrt else x
        if all(layout.dense for layout in layouts.values()):
            x, target, result = x.flat(), target.flat(), result.flat()
        reads = ("input", "target")
        names = reads if wrt is None else ("output_grad", *reads)
        macro = "forward" if wrt is None else "input_gradient"
        elements = x.channels * prod(x.extents)
        return MseForm(macro, names, x, target, result, position_loops(x), elements)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(), ((10,), (10,))), Example(cls(), ((2, 3, 5), (2, 3, 5))))


@dataclass(frozen=True, slots=True)
class MseForm(Form):
    """One pass over the output."""

    macro: str
    reads: tuple[str, ...]
    x: Layout
    target: Layout
    result: Layout
    loops: tuple[Loop, ...]
    elements: int

    def writer(self) -> tuple[str, str]:
        return "mse", self.macro

    def operands(self) -> tuple[str, ...]:
        return (*self.reads, "result")
