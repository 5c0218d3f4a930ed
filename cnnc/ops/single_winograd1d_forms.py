"""The loops of one sample's filtering along rows, as templates/single_winograd1d.pyx.j2 has them.

`packed`, the input, the result and the scratch memory are counted in registers. A signal is an
image of one row. single_winograd1d chooses the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form
from cnnc.ops.loops import Clipped, Loop
from cnnc.ops.single_strips import WEIGHTS_BEYOND, WEIGHTS_WITHIN, SingleStrips
from cnnc.ops.toom_cook import Nested
from cnnc.ops.units import ENOUGH
from cnnc.ops.winograd_strips import Strip

FEWEST_TILES, MOST_TILES = 10, 64
"""Of a strip: fewer read the weights too often, of more a point leaves the nearest cache."""


@dataclass(frozen=True, slots=True)
class SingleFiltered(SingleStrips):
    """A strip of tiles after the other.

    The input's tiles are transformed to [point][channels / lanes][part][row][tile][lane]; then, by
    a few registers of filters, a matrix product a point follows, summed over channels, parts and
    rows, and the products back to the result.
    """

    nested: Nested
    one_axis: bool
    """Whether `x` and `y`, seen as images of one row, are signals."""
    kernel_rows: int
    parts: int

    TEMPLATE: ClassVar[str] = "single_winograd1d"
    MACRO: ClassVar[str] = "correlate"
    ALGORITHM: ClassVar[str] = "winograd1d"

    def divided(self) -> Form:
        strip, along = self.strip, self.shared
        tiles = strip.tiles
        beside = strip.columns if along == 0 else 1
        wanted = max(strip.around[along].trips, min(ENOUGH, tiles[along] * beside // FEWEST_TILES))
        size = -(-tiles[along] // wanted)
        return self.over(Strip(tiles, *((size, strip.columns) if along == 0 else (1, size))))

    @property
    def shared(self) -> int:
        return 0 if self.strip.tiles[0] > 1 else 1

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

    def candidate(self) -> str:
        return f"{self.ALGORITHM} {self.nested.name}"

    def reason(self) -> str:
        strip = self.strip
        tile = f"tile {self.filters[0][1]}x{self.width} (registers x tiles)"
        at_once = f"{strip.rows}x{strip.columns}" if strip.tiles[0] > 1 else f"{strip.columns}"
        return f"one sample, Winograd {self.nested.name} along rows, {tile}, {at_once} at a time"


def _parts(extent: int, size: int) -> list[int]:
    return [min(size, extent - start) for start in range(0, extent, size)]
