"""The loops of one sample's Winograd convolution as templates/single_winograd.pyx.j2 reads them.

`packed`, the input, the result and the scratch memory are counted in registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Machine
from cnnc.ops.loops import register_tile, tile_loops
from cnnc.ops.single_strips import (
    WEIGHTS_BEYOND,
    WEIGHTS_WITHIN,
    SingleStrips,
    WeightTransform,
    strip_of,
)
from cnnc.ops.toom_cook import Filtering
from cnnc.ops.units import ENOUGH
from cnnc.ops.winograd import TAPS
from cnnc.ops.winograd_strips import Strip

_FEWEST_TILES, _MOST_TILES = 12, 64
"""Of a strip: fewer read the weights too often, of more a point leaves the nearest cache."""

_IN, _OUT = {2: 28, 4: 120}, {2: 36, 4: 110}
"""Cycles to transform a tile of one register of channels, of filters, by its outputs' extent."""


@dataclass(frozen=True, slots=True)
class WindowTransform(WeightTransform):
    """[filter][channel][tap] -> [filters / lanes][point][channel][lane]."""

    transforms: Filtering

    TEMPLATE: ClassVar[str] = "single_winograd"
    MACRO: ClassVar[str] = "window"

    def window_column(self, column: Affine) -> list[str]:
        """The elements of a column of the window."""
        return [f"g[{column + row * TAPS}]" for row in range(TAPS)]


@dataclass(frozen=True, slots=True)
class SingleCorrelate(SingleStrips):
    """A strip of tiles after the other.

    The input's tiles are transformed to [point][channels / lanes][tile][lane]; then, by a few
    registers of filters, a matrix product a point follows, and the products back to the result.
    """

    transforms: Filtering

    TEMPLATE: ClassVar[str] = "single_winograd"
    MACRO: ClassVar[str] = "correlate"
    ALGORITHM: ClassVar[str] = "winograd"

    def divided(self) -> Form:
        tiles, rows, columns = self.strip.tiles, self.strip.rows, self.strip.columns
        while rows > 1 and -(-tiles[0] // rows) < ENOUGH and rows // 2 * columns >= _FEWEST_TILES:
            rows //= 2
        return self.over(Strip(tiles, rows, columns))

    @property
    def points(self) -> int:
        """In all."""
        return self.transforms.points**2

    @property
    def values_apart(self) -> int:
        """Registers from one point of the input to the next: no power of two."""
        return self.x.channels * self.tiles_up + 1

    @property
    def products_apart(self) -> int:
        """The same of the products."""
        return self.filters[0][1] * self.tiles_up + 1

    @property
    def products_at(self) -> int:
        """Where the products begin in the scratch memory."""
        return self.points * self.values_apart

    def scratch(self) -> int:
        return self.products_at + self.points * self.products_apart

    def source_column(self, column: Affine) -> list[str]:
        """A column of a tile of the input."""
        row = self.x.strides()[1]
        return [f"source[{column + i * row}]" for i in range(self.transforms.points)]

    def values_to(self, row: Affine) -> list[str]:
        """Where a row of points of a tile goes."""
        n = self.transforms.points
        return [f"v[{(row * n + j) * self.values_apart}]" for j in range(n)]

    def product_column(self, column: Affine) -> list[str]:
        """The products of a column of points."""
        n = self.transforms.points
        return [f"m[{(column + row * n) * self.products_apart}]" for row in range(n)]

    @property
    def first_read(self) -> Affine:
        """Where a tile of the input begins."""
        made, (above, left) = self.transforms.outputs, self.pads
        row, column = self.strip.row * made - above, self.strip.column * made - left
        place: Affine = self.x.offset(self.group.at, row, column)
        return place

    def beyond(self, place: tuple[Affine, ...]) -> list[str]:
        """The tests whether an output of a tile does not exist."""
        made = self.transforms.outputs
        cut = [axis for axis in (0, 1) if self.y.extents[axis] % made]
        return [f"{place[axis + 1]} >= {self.y.extents[axis]}" for axis in cut]

    def cycles(self) -> float:
        groups, tiles = self.y.channels, self.strip.tiles[0] * self.strip.tiles[1]
        made = self.transforms.outputs
        padded = self.tiles_up / self.strip.count
        products = self.points * self.channels * groups * tiles * padded / 2 / 0.8
        turned = self.x.channels * _IN[made] + groups * _OUT[made]
        more = groups * self.channels * (self.points - TAPS**2) * self.lanes * 4
        return products + tiles * turned + more / (WEIGHTS_BEYOND if self.far else WEIGHTS_WITHIN)

    def reason(self) -> str:
        m, strip = self.transforms.outputs, self.strip
        tile = f"tile {self.filters[0][1]}x{self.width} (registers of filters x tiles)"
        at_once = f"{strip.rows}x{strip.columns} tiles at a time"
        return f"one sample, Winograd F({m}x{m}, 3x3), {tile}, {at_once}"


class SingleCorrelate4(SingleCorrelate):
    """The same by tiles of 4 x 4 outputs."""

    ALGORITHM: ClassVar[str] = "winograd4"


def correlate(
    f: Filtering,
    channels: int,
    pads: tuple[int, int],
    x: Layout,
    y: Layout,
    machine: Machine,
    *,
    bias: bool,
) -> SingleCorrelate:
    """Sizes for y from x."""
    rows, columns = (-(-n // f.outputs) for n in y.extents)
    values = f.points**2 * x.channels
    strip = strip_of((rows, columns), values, (_FEWEST_TILES, _MOST_TILES), machine)
    width, groups = register_tile(strip.count, y.channels, machine.registers)
    filters = tile_loops("o0", y.channels, groups)
    far = y.channels * channels * f.points**2 * machine.lanes * 4 > machine.level2 // 8
    make = SingleCorrelate if f.outputs == 2 else SingleCorrelate4
    return make(
        channels, machine.lanes, bias, pads, x, y, strip, filters, width, machine.registers, far, f
    )
