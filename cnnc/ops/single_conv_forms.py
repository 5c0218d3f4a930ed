"""The loops of one sample's convolutions as templates/single_conv.pyx.j2 reads them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.conv_strips import Strip, strips
from cnnc.ops.conv_window import Gathering, Window
from cnnc.ops.layout import Layout, Machine
from cnnc.ops.loops import Clipped, Loop, register_tile, split, tile_loops
from cnnc.ops.single_forms import PEELED, SingleForm, Tiles, chunk_of, source_of, windows
from cnnc.ops.single_groups import Groups
from cnnc.ops.units import tiles_within, trips

if TYPE_CHECKING:
    from cnnc.ops.single_conv import SingleConv


_NEAR, _FAR = 0.5, 1.5
"""What it costs to load a register of weights, in multiply-adds, from the caches."""


@dataclass(frozen=True, slots=True)
class SingleForward(SingleForm):
    """Rows of the output by tiles of registers of filters x columns."""

    columns: Tiles
    kernel_columns: Tiles
    registers: int

    MACRO: ClassVar[str] = "forward"

    @property
    def each(self) -> int:
        if self.rows:
            return self.rows[0].trips
        return trips(self.columns)

    def columns_of(self, filters: Loop) -> tuple[tuple[Loop | Clipped, int], ...]:
        """Loops over tiles of columns, for a tile of filters, with their widths."""
        if not self.ranged or self.rows:
            return self.columns
        return tiles_within(self.columns, self.before(filters))

    def rereads(self, height: int, width: int, taps: int) -> bool:
        """Whether the values under a tile's window are too many to be kept beside its sums."""
        if self.groups:
            return False
        values = (width - 1) * self.last.stride + (taps - 1) * self.last.dilation + 1
        return taps > 1 and height * (width + 1) + values >= self.registers

    @property
    def held(self) -> int:
        """Registers of the tile's shorter side."""
        return min(self.filters[0][1], self.columns[0][1])

    def cycles(self) -> float:
        rows = prod(loop.trips for loop in self.rows)
        turns = self.y.channels * self.channels * rows
        products = turns * self.window * self.y.extents[-1] / 2 / 0.9
        if not self.groups or not self.groups.cost:
            return products
        read = sum(loop.trips * self.read_by(width) for loop, width in self.columns)
        return products + turns * self.window / self.last.kernel * read * self.groups.cost

    def read_by(self, width: int) -> int:
        """Values under a tile of columns."""
        return under(self.last, width)

    def reason(self) -> str:
        tile = f"{self.filters[0][1]}x{self.columns[0][1]}"
        more = self.groups.text if self.groups else self.chunk_text
        return f"one sample, direct, tile {tile} (registers of filters x columns){more}"


@dataclass(frozen=True, slots=True)
class SingleDepthwise(SingleForward):
    """A channel a lane: products of registers."""

    MACRO: ClassVar[str] = "depthwise"

    @property
    def near(self) -> int:
        """Registers for what the taps of a row read by turns, 0 if it fits none beside the sums."""
        width = self.columns[0][1]
        read = self.read_by(width)
        return read if self.last.kernel > 1 and read + width + 2 <= self.registers else 0

    def lane_read(self, group: Affine, column: Affine) -> Affine:
        """Where the first register lies that a tile reads."""
        start = column * self.last.stride - self.last.pad
        place: Affine = self.x.offset(group, *self.reads, start)
        return place

    def lane_weight(self, group: Affine) -> Affine:
        """Where the first column of a kernel row's weights lies."""
        place = group * self.window
        kernels = [w.kernel for w in self.outer] + [self.last.kernel]
        for index, tap in enumerate(self.taps):
            place = place + tap.at * prod(kernels[index + 1 :])
        return place

    def reason(self) -> str:
        return f"one sample, channels in lanes, {self.columns[0][1]} columns at a time"


@dataclass(frozen=True, slots=True)
class SingleTransposed(SingleForm):
    """Rows of the result gather from the input rows that reach them, exactly clipped."""

    strips: tuple[Strip, ...]

    MACRO: ClassVar[str] = "transposed"

    def divided(self) -> SingleForm:
        # In one dimension rows would be the phases of the stride, which are not alike.
        return super(SingleTransposed, self).divided() if self.outer else self

    @property
    def rows(self) -> tuple[Loop, ...]:
        """Loops over the result's outer axes."""
        return tuple(w.input for w in self.outer)

    @property
    def gather(self) -> Gathering:
        """What a row gathers from."""
        return Gathering(self.outer)

    def first_read(self, column: Affine) -> Affine:
        """Where the value under a tile's first column lies."""
        return self.read_at((*self.gather.rows, column))

    @property
    def widths(self) -> tuple[int, ...]:
        """The tiles' widths."""
        return tuple(strip.width for strip in self.strips)

    @property
    def held(self) -> int:
        """Registers of the tile's shorter side."""
        return min(self.filters[0][1], max(self.widths))

    def reason(self) -> str:
        tile = f"{self.filters[0][1]}x{max(self.widths)}"
        more = self.groups.text if self.groups else self.chunk_text
        return f"one sample, tile {tile} (registers of filters x columns){more}"


def forward(op: SingleConv, x: Layout, y: Layout, machine: Machine) -> SingleForward:
    """Loops of a convolution."""
    each = windows(op.geometry, op.space, op.outputs)
    if op.groups is not None:
        return grouped_forward(op, op.groups, x, y, machine)
    # Weights that the nearest cache cannot hold come from the next for every tile of columns.
    weights = y.channels * op.channels * prod(op.geometry.kernel) * op.lanes * 4
    load = _FAR if weights > machine.level1 else _NEAR
    columns, groups = register_tile(y.extents[-1], y.channels, machine.registers, load=load)
    longest = max(1, PEELED // (columns * groups))
    return SingleForward(
        op.channels,
        op.lanes,
        op.bias,
        each[:-1],
        each[-1],
        op.plain is not None,
        source_of(op, x),
        y,
        chunk_of(op, groups, machine),
        tile_loops("o0", y.channels, groups),
        tile_loops("column", y.extents[-1], columns),
        tile_loops("k0", op.geometry.kernel[-1], longest),
        machine.registers,
    )


def depthwise(op: SingleConv, x: Layout, y: Layout, machine: Machine) -> SingleDepthwise:
    """Loops of a convolution of each channel by itself."""
    each = windows(op.geometry, op.space, op.outputs)
    columns = split(y.extents[-1], machine.registers // 4)[0][2]
    longest = max(1, PEELED // columns)
    return SingleDepthwise(
        1,
        op.lanes,
        op.bias,
        each[:-1],
        each[-1],
        False,
        x,
        y,
        Loop("group0", 0, 1),
        tile_loops("o0", y.channels, 1),
        tile_loops("column", y.extents[-1], columns),
        tile_loops("k0", op.geometry.kernel[-1], longest),
        machine.registers,
    )


def transposed(op: SingleConv, x: Layout, y: Layout, machine: Machine) -> SingleTransposed:
    """Loops of a transposed convolution."""
    each = windows(op.geometry, op.outputs, op.space)
    across = -(-y.extents[-1] // op.geometry.stride[-1])
    if op.groups is not None:
        columns, groups = _tile(op.groups, across, machine)
        filters: Tiles = ((Loop("o0", 0, y.channels, groups), groups),)
    else:
        columns, groups = register_tile(across, y.channels, machine.registers)
        filters = tile_loops("o0", y.channels, groups)
    longest = max(1, PEELED // (columns * groups))
    return SingleTransposed(
        op.groups.channels if op.groups else op.channels,
        op.lanes,
        op.bias,
        each[:-1],
        each[-1],
        False,
        x,
        y,
        Loop("group0", 0, 1) if op.groups else chunk_of(op, groups, machine),
        filters,
        strips(each[-1].last_axis, columns, longest),
        groups=op.groups,
    )


def grouped_forward(
    op: SingleConv, groups: Groups, x: Layout, y: Layout, machine: Machine
) -> SingleForward:
    """Loops of a convolution with groups."""
    each = windows(op.geometry, op.space, op.outputs)
    last, extent = each[-1], y.extents[-1]
    columns, height = _tile(groups, extent, machine)
    if not groups.whole:
        # Each value is made once for all taps of a row, and kept beside the sums.
        fitting = [w for w in range(1, columns + 1) if w + under(last, w) < machine.registers - 3]
        columns = split(extent, max(fitting, default=min(columns, 4)))[0][2]
    return SingleForward(
        groups.channels,
        op.lanes,
        op.bias,
        each[:-1],
        last,
        False,
        x,
        y,
        Loop("group0", 0, 1),
        ((Loop("o0", 0, y.channels, height), height),),
        tile_loops("column", extent, columns),
        tile_loops("k0", last.kernel, max(1, PEELED // (columns * height))),
        machine.registers,
        groups=groups,
    )


def under(last: Window, columns: int) -> int:
    """Values under the windows of so many columns."""
    return (columns - 1) * last.stride + (last.kernel - 1) * last.dilation + 1


def _tile(groups: Groups, extent: int, machine: Machine) -> tuple[int, int]:
    """(columns, registers of filters) at once: these of one group."""
    if not groups.whole:
        return register_tile(extent, 1, machine.registers)
    whole = groups.filters // groups.lanes
    columns, height = register_tile(extent, whole, machine.registers)
    return columns, max(n for n in range(1, height + 1) if whole % n == 0)
