"""concat: tensors one after the other along the channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.elementwise import position_loops
from cnnc.ops.field import OpError
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop
from cnnc.ops.margins import narrow
from cnnc.ops.op import Example, Op, Operands, as_float
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import Single, groups_of
from cnnc.ops.single_join import SingleJoin
from cnnc.ops.units import UNITS, within
from cnnc.ops.window import Pads, text


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """(c1, *space), (c2, *space), ... -> (c1 + c2 + ..., *space). Szegedy et al. 2015, figure 2."""

    channels: tuple[int, ...]

    NAME: ClassVar[str] = "concat"
    INPUTS: ClassVar[int | None] = None

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Concat:
        return cls(tuple(shape[0] for shape in inputs))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        for index, shape in enumerate(inputs):
            if shape[1:] != inputs[0][1:]:
                raise OpError(
                    "shape-mismatch",
                    f"concat needs equal space, got {text(inputs[0])} and {text(shape)}",
                    help="only the channels, the first axis, may differ",
                    operand=index,
                )
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def input_names(self, count: int) -> tuple[str, ...]:
        return tuple(f"input{i}" for i in range(count))

    def forward(self, operands: Operands) -> Array:
        names = self.input_names(len(self.channels))
        return np.concatenate([as_float(operands[name]) for name in names], axis=1)

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        names = self.input_names(len(self.channels))
        parts = np.split(grad, np.cumsum(self.channels)[:-1], axis=1)
        return parts[names.index(wrt)]

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        names = self.input_names(len(self.channels))
        firsts = [sum(self.channels[:i]) for i in range(len(names))]
        result = layouts["result"]
        if wrt is not None:
            first = (firsts[names.index(wrt)], *(0 for _ in result.extents))
            return narrow("output_grad", first, layouts)
        parts = tuple(
            ConcatPart(name, layouts[name], first)
            for name, first in zip(names, firsts, strict=True)
        )
        return ConcatCopy(parts, result)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        if any(count % lanes for count in self.channels[:-1]):
            return Single(SingleJoin(tuple((0, count) for count in self.channels), lanes))
        return Single(Concat(tuple(groups_of(count, lanes) for count in self.channels)))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls((3, 1)), ((3, 4, 5), (1, 4, 5))),
            Example(cls((2, 17, 1)), ((2,), (17,), (1,))),
            Example(cls((1, 2, 3, 1, 1)), tuple((c, 3) for c in (1, 2, 3, 1, 1))),
        )


@dataclass(frozen=True, slots=True)
class ConcatPart:
    """One input; its channels go to the result's from `first` on."""

    name: str
    source: Layout
    first: int
    shared: bool = False
    """Whether a call copies some rows only."""

    @property
    def loops(self) -> tuple[Loop | Clipped, ...]:
        """Over every element that is copied."""
        return within(position_loops(self.source), 1 if self.shared else None)


@dataclass(frozen=True, slots=True)
class ConcatCopy(Form):
    """The inputs' copies, one after the other."""

    parts: tuple[ConcatPart, ...]
    result: Layout

    TEMPLATE: ClassVar[str] = "concat"
    MACRO: ClassVar[str] = "copy"

    def operands(self) -> tuple[str, ...]:
        names = tuple(part.name for part in self.parts)
        return (*names, *(UNITS if self.ranged else ()), "result")

    @property
    def ranged(self) -> bool:
        """Whether a call copies some rows only."""
        return self.parts[0].shared

    def divided(self) -> ConcatCopy:
        if not self.result.extents or self.result.extents[0] < 2:
            return self
        return replace(self, parts=tuple(replace(part, shared=True) for part in self.parts))

    def units(self) -> int:
        return self.result.extents[0] if self.ranged else 1

    def stores_once(self) -> bool:
        return True

    def flat(self) -> ConcatCopy:
        if self.ranged or not all(
            layout.dense for layout in (self.result, *(p.source for p in self.parts))
        ):
            return self
        plane = self.result.strides()[0]
        rows = tuple(ConcatPart(p.name, p.source.flat(), p.first * plane) for p in self.parts)
        return ConcatCopy(rows, self.result.flat())
