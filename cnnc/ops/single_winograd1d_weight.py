"""A convolution's weight for minimal filtering along the last axis of one sample.

Made once for many calls, as [filters / lanes][point][row][part][channel][lane].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loops import Loop
from cnnc.ops.op import Op, Operands, Trait
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import groups_of
from cnnc.ops.single_strips import WeightTransform
from cnnc.ops.toom_cook import FILTERINGS, Nested


@dataclass(frozen=True, slots=True)
class LineWeight(Op):
    """A convolution's weight -> its transform along rows, zero beyond filters and taps.

    `kernel` is (rows, taps) of the window; `filtering` a number in FILTERINGS.
    """

    filters: int
    channels: int
    kernel: tuple[int, int]
    filtering: int
    lanes: int

    NAME: ClassVar[str] = "winograd1d_weight"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BATCH})

    @property
    def nested(self) -> Nested:
        """What it is for."""
        return FILTERINGS[self.filtering]

    @property
    def parts(self) -> int:
        """Of a row of the window."""
        return -(-self.kernel[1] // self.nested.taps)

    def input_names(self, count: int) -> tuple[str, ...]:
        return ()

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        summed = self.kernel[0] * self.parts * self.channels
        return (groups_of(self.filters, self.lanes) * self.nested.points * summed * self.lanes,)

    def forward(self, operands: Operands) -> Array:
        weight = operands["weight"]
        outer, inner = (
            np.array(f.weights, weight.dtype) for f in (self.nested.outer, self.nested.inner)
        )
        rows, taps = self.kernel
        groups, parts = groups_of(self.filters, self.lanes), self.parts
        whole = np.zeros(
            (groups * self.lanes, self.channels, rows, parts * self.nested.taps), weight.dtype
        )
        whole[: self.filters, ..., :taps] = weight.reshape(self.filters, self.channels, rows, taps)
        blocks = whole.reshape(*whole.shape[:3], parts, outer.shape[1], inner.shape[1])
        points = (outer @ blocks @ inner.T).reshape(
            groups, self.lanes, self.channels, rows, parts, -1
        )
        packed: Array = points.transpose(0, 5, 3, 4, 2, 1).reshape(-1)
        return packed

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return LineTransform(
            self.filters, self.channels, self.lanes, self.kernel, self.parts, self.nested
        )


@dataclass(frozen=True, slots=True)
class LineTransform(WeightTransform):
    """[filter][channel][row][tap] -> [filters / lanes][point][row][part][channel][lane]."""

    kernel: tuple[int, int]
    parts: int
    nested: Nested

    TEMPLATE: ClassVar[str] = "single_winograd1d"
    MACRO: ClassVar[str] = "window"

    @property
    def row(self) -> Loop:
        """Over the rows of the window."""
        return Loop("row", 0, self.kernel[0])

    @property
    def part(self) -> Loop:
        """Over the parts of a row."""
        return Loop("part", 0, self.parts)

    @property
    def length(self) -> int:
        """Taps of a row, up to whole parts."""
        return self.parts * self.nested.taps

    @property
    def whole(self) -> Loop:
        """Over them."""
        return Loop("tap", 0, self.length)

    @property
    def summed(self) -> int:
        """Registers of a point."""
        return self.kernel[0] * self.parts * self.channels

    @property
    def weight_at(self) -> Affine:
        """A row of a filter's window, in floats."""
        rows, taps = self.kernel
        filters = self.group.at * self.lanes + self.lane.at
        return ((filters * self.channels + self.channel.at) * rows + self.row.at) * taps

    @property
    def packed_at(self) -> Affine:
        """Where a channel's part of a row lies, of the first point."""
        within = (self.row.at * self.parts + self.part.at) * self.channels + self.channel.at
        return self.group.at * (self.nested.points * self.summed) + within

    def blocks(self, tap: Affine) -> list[str]:
        """The elements of a part that the outer filtering takes, for a tap of the inner."""
        each = self.nested.inner.taps
        start = self.part.at * self.nested.taps + tap
        return [f"g[{start + j * each}]" for j in range(self.nested.outer.taps)]
