"""slice: some of the channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.margins import narrow, widen
from cnnc.ops.op import Example, Op, Operands, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import Single
from cnnc.ops.single_join import SingleJoin
from cnnc.ops.window import Pads, text


@dataclass(frozen=True, slots=True)
class Slice(Op):
    """y[c] = x[start + c]: channels, or features, from `start` up to, but without, `stop`.

    (c, *space) -> (stop - start, *space). PyTorch's x[:, start:stop].
    """

    start: int
    stop: int

    NAME: ClassVar[str] = "slice"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("start", Kind.INTEGER, "the first channel, counted from 0", minimum=0),
        Field("stop", Kind.COUNT, "the channel after the last"),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Slice:
        start, stop = arguments["start"], arguments["stop"]
        if start >= stop:
            raise OpError(
                "bad-value",
                f"slice needs start below stop, got {start} and {stop}",
                help="stop is the channel after the last: slice(0, 8) gives eight",
                argument="stop",
            )
        return cls(start, stop)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        if self.stop > shape[0]:
            raise OpError(
                "shape-mismatch",
                f"slice ends before channel {self.stop}, the input {text(shape)} has {shape[0]}",
                help=f"channels count from 0; stop may be {shape[0]} at most",
                argument="stop",
                operand=0,
            )
        return (self.stop - self.start, *shape[1:])

    def forward(self, operands: Operands) -> Array:
        return as_float(operands["input"])[:, self.start : self.stop]

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x_grad = np.zeros((len(grad), *shape), grad.dtype)
        x_grad[:, self.start : self.stop] = grad
        return x_grad

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        first = (self.start, *(0 for _ in layouts["result"].extents))
        return (
            narrow("input", first, layouts) if wrt is None else widen("output_grad", first, layouts)
        )

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        return Single(SingleJoin(((self.start, self.stop - self.start),), lanes))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(1, 4), ((5, 3, 4),)),
            Example(cls(0, 1), ((17, 5),)),
            Example(cls(2, 3), ((3,),)),
        )
