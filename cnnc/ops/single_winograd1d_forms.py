"""The loops of one sample's filtering along rows, as templates/single_winograd1d.pyx.j2 has them.

`packed`, the input, the result and the scratch memory are counted in registers. A signal is an
image of one row. single_winograd1d chooses the sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout
from cnnc.ops.loops import Clipped, Loop, register_tile, tile_loops
from cnnc.ops.single import lanes_in
from cnnc.ops.single_winograd_forms import WEIGHTS_BEYOND, WEIGHTS_WITHIN
from cnnc.ops.toom_cook import Nested
from cnnc.ops.units import ENOUGH, UNITS, tiles_within, trip_of, trips, turns_within
from cnnc.ops.winograd_forms import Strip

FEWEST_TILES, MOST_TILES = 10, 64
"""Of a strip: fewer read the weights too often, of more a point leaves the nearest cache."""


@dataclass(frozen=True, slots=True)
class SingleFiltered(Form):
    """A strip of tiles after the other.

    The input's tiles are transformed to [point][channels / lanes][part][row][tile][lane]; then, by
    a few registers of filters, a matrix product a point follows, summed over channels, parts and
    rows, and the products back to the result.
    """

    nested: Nested
    channels: int
    lanes: int
    bias: bool
    one_axis: bool
    """Whether `x` and `y`, seen as images of one row, are signals."""
    kernel_rows: int
    parts: int
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

    TEMPLATE: ClassVar[str] = "single_winograd1d"
    MACRO: ClassVar[str] = "correlate"
    ALGORITHM: ClassVar[str] = "winograd1d"

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        units = UNITS if self.ranged else ()
        return ("input", "packed", *bias, "scratch", *units, "result")

    def floats(self) -> tuple[str, ...]:
        return ("packed",)

    def divided(self) -> SingleFiltered:
        strip, along = self.strip, self.shared
        tiles = strip.tiles
        beside = strip.columns if along == 0 else 1
        wanted = max(strip.around[along].trips, min(ENOUGH, tiles[along] * beside // FEWEST_TILES))
        size = -(-tiles[along] // wanted)
        strip = Strip(tiles, *((size, strip.columns) if along == 0 else (1, size)))
        turns = -(-ENOUGH // strip.around[along].trips)
        most = max(1, self.y.channels // turns)
        width, groups = register_tile(strip.count, most, self.registers)
        filters = tile_loops("o0", self.y.channels, groups)
        return replace(self, strip=strip, width=width, filters=filters, ranged=True)

    def units(self) -> int:
        return self.strip.around[self.shared].trips * self.turns if self.ranged else 1

    @property
    def shared(self) -> int:
        """The axis along which units follow one another."""
        return 0 if self.strip.tiles[0] > 1 else 1

    @property
    def turns(self) -> int:
        """Tiles of filters."""
        return trips(self.filters)

    @property
    def around(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the strips of tiles."""
        loops: list[Loop | Clipped] = list(self.strip.around)
        divided = self.strip.around[self.shared]
        if self.ranged and divided.runs:
            loops[self.shared] = turns_within(divided, self.turns)
        return tuple(loops)

    @property
    def tiles(self) -> Sequence[tuple[Loop | Clipped, int]]:
        """Loops over the tiles of filters of a strip that a call makes, with their heights."""
        if not self.ranged:
            return self.filters
        return tiles_within(self.filters, trip_of(self.strip.around[self.shared], 0, self.turns))

    @property
    def tiles_up(self) -> int:
        """Tiles of a strip, up to whole register tiles."""
        return -(-self.strip.count // self.width) * self.width

    @property
    def tiles_made(self) -> int:
        """Tiles of the whole result, up to whole register tiles of each strip."""
        (rows, columns), strip = self.strip.tiles, self.strip
        parts = [
            down * (across if strip.rows == 1 else strip.columns)
            for down in _parts(rows, strip.rows)
            for across in _parts(columns, strip.columns)
        ]
        return sum(-(-part // self.width) * self.width for part in parts)

    @property
    def lines(self) -> int:
        """Registers of all rows that a strip reads, of a point of a register of channels."""
        return self.tiles_up + (self.kernel_rows - 1) * self.strip.columns

    @property
    def values_apart(self) -> int:
        """Registers from one point of the input to the next: no power of two."""
        return self.x.channels * self.parts * self.lines | 1

    @property
    def products_apart(self) -> int:
        """The same of the products."""
        return self.filters[0][1] * self.tiles_up | 1

    @property
    def products_at(self) -> int:
        """Where the products begin in the scratch memory."""
        return self.nested.points * self.values_apart

    def scratch(self) -> int:
        return self.products_at + self.nested.points * self.products_apart

    @property
    def group(self) -> Loop:
        """Over the registers of input channels."""
        return Loop("group", 0, self.x.channels)

    @property
    def lane(self) -> Loop | Clipped:
        """Over the channels of a register."""
        return lanes_in("lane", self.group, self.channels, self.lanes)

    @property
    def part(self) -> Loop:
        """Over the parts of a row of the window."""
        return Loop("part", 0, self.parts)

    @property
    def tap(self) -> Loop:
        """Over the rows of the window."""
        return Loop("row_tap", 0, self.kernel_rows)

    @property
    def line(self) -> Loop | Clipped:
        """Over the rows of the input that a strip reads."""
        rows, more = self.strip.around[0], self.kernel_rows - 1
        if rows.runs and rows.stop % rows.step:
            return Clipped("line", "0", f"min({rows.step}, {rows.stop - rows.at}) + {more}")
        return Loop("line", 0, self.strip.rows + more)

    @property
    def panel(self) -> Loop | Clipped:
        """Over the register tiles of a strip, by their first tile."""
        rows, columns = self.strip.around
        if rows.runs and rows.stop % rows.step:
            left = f"min({rows.step}, {rows.stop - rows.at})"
            return Clipped("tile0", "0", f"{left} * {self.strip.columns}, {self.width}")
        if columns.runs and columns.stop % columns.step and self.strip.rows == 1:
            left = f"min({columns.step}, {columns.stop - columns.at})"
            return Clipped("tile0", "0", f"{left}, {self.width}")
        return Loop("tile0", 0, self.tiles_up, self.width)

    @property
    def first_read(self) -> Affine:
        """Where a tile of the input begins."""
        above, left = self.pads
        row = self.strip.around[0].at + self.line.at - above
        column = self.strip.column * self.nested.outputs + self.part.at * self.nested.taps - left
        place: Affine = self.x.offset(self.group.at, row, column)
        return place

    def value_at(self, line: Affine, tile: Affine) -> Affine:
        """Where a transformed tile of a row of the strip lies, of the first point."""
        whole = (self.group.at * self.parts + self.part.at) * self.lines
        return whole + line * self.strip.columns + tile

    @property
    def stored_at(self) -> Affine:
        """Where a tile of the input goes, of the first point."""
        return self.value_at(self.line.at, self.strip.column - self.strip.around[1].at)

    def read_at(self, point: Affine) -> Affine:
        """The first register tile's values of a point, under the loops over what is summed."""
        return point * self.values_apart + self.value_at(self.tap.at, self.panel.at)

    @property
    def summed(self) -> int:
        """Registers of weights of a point."""
        return self.kernel_rows * self.parts * self.channels

    def weight_at(self, filters: Affine, point: Affine) -> Affine:
        """The weights of a point and what is summed."""
        channel = self.group.at * self.lanes + self.lane.at
        within = (self.tap.at * self.parts + self.part.at) * self.channels + channel
        return (filters * self.nested.points + point) * self.summed + within

    def values_of(self, element: Affine) -> list[str]:
        """The elements of a tile of the input that the outer filtering takes."""
        step = self.nested.inner.outputs
        return [f"source[{element + j * step}]" for j in range(self.nested.outer.points)]

    def values_to(self, point: Affine) -> list[str]:
        """Where its points go, of a point of the outer filtering."""
        count = self.nested.inner.points
        return [f"v[{(point * count + j) * self.values_apart}]" for j in range(count)]

    def products_of(self, point: Affine) -> list[str]:
        """The products that the outer filtering takes, of a point of the inner."""
        step = self.nested.inner.points
        count = self.nested.outer.points
        return [f"m[{(point + j * step) * self.products_apart}]" for j in range(count)]

    def spot(self, filters: Affine, block: Affine, output: Affine) -> tuple[Affine, ...]:
        """(channel, *position) of an output of a tile."""
        within = block * self.nested.inner.outputs + output
        column = self.strip.column * self.nested.outputs + within
        return (filters, column) if self.one_axis else (filters, self.strip.row, column)

    def place(self, spot: tuple[Affine, ...]) -> Affine:
        """Where it lies."""
        row = Affine() if self.one_axis else spot[1]
        place: Affine = self.y.offset(spot[0], row, spot[-1])
        return place

    def beyond(self, spot: tuple[Affine, ...]) -> list[str]:
        """The test whether it does not exist, where some do not."""
        width = self.y.extents[1]
        return [f"{spot[-1]} >= {width}"] if width % self.nested.outputs else []

    def cycles(self) -> float:
        groups, points, tiles = self.y.channels, self.nested.points, self.strip.tiles
        count = tiles[0] * tiles[1]
        products = points * self.summed * groups * self.tiles_made / 2 / 0.85
        lines = (tiles[0] + self.strip.around[0].trips * (self.kernel_rows - 1)) * tiles[1]
        turned = lines * self.x.channels * self.parts * points * 3.2 + count * groups * points * 3
        window = self.channels * self.kernel_rows * self.parts * self.nested.taps
        more = groups * (self.summed * points - window) * self.lanes * 4
        return products + turned + more / (WEIGHTS_BEYOND if self.far else WEIGHTS_WITHIN)

    def reason(self) -> str:
        strip = self.strip
        tile = f"tile {self.filters[0][1]}x{self.width} (registers x tiles)"
        at_once = f"{strip.rows}x{strip.columns}" if strip.tiles[0] > 1 else f"{strip.columns}"
        return f"one sample, Winograd {self.nested.name} along rows, {tile}, {at_once} at a time"


def _parts(extent: int, size: int) -> list[int]:
    return [min(size, extent - start) for start in range(0, extent, size)]
