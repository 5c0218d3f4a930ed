"""Copies of one sample's tensors: between plain rows and channels in lanes, and to every lane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop, axes
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape
from cnnc.ops.single import grouped, groups_of, lanes_in
from cnnc.ops.units import UNITS, trips_along, within

_FEW = 4
"""Of a register's lanes this part: so few are copied float by float."""


@dataclass(frozen=True, slots=True)
class LaneCopy(Form):
    """Between a plain row and channels in lanes; `macro` says which way.

    `store` is `to_row` into the caller's memory.
    """

    macro: str
    read: str
    channels: int
    source: Layout
    result: Layout
    lanes: int
    shared: int | None = None
    """Which of the loops over positions threads share."""

    TEMPLATE: ClassVar[str] = "single"

    def writer(self) -> tuple[str, str]:
        return self.TEMPLATE, self.macro.replace("store", "to_row")

    def operands(self) -> tuple[str, ...]:
        return (self.read, *(UNITS if self.shared is not None else ()), "result")

    def divided(self) -> LaneCopy:
        rows = self.grouped.extents[:1] > (1,)
        return replace(self, shared=0 if rows else None)

    def units(self) -> int:
        return trips_along(self.every, self.shared)

    @property
    def hands_back(self) -> bool:
        """Whether the result is the caller's memory."""
        return self.macro == "store"

    @property
    def grouped(self) -> Layout:
        """Of the side in lanes."""
        return self.result if self.macro == "to_lanes" else self.source

    @property
    def group(self) -> Loop:
        """Over the registers of channels."""
        return Loop("group", 0, groups_of(self.channels, self.lanes))

    @property
    def lane(self) -> Loop | Clipped:
        """Over the channels of a register."""
        return lanes_in("lane", self.group, self.channels, self.lanes)

    @property
    def there(self) -> Layout:
        """The same, as one row of positions where it has no halo and no rows are shared."""
        g = self.grouped
        whole = g.dense and g.extents and self.shared is None
        return Layout(g.channels, (prod(g.extents),)) if whole else g

    @property
    def every(self) -> tuple[Loop, ...]:
        """Over all positions."""
        extents = self.there.extents
        return tuple(Loop(n, 0, m) for n, m in zip(axes(len(extents)), extents, strict=True))

    @property
    def space(self) -> tuple[Loop | Clipped, ...]:
        """Over those that a call copies."""
        return within(self.every, self.shared)

    @property
    def rows(self) -> tuple[Loop | Clipped, ...]:
        """The same without the columns."""
        return self.space[:-1]

    @property
    def squares(self) -> tuple[Loop, ...]:
        """Over the squares of lanes x lanes floats of a row; the last one ends with the row.

        There are none where a row is shorter, or where few channels are copied sooner one by one.
        """
        width = self.every[-1].stop if self.every else 0
        columns_shared = self.shared is not None and len(self.every) == 1
        if width < self.lanes or self.channels <= self.lanes // _FEW or columns_shared:
            return ()
        whole = Loop("column", 0, width // self.lanes * self.lanes, self.lanes)
        last = Loop("column", width - self.lanes, width - self.lanes + 1)
        return (whole, last) if width % self.lanes else (whole,)

    def lanes_at(self, column: Affine) -> Affine:
        """Where a register of channels lies, under the loops over groups and rows."""
        found: Affine = self.there.offset(self.group.at, *(r.at for r in self.rows), column)
        return found

    def row_at(self, column: Affine) -> Affine:
        """Where a channel's float lies in the row, under the loops over its register's lanes."""
        channel = self.group.at * self.lanes + self.lane.at
        here = Layout(self.channels, self.there.extents)
        found: Affine = here.offset(channel, *(r.at for r in self.rows), column)
        return found

    @property
    def places(self) -> tuple[object, object]:
        """(in lanes, in the row) of an element, in floats."""
        at = [loop.at for loop in self.space]
        there = self.there.offset(self.group.at, *at) * self.lanes + self.lane.at
        here = Layout(self.channels, self.there.extents)
        return there, here.offset(self.group.at * self.lanes + self.lane.at, *at)


def single_store(channels: int, source: Layout, lanes: int) -> LaneCopy:
    """The form that hands an output back."""
    return LaneCopy("store", "input", channels, source, source, lanes)


@dataclass(frozen=True, slots=True)
class ToRow(Op):
    """Channels in lanes -> the plain row that flatten means."""

    channels: int
    lanes: int

    NAME: ClassVar[str] = "to_row"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(self.channels * prod(inputs[0][1:]), self.lanes),)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        source, result = layouts["input"], layouts["result"]
        return LaneCopy("to_row", "input", self.channels, source, result, self.lanes)


@dataclass(frozen=True, slots=True)
class ToLanes(Op):
    """A plain row -> channels in lanes, (c, *space) of it."""

    shape: Shape
    lanes: int

    NAME: ClassVar[str] = "to_lanes"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return grouped(self.shape, self.lanes)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        source, result = layouts["input"], layouts["result"]
        return LaneCopy("to_lanes", "input", self.shape[0], source, result, self.lanes)


@dataclass(frozen=True, slots=True)
class ToEveryLane(Op):
    """A tensor of one channel -> the same in every lane, for what has more channels."""

    lanes: int

    NAME: ClassVar[str] = "to_every_lane"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return FirstLane(layouts["input"], layouts["result"], self.lanes)


@dataclass(frozen=True, slots=True)
class FirstLane(Form):
    """Each register's first lane, broadcast."""

    source: Layout
    result: Layout
    lanes: int

    TEMPLATE: ClassVar[str] = "single"
    MACRO: ClassVar[str] = "to_every_lane"

    def operands(self) -> tuple[str, ...]:
        return ("input", "result")

    @property
    def loops(self) -> tuple[Loop, ...]:
        """Over the registers."""
        return position_loops(self.result)

    def read(self, at: tuple[Affine, ...]) -> Affine:
        """Where the first lane lies, in floats."""
        place: Affine = self.source.offset(*at)
        return place * self.lanes
