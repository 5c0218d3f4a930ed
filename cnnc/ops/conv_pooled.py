"""Direct convolution that stores what becomes of windows, as templates/conv_pooled.pyx.j2 reads it.

A register tile is filters x the rows of a window x columns of whole windows: a weight that is
broadcast serves all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.conv_forms import ConvForm, ConvForward, Tiles
from cnnc.ops.conv_kernels import PEELED
from cnnc.ops.layout import Layout, Machine
from cnnc.ops.loops import Loop, register_tile, tile_loops
from cnnc.ops.pool_windows import PoolWindows


@dataclass(frozen=True, slots=True)
class ConvPooled(ConvForm):
    """Rows of windows by tiles of windows x filters.

    `y` is what is stored; `columns` are windows. The axes are those of the convolution itself.
    """

    bias: bool
    pool: PoolWindows
    filters: Tiles
    columns: Tiles
    kernel_columns: Tiles

    TEMPLATE: ClassVar[str] = "conv_pooled"
    MACRO: ClassVar[str] = "forward"

    @property
    def channels(self) -> Loop:
        """Over the channels of x."""
        return Loop("i", 0, self.in_channels)

    @property
    def rows(self) -> tuple[Loop, ...]:
        """Over the outer axes of the pooled output."""
        pairs = zip(self.outer, self.y.extents, strict=False)
        return tuple(Loop(axis.variable, 0, extent) for axis, extent in pairs)

    @property
    def within(self) -> tuple[Loop, ...]:
        """Over a window's outer axes."""
        pairs = zip(self.outer, self.pool.size, strict=False)
        return tuple(Loop(f"{axis.variable}_in", 0, extent) for axis, extent in pairs)

    def across(self, width: int) -> Loop:
        """Over the columns of a tile of so many windows."""
        return Loop("c", 0, width * self.pool.size[-1])

    @property
    def sums(self) -> list[int]:
        """Of each tile, the sums of a filter."""
        return [width * self.pool.elements for _, width in self.columns]

    def sum_at(self, width: int, rows: Sequence[Affine], column: Affine) -> Affine:
        """Which of a filter's sums is that of a position in the tile."""
        place = Affine()
        for row, extent in zip(rows, self.pool.size, strict=False):
            place = place * extent + row
        return place * (width * self.pool.size[-1]) + column

    def of_window(self, name: str, at: Affine, width: int, column: Affine) -> list[str]:
        """The sums of a window of the tile."""
        first = (Affine() for _ in self.outer)
        places = self.pool.places(at, *first, column)
        return [f"{name}[{at}][{self.sum_at(width, rows, c)}]" for _, *rows, c in places]

    @property
    def size(self) -> int:
        """Sums of the largest tile."""
        return self.filters[0][1] * max(self.sums)

    @property
    def held(self) -> int:
        """The most registers that a tile's shorter side takes."""
        return min(self.filters[0][1], max(self.sums))

    def first(self, channel: Affine, column: Affine) -> Affine:
        """Where in x the first element under a tap lies, of the first column of a tile."""
        pairs = zip(self.outer, self.rows, self.pool.size, strict=False)
        rows = (axis.read(row.at * extent) for axis, row, extent in pairs)
        start = column * (self.pool.size[-1] * self.last.stride) - self.last.pad
        found: Affine = self.x.offset(self.in_at(channel), *rows, start)
        return found

    def beyond(self, column: Affine, tap: Affine) -> Affine:
        """How far from there an element lies, by its place in the window, column and tap."""
        strides = zip(self.within, self.outer, self.x.strides()[1:], strict=False)
        rows = sum((row.at * (axis.stride * step) for row, axis, step in strides), Affine())
        return rows + column * self.last.stride + tap * self.last.dilation

    def stores_once(self) -> bool:
        return True

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        return (self.x_name, "weight", *bias, "result")

    def reason(self) -> str:
        size = "x".join(map(str, (*self.pool.size[:-1], self.across(self.columns[0][1]).stop)))
        tile = f"tile {self.filters[0][1]}x{size} (filters x outputs)"
        return f"direct, {self.group_text}{tile}{self.pool.reason}"


def pooled_direct(
    form: ConvForward, windows: PoolWindows, pooled: Layout, machine: Machine
) -> ConvPooled:
    """The direct sum of what windows cover, which stores what becomes of these.

    All channels are summed at once, where the form itself may take them by chunks.
    """
    columns, each = pooled.extents[-1], windows.elements
    height, width = register_tile(form.out_channels, columns, machine.registers, repeat=each)
    longest = max(1, PEELED // (height * width * each))
    return ConvPooled(
        form.in_channels,
        form.out_channels,
        form.groups,
        form.outer,
        form.last,
        form.x,
        pooled,
        form.x_name,
        form.y_name,
        form.bias,
        windows,
        tile_loops("o0", form.out_channels, height),
        tile_loops("column", columns, width),
        tile_loops("k0", form.last.kernel, longest),
    )
