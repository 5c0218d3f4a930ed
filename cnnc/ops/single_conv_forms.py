"""The loops of one sample's convolutions as templates/single_conv.pyx.j2 reads them.

`input` is counted in floats, `packed` and the result in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.conv_strips import Strip, strips
from cnnc.ops.conv_window import Gathering, Window
from cnnc.ops.layout import Form, Layout, Machine
from cnnc.ops.loops import Clipped, Loop, axes, chunked, register_tile, split, tile_loops
from cnnc.ops.single import groups_of, lanes_in, plain_layout

if TYPE_CHECKING:
    from cnnc.ops.single_conv import SingleConv

Tiles = tuple[tuple[Loop, int], ...]

_PEELED = 308
"""Multiply-adds of one kernel row and one tile that the C compiler still peels completely."""


@dataclass(frozen=True, slots=True)
class SingleForm(Form):
    """What all of them share. `x` is the input's layout in registers, or that of its plain row."""

    channels: int
    lanes: int
    bias: bool
    outer: tuple[Window, ...]
    last: Window
    plain: bool
    x: Layout
    y: Layout
    chunk: Loop
    filters: Tiles

    TEMPLATE: ClassVar[str] = "single_conv"

    def operands(self) -> tuple[str, ...]:
        return ("input", "packed", *(("bias",) if self.bias else ()), "result")

    def floats(self) -> tuple[str, ...]:
        return ("packed",)

    @property
    def window(self) -> int:
        """Taps in all."""
        return prod(w.kernel for w in self.outer) * self.last.kernel

    @property
    def taps(self) -> tuple[Loop, ...]:
        """Loops over the taps of the outer axes."""
        return tuple(w.tap for w in self.outer)

    @property
    def group(self) -> Loop | Clipped:
        """Over the registers of input channels in a chunk."""
        return chunked("group", groups_of(self.channels, self.lanes), self.chunk)

    @property
    def inputs(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the input channels."""
        if self.plain:
            return (Loop("i", 0, self.channels),)
        whole = Loop("group", 0, groups_of(self.channels, self.lanes))
        return (self.group, lanes_in("lane", whole, self.channels, self.lanes))

    @property
    def channel(self) -> Affine:
        """The input channel under these loops."""
        if self.plain:
            return Affine.of(self.inputs[0].at)
        group, lane = self.inputs
        return group.at * self.lanes + lane.at

    def read_at(self, position: Sequence[Affine]) -> Affine:
        """Where an input value lies, in floats."""
        if self.plain:
            place: Affine = self.x.offset(self.inputs[0].at, *position)
            return place
        group, lane = self.inputs
        there: Affine = self.x.offset(group.at, *position) * self.lanes + lane.at
        return there

    @property
    def step(self) -> int:
        """Floats from one column to the next."""
        return 1 if self.plain else self.lanes

    def weight_at(self, filters: Affine, taps: Sequence[Affine | Loop | Clipped]) -> Affine:
        """Where the first column of a kernel row's registers lies."""
        kernels = [w.kernel for w in self.outer] + [self.last.kernel]
        place = (filters * self.channels + self.channel) * self.window
        for index, tap in enumerate(taps):
            at = tap if isinstance(tap, Affine) else tap.at
            place = place + at * prod(kernels[index + 1 :])
        return place

    @property
    def filter_step(self) -> int:
        """Registers of weights from one register of filters to the next."""
        return self.channels * self.window

    def first_sum(self, filters: Affine) -> str:
        """What a register's sums begin with."""
        bias = Affine.of(filters) * self.lanes
        return f"vload(bias + {bias})" if self.bias else "vzero()"

    @property
    def chunk_text(self) -> str:
        """Of the chunks, for `reason`."""
        return f", {self.chunk.step * self.lanes} channels at a time" if self.chunk.runs else ""


@dataclass(frozen=True, slots=True)
class SingleForward(SingleForm):
    """Rows of the output by tiles of registers of filters x columns."""

    columns: Tiles
    kernel_columns: Tiles
    registers: int

    MACRO: ClassVar[str] = "forward"

    @property
    def rows(self) -> tuple[Loop, ...]:
        """Loops over the output's outer axes."""
        return tuple(w.output for w in self.outer)

    @property
    def reads(self) -> tuple[Affine, ...]:
        """The outer position in the input, under the loops over rows and taps."""
        return tuple(w.read(w.output.at) for w in self.outer)

    def first_read(self, column: Affine) -> Affine:
        """Where the first value lies that a tile reads, under the loops over channels and taps."""
        return self.read_at((*self.reads, column * self.last.stride - self.last.pad))

    def rereads(self, height: int, width: int, taps: int) -> bool:
        """Whether the values under a tile's window are too many to be kept beside its sums."""
        values = (width - 1) * self.last.stride + (taps - 1) * self.last.dilation + 1
        return taps > 1 and height * (width + 1) + values >= self.registers

    @property
    def held(self) -> int:
        """Registers of the tile's shorter side."""
        return min(self.filters[0][1], self.columns[0][1])

    def cycles(self) -> float:
        outputs = prod(loop.trips for loop in self.rows) * self.y.extents[-1]
        return self.y.channels * self.channels * self.window * outputs / 2 / 0.8

    def reason(self) -> str:
        tile = f"{self.filters[0][1]}x{self.columns[0][1]}"
        return f"one sample, tile {tile} (registers of filters x columns){self.chunk_text}"


@dataclass(frozen=True, slots=True)
class SingleDepthwise(SingleForward):
    """A channel a lane: products of registers."""

    MACRO: ClassVar[str] = "depthwise"

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
        return f"one sample, tile {tile} (registers of filters x columns){self.chunk_text}"


def forward(op: SingleConv, x: Layout, y: Layout, machine: Machine) -> SingleForward:
    """Loops of a convolution."""
    windows = _windows(op, op.space, op.outputs)
    tile = register_tile(y.extents[-1], y.channels, machine.registers)
    columns, groups = tile
    longest = max(1, _PEELED // (columns * groups))
    return SingleForward(
        op.channels,
        op.lanes,
        op.bias,
        windows[:-1],
        windows[-1],
        op.plain is not None,
        _source(op, x),
        y,
        _chunk(op, groups, machine),
        tile_loops("o0", y.channels, groups),
        tile_loops("column", y.extents[-1], columns),
        tile_loops("k0", op.geometry.kernel[-1], longest),
        machine.registers,
    )


def depthwise(op: SingleConv, x: Layout, y: Layout, machine: Machine) -> SingleDepthwise:
    """Loops of a convolution of each channel by itself."""
    windows = _windows(op, op.space, op.outputs)
    columns = split(y.extents[-1], machine.registers // 2 - 2)[0][2]
    longest = max(1, _PEELED // columns)
    return SingleDepthwise(
        1,
        op.lanes,
        op.bias,
        windows[:-1],
        windows[-1],
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
    windows = _windows(op, op.outputs, op.space)
    stride = op.geometry.stride[-1]
    columns, groups = register_tile(-(-y.extents[-1] // stride), y.channels, machine.registers)
    longest = max(1, _PEELED // (columns * groups))
    return SingleTransposed(
        op.channels,
        op.lanes,
        op.bias,
        windows[:-1],
        windows[-1],
        False,
        x,
        y,
        _chunk(op, groups, machine),
        tile_loops("o0", y.channels, groups),
        strips(windows[-1].last_axis, columns, longest),
    )


def _windows(
    op: SingleConv, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> tuple[Window, ...]:
    g = op.geometry
    each = zip(
        axes(len(g.kernel)), g.kernel, g.stride, g.dilation, g.pad, inputs, outputs, strict=True
    )
    return tuple(Window(name, k, s, d, before, n, m) for name, k, s, d, (before, _), n, m in each)


def _source(op: SingleConv, x: Layout) -> Layout:
    return x if op.plain is None else plain_layout((op.channels, *op.space), op.plain)


def _chunk(op: SingleConv, groups: int, machine: Machine) -> Loop:
    """Registers of input channels whose weights, for a tile of filters, fit the nearest cache."""
    whole = groups_of(op.channels, op.lanes)
    each = groups * op.lanes * prod(op.geometry.kernel) * op.lanes * 4
    fitting = max(1, int(machine.level1 * 0.9) // each)
    step = whole if op.plain is not None or fitting >= whole else split(whole, fitting)[0][2]
    return Loop("group0", 0, whole, step)
