"""Planes: a tensor of few channels of one sample as a plain row of floats, lanes along its columns.

What makes such a tensor, and what reads it so, goes through each row in registers. The last one
ends with the row, so that it overlaps the one before; of a row shorter than a register it is a
part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop, axes, split
from cnnc.ops.op import Op
from cnnc.ops.pool_kernels import PoolAxis
from cnnc.ops.shapes import Shape
from cnnc.ops.single import Single, groups_of, plain_layout
from cnnc.ops.units import UNITS, shared_axis, trips_along, within
from cnnc.ops.window import Pads

_JOINED = 4
"""Rows of a window, at most, that are joined in registers before the pairs of its columns are."""


@dataclass(frozen=True, slots=True)
class ColumnTile:
    """Registers of columns at once: where each starts after the loop's place, and their lanes."""

    loop: Loop
    offsets: tuple[int, ...]
    count: int

    @property
    def width(self) -> int:
        """Registers."""
        return len(self.offsets)

    def load(self, place: str, lanes: int) -> str:
        """A register of its input at a place."""
        return loaded(place, self.count, lanes)


def column_tiles(extent: int, lanes: int, size: int) -> tuple[ColumnTile, ...]:
    """Cover a row by tiles of at most `size` registers."""
    if extent < lanes:
        return (ColumnTile(Loop("column", 0, 1), (0,), extent),)
    found = []
    for start, stop, width in split(groups_of(extent, lanes), size):
        first, end, step = start * lanes, stop * lanes, width * lanes
        offsets = tuple(range(0, step, lanes))
        # The tile whose last register ends with the row is another one.
        whole = end if end <= extent else end - step
        if whole > first:
            found.append(ColumnTile(Loop("column", first, whole, step), offsets, lanes))
        if end > extent:
            at = whole if width > 1 else extent - lanes
            last = (*offsets[:-1], extent - lanes - at)
            found.append(ColumnTile(Loop("column", at, at + 1), last, lanes))
    return tuple(found)


def loaded(place: str, count: int, lanes: int) -> str:
    """So many floats in memory as a register."""
    return f"vload({place})" if count == lanes else f"vpart({place}, {count})"


@dataclass(frozen=True, slots=True)
class PlanePool(Op):
    """maxpool or avgpool (`kind`) of planes; every window lies in the input."""

    kind: str
    size: Shape
    stride: Shape
    shape: Shape
    outputs: Shape
    lanes: int

    NAME: ClassVar[str] = "plane_pool"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(self.shape[0] * prod(self.outputs), self.lanes),)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        each = zip(
            axes(len(self.size)), self.size, self.stride, self.shape[1:], self.outputs, strict=True
        )
        along = tuple(
            PoolAxis(Loop(name, 0, m), Loop(f"{name}_tap", 0, k), k, s, 0, 0, n, m)
            for name, k, s, n, m in each
        )
        y = plain_layout((self.shape[0], *self.outputs), ())
        return PlaneWindows(self.kind, along, plain_layout(self.shape, ()), y, self.lanes)


@dataclass(frozen=True, slots=True)
class PlaneWindows(Form):
    """A register of results at a time, from registers of every element of their windows."""

    macro: str
    along: tuple[PoolAxis, ...]
    x: Layout
    y: Layout
    lanes: int
    shared: int | None = None
    """Which of the loops over channels and rows threads share."""

    TEMPLATE: ClassVar[str] = "single_planes"

    def writer(self) -> tuple[str, str]:
        return self.TEMPLATE, self.macro

    def operands(self) -> tuple[str, ...]:
        return ("input", *(UNITS if self.shared is not None else ()), "result")

    def divided(self) -> PlaneWindows:
        return replace(self, shared=shared_axis(self.every))

    def units(self) -> int:
        return trips_along(self.every, self.shared)

    @property
    def every(self) -> tuple[Loop, ...]:
        """Loops over channels and the output's outer axes."""
        return (Loop("channel", 0, self.x.channels), *(a.output for a in self.along[:-1]))

    @property
    def rows(self) -> tuple[Loop | Clipped, ...]:
        """The same over those that a call makes."""
        return within(self.every, self.shared)

    @property
    def taps(self) -> tuple[Loop, ...]:
        """Loops over the window."""
        return tuple(axis.tap for axis in self.along)

    @property
    def columns(self) -> tuple[ColumnTile, ...]:
        """Over the registers of a row of results."""
        return column_tiles(self.y.extents[-1], self.lanes, 1)

    def start(self, column: Affine) -> Affine:
        """Where the first windows of a register start, under the loops over rows."""
        at = [loop.at * a.stride for loop, a in zip(self.rows[1:], self.along, strict=False)]
        place: Affine = self.x.offset(self.rows[0].at, *at, column * self.along[-1].stride)
        return place

    @property
    def step(self) -> Affine:
        """How far a tap lies from the window's first."""
        pairs = zip(self.taps, self.x.strides()[1:], strict=True)
        return sum((tap.at * stride for tap, stride in pairs), Affine())

    def read(self, place: str, count: int) -> str:
        """The elements at a tap of so many windows, as a register."""
        if self.along[-1].stride == 2:
            return f"vevery2({place}, {count})"
        return loaded(place, count, self.lanes)

    @property
    def pairs(self) -> bool:
        """Whether two neighbours of a few rows make a result, so that rows can be joined first."""
        *outer, last = self.along
        return last.size == last.stride == 2 and prod(a.size for a in outer) <= _JOINED

    @property
    def joined(self) -> tuple[int, ...]:
        """How far the rows of a window lie from its first."""
        strides = self.x.strides()[1:-1]
        taps = product(*(range(axis.size) for axis in self.along[:-1]))
        return tuple(sum(t * s for t, s in zip(tap, strides, strict=True)) for tap in taps)

    def halves(self, count: int) -> tuple[tuple[str, int, int], ...]:
        """(name, where it starts, floats) of the registers that hold the pairs of so many."""
        left = ("left", 0, min(2 * count, self.lanes))
        right = ("right", self.lanes, 2 * count - self.lanes)
        return (left, right) if 2 * count > self.lanes else (left,)

    def load(self, place: str, count: int) -> str:
        """So many floats."""
        return loaded(place, count, self.lanes)

    @property
    def elements(self) -> int:
        """Of a window."""
        return prod(axis.size for axis in self.along)

    def reason(self) -> str:
        return "one sample, lanes along the columns"


def plane_pool(
    kind: str,
    window: tuple[Shape, Shape, Pads],
    shape: Shape,
    output: Shape,
    lanes: int,
    plain: Pads | None,
) -> Single | None:
    """For pooling without padding, of planes; None for what has its channels in lanes.

    `window` is its size, stride and padding.
    """
    size, stride, pad = window
    if plain is None or any(map(any, (*plain, *pad))) or stride[-1] > 2:
        return None
    each = zip(size, stride, shape[1:], output[1:], strict=True)
    if any((m - 1) * s + k > n for k, s, n, m in each):
        return None
    op = PlanePool(kind, size, stride, shape, output[1:], lanes)
    return Single(op, plain=True, planes=True)
