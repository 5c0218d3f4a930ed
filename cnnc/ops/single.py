"""Inference of one sample: lanes along the channels.

A tensor (c, *space) of one sample lies as [c / lanes][*space][lane], the last group filled up with
lanes whose values nobody reads. To most kernels that is a block of samples with fewer channels. A
flat tensor is a plain row of floats either way, and so are the caller's arrays. `Op.for_single`
says how an op is computed so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop, axes
from cnnc.ops.op import Input, Op, Shape
from cnnc.ops.units import UNITS, trips_along, within
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class Single:
    """What stands in for an op.

    plain: whether it reads its first input as a plain row, with the halo that the caller's array
    has. packed: what makes, once for many calls, the operand `packed` of the op's weight;
    packed_bias: the same of its bias. others: what computes the same by another algorithm. planes:
    whether its result is a plain row, lanes along the columns (see cnnc.ops.single_planes).
    """

    op: Op
    plain: bool = False
    packed: Op | None = None
    others: tuple[Single, ...] = ()
    planes: bool = False
    packed_bias: Op | None = None


def groups_of(channels: int, lanes: int) -> int:
    """Registers that hold so many channels."""
    return -(-channels // lanes)


def grouped(shape: Shape, lanes: int) -> Shape:
    """A tensor's shape with its channels in registers."""
    return (groups_of(shape[0], lanes), *shape[1:])


@dataclass(frozen=True, slots=True)
class PlainInput(Input):
    """The caller's array as a plain row of floats, each plane with a halo of zeros."""

    pads: Pads = ()


def plain_layout(shape: Shape, pads: Pads) -> Layout:
    """Where the floats of a plain tensor lie."""
    space = shape[1:]
    return Layout(shape[0], space, pads or tuple((0, 0) for _ in space))


@dataclass(frozen=True, slots=True)
class PlainLoad(Form):
    """The caller's array, converted and stored in order: registers along the rows."""

    dtype: str
    shape: Shape
    pads: Pads
    lanes: int

    TEMPLATE: ClassVar[str] = "single"
    MACRO: ClassVar[str] = "load"

    def operands(self) -> tuple[str, ...]:
        return ("source", "result")

    @property
    def plain(self) -> Layout:
        """Of the result."""
        return plain_layout(self.shape, self.pads)

    @property
    def registers(self) -> Loop:
        """Over all of the result."""
        return Loop("element", 0, groups_of(self.plain.size, self.lanes))

    @property
    def padded(self) -> bool:
        """Whether it has a halo."""
        return not self.plain.dense

    @property
    def rows(self) -> tuple[Loop, ...]:
        """Loops over what is stored in one piece: rows, or planes where there is no halo."""
        outer = self.shape[1:-1] if self.padded else ()
        names = axes(len(self.shape) - 1)
        space = tuple(Loop(n, 0, extent) for n, extent in zip(names, outer, strict=False))
        return (Loop("channel", 0, self.shape[0]), *space)

    @property
    def width(self) -> int:
        """Elements of such a piece."""
        return prod(self.shape) // prod(loop.trips for loop in self.rows)

    @property
    def whole(self) -> Loop:
        """Over its whole registers."""
        return Loop("element", 0, self.width // self.lanes * self.lanes, self.lanes)

    @property
    def last(self) -> int:
        """Where the register starts that ends with a piece; it overlaps the one before."""
        return self.width - self.lanes

    @property
    def starts(self) -> tuple[object, object]:
        """Where a piece begins, in the caller's sample and in the result."""
        at = [loop.at for loop in self.rows]
        at += [Loop("", 0, 1).at] * (len(self.shape) - len(at))
        return plain_layout(self.shape, ()).offset(*at), self.plain.offset(*at)


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
        return replace(self, shared=0 if self.every and self.every[0].trips > 1 else None)

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
    def every(self) -> tuple[Loop, ...]:
        """Over all positions."""
        extents = self.grouped.extents
        return tuple(Loop(n, 0, m) for n, m in zip(axes(len(extents)), extents, strict=True))

    @property
    def space(self) -> tuple[Loop | Clipped, ...]:
        """Over those that a call copies."""
        return within(self.every, self.shared)

    @property
    def places(self) -> tuple[object, object]:
        """(in lanes, in the row) of an element, in floats."""
        at = [loop.at for loop in self.space]
        there = self.grouped.offset(self.group.at, *at) * self.lanes + self.lane.at
        here = Layout(self.channels, self.grouped.extents)
        return there, here.offset(self.group.at * self.lanes + self.lane.at, *at)


def lanes_in(variable: str, group: Loop, channels: int, lanes: int) -> Loop | Clipped:
    """Over the channels that a register holds; the last may hold fewer."""
    if not group.runs or channels % lanes == 0:
        return Loop(variable, 0, min(channels, lanes))
    return Clipped(variable, "0", f"min({lanes}, {channels - group.at * lanes})")


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
