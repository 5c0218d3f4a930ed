"""The loops of one sample's Winograd convolution as templates/single_winograd.pyx.j2 reads them.

`packed`, the input, the result and the scratch memory are counted in registers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Machine
from cnnc.ops.loops import Clipped, Loop, register_tile, split, tile_loops
from cnnc.ops.single import groups_of, lanes_in
from cnnc.ops.units import ENOUGH, UNITS, tiles_within, trip_of, trips, turns_within
from cnnc.ops.winograd import TAPS, Transforms
from cnnc.ops.winograd_forms import Strip

_FEWEST_TILES, _MOST_TILES = 12, 64
"""Of a strip: fewer read the weights too often, of more a point leaves the nearest cache."""

_IN, _OUT = {2: 28, 4: 120}, {2: 36, 4: 110}
"""Cycles to transform a tile of one register of channels, of filters, by its outputs' extent."""

WEIGHTS_WITHIN, WEIGHTS_BEYOND = 32, 8
"""Bytes of weights that are read in a cycle, in their order: where they stay in the second-level
cache with those of other layers, and where they are too many for that."""


@dataclass(frozen=True, slots=True)
class WindowTransform(Form):
    """[filter][channel][tap] -> [filters / lanes][point][channel][lane]."""

    filters: int
    channels: int
    lanes: int
    transforms: Transforms

    TEMPLATE: ClassVar[str] = "single_winograd"
    MACRO: ClassVar[str] = "window"

    def operands(self) -> tuple[str, ...]:
        return ("weight", "result")

    def floats(self) -> tuple[str, ...]:
        return ("weight",)

    @property
    def group(self) -> Loop:
        """Over the registers of filters."""
        return Loop("group", 0, groups_of(self.filters, self.lanes))

    @property
    def lane(self) -> Loop | Clipped:
        """Over the filters of a register."""
        return lanes_in("lane", self.group, self.filters, self.lanes)

    @property
    def channel(self) -> Loop:
        """Over the channels."""
        return Loop("i", 0, self.channels)

    def window_column(self, column: Affine) -> list[str]:
        """The elements of a column of the window."""
        return [f"g[{column + row * TAPS}]" for row in range(TAPS)]


@dataclass(frozen=True, slots=True)
class SingleCorrelate(Form):
    """A strip of tiles after the other.

    The input's tiles are transformed to [point][channels / lanes][tile][lane]; then, by a few
    registers of filters, a matrix product a point follows, and the products back to the result.
    """

    transforms: Transforms
    channels: int
    lanes: int
    bias: bool
    pads: tuple[int, int]
    x: Layout
    y: Layout
    strip: Strip
    filters: tuple[tuple[Loop, int], ...]
    width: int
    """Tiles of a register tile."""
    registers: int
    far: bool
    """Whether the weights are too many to stay in the second-level cache from call to call."""
    ranged: bool = field(default=False, kw_only=True)
    """Whether a call makes some of its units only: tiles of filters of a row of strips."""

    TEMPLATE: ClassVar[str] = "single_winograd"
    MACRO: ClassVar[str] = "correlate"
    ALGORITHM: ClassVar[str] = "winograd"

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        units = UNITS if self.ranged else ()
        return ("input", "packed", *bias, "scratch", *units, "result")

    def divided(self) -> SingleCorrelate:
        tiles, rows, columns = self.strip.tiles, self.strip.rows, self.strip.columns
        while rows > 1 and -(-tiles[0] // rows) < ENOUGH and rows // 2 * columns >= _FEWEST_TILES:
            rows //= 2
        strip = Strip(tiles, rows, columns)
        turns = -(-ENOUGH // strip.around[0].trips)
        most = max(1, self.y.channels // turns)
        width, groups = register_tile(strip.count, most, self.registers)
        filters = tile_loops("o0", self.y.channels, groups)
        return replace(self, strip=strip, width=width, filters=filters, ranged=True)

    def units(self) -> int:
        return self.strip.around[0].trips * self.turns if self.ranged else 1

    @property
    def turns(self) -> int:
        """Tiles of filters."""
        return trips(self.filters)

    @property
    def around(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the strips of tiles."""
        rows, columns = self.strip.around
        if not self.ranged or not rows.runs:
            return (rows, columns)
        return (turns_within(rows, self.turns), columns)

    @property
    def tiles(self) -> tuple[tuple[Loop | Clipped, int], ...]:
        """Loops over the tiles of filters of a strip that a call makes, with their heights."""
        if not self.ranged:
            return self.filters
        return tiles_within(self.filters, trip_of(self.strip.around[0], 0, self.turns))

    def floats(self) -> tuple[str, ...]:
        return ("packed",)

    @property
    def points(self) -> int:
        """In all."""
        return self.transforms.points**2

    @property
    def tiles_up(self) -> int:
        """Tiles of a strip, up to whole register tiles."""
        return -(-self.strip.count // self.width) * self.width

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

    @property
    def group(self) -> Loop:
        """Over the registers of input channels."""
        return Loop("group", 0, self.x.channels)

    @property
    def lane(self) -> Loop | Clipped:
        """Over the channels of a register."""
        return lanes_in("lane", self.group, self.channels, self.lanes)

    @property
    def panel(self) -> Loop | Clipped:
        """Over the register tiles of a strip, by their first tile."""
        rows, columns = self.strip.around
        if rows.runs and rows.stop % rows.step:
            left = f"min({rows.step}, {rows.stop - rows.at})"
            return Clipped("tile0", "0", f"{left} * {self.strip.columns}, {self.width}")
        if columns.runs and columns.stop % columns.step:
            left = f"min({columns.step}, {columns.stop - columns.at})"
            return Clipped("tile0", "0", f"{left}, {self.width}")
        return Loop("tile0", 0, self.tiles_up, self.width)

    def source_column(self, column: Affine) -> list[str]:
        """A column of a tile of the input."""
        row = self.x.strides()[1]
        return [f"source[{column + i * row}]" for i in range(self.transforms.points)]

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
    f: Transforms,
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
    # The transformed input shares the cache with the weights.
    room = machine.level2 // 2 // (f.points**2 * x.channels * machine.lanes * 4)
    most = max(_FEWEST_TILES, min(_MOST_TILES, room))
    across = split(columns, most)[0][2]
    down = split(rows, max(1, most // across))[0][2]
    strip = Strip((rows, columns), down, across)
    width, groups = register_tile(strip.count, y.channels, machine.registers)
    filters = tile_loops("o0", y.channels, groups)
    far = y.channels * channels * f.points**2 * machine.lanes * 4 > machine.level2 // 8
    make = SingleCorrelate if f.outputs == 2 else SingleCorrelate4
    return make(
        f, channels, machine.lanes, bias, pads, x, y, strip, filters, width, machine.registers, far
    )
