"""Convolution of one sample with few filters: registers along the output's columns.

Where filters would leave most of a register idle, as in a first layer, they are scalars again: the
canonical weights, broadcast, times registers of a plain row of the input. The result is planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loops import Loop, register_tile, tile_loops
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape
from cnnc.ops.single import groups_of, plain_layout
from cnnc.ops.single_forms import PEELED, SingleForm, Tiles, windows
from cnnc.ops.single_planes import ColumnTile, column_tiles
from cnnc.ops.window import Geometry, Pads

_COPIED = 1.5
"""Cycles for each float of a result that somebody reads with its channels in lanes."""


@dataclass(frozen=True, slots=True)
class SingleColumns(Op):
    """conv of one sample, without groups and with stride 1 along the last axis.

    `space` is the input's, `outputs` the output's, `plain` the input's halo. `copied` says that the
    result is brought into lanes afterwards; that is a call of its own.
    """

    geometry: Geometry
    channels: int
    filters: int
    space: Shape
    outputs: Shape
    bias: bool
    lanes: int
    plain: Pads
    copied: bool = True

    NAME: ClassVar[str] = "single_columns"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(self.filters * prod(self.outputs), self.lanes),)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return columns(self, machine)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        """In registers: lanes of them in one."""
        registers = prod(self.outputs[:-1]) * groups_of(self.outputs[-1], self.lanes)
        return self.filters * registers * self.channels * prod(self.geometry.kernel)


@dataclass(frozen=True, slots=True)
class ColumnsForward(SingleForm):
    """Rows of the output by tiles of filters x registers of columns."""

    columns: tuple[ColumnTile, ...]
    kernel_columns: Tiles
    copied: bool

    TEMPLATE: ClassVar[str] = "single_planes"
    MACRO: ClassVar[str] = "columns"
    ALGORITHM: ClassVar[str] = "columns"

    def operands(self) -> tuple[str, ...]:
        return tuple("weight" if n == "packed" else n for n in SingleForm.operands(self))

    def floats(self) -> tuple[str, ...]:
        return ()

    def stores_once(self) -> bool:
        return False  # the last register of a row lies over the one before

    def divided(self) -> SingleForm:
        # What is left in one dimension are tiles of a few registers.
        return super(ColumnsForward, self).divided() if self.rows else self

    @property
    def widths(self) -> tuple[int, ...]:
        """Registers of columns of the tiles."""
        return tuple(tile.width for tile in self.columns)

    @property
    def held(self) -> int:
        """Registers of the tile's shorter side."""
        return min(self.filters[0][1], max(self.widths))

    def cycles(self) -> float:
        each = 0.0
        for tile in self.columns:
            for loop, height in self.filters:
                # Two of three loads across a cache line's end are two loads.
                loads = (height + 1.7 * tile.width) / 2
                each += loop.trips * tile.loop.trips * max(height * tile.width / 2, 4, loads)
        rows = prod(loop.trips for loop in self.rows)
        copy = self.y.size * _COPIED if self.copied else 0
        return rows * self.channels * self.window * each / 0.9 + copy

    def reason(self) -> str:
        tile = f"{self.filters[0][1]}x{max(self.widths)}"
        return f"one sample, lanes along the columns, tile {tile} (filters x registers of columns)"


def columns(op: SingleColumns, machine: Machine) -> ColumnsForward:
    """Loops of the convolution."""
    each = windows(op.geometry, op.space, op.outputs)
    registers = groups_of(op.outputs[-1], op.lanes)
    height, width = register_tile(op.filters, registers, machine.registers)
    longest = max(1, PEELED // (height * width))
    return ColumnsForward(
        op.channels,
        op.lanes,
        op.bias,
        each[:-1],
        each[-1],
        True,
        plain_layout((op.channels, *op.space), op.plain),
        plain_layout((op.filters, *op.outputs), ()),
        Loop("group0", 0, 1),
        tile_loops("o0", op.filters, height),
        column_tiles(op.outputs[-1], op.lanes, width),
        tile_loops("k0", op.geometry.kernel[-1], longest),
        op.copied,
    )
