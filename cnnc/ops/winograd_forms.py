"""Winograd's loops as templates/winograd.pyx.j2 reads them: forward and data gradient.

Plain values and the coordinates that follow from them; winograd_kernels chooses the sizes. Both
directions are one: a 3x3 correlation of `source` that gives the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Prepared
from cnnc.ops.loops import Clipped, Loop, chunked
from cnnc.ops.pool_windows import PoolWindows
from cnnc.ops.tally import Tally
from cnnc.ops.toom_cook import Filtering
from cnnc.ops.winograd import TAPS
from cnnc.ops.winograd_strips import Seen, Strip

IN, OUT, WEIGHT = {2: 60, 4: 300}, {2: 100, 4: 250}, {2: 25, 4: 45}
"""Cycles to transform a tile of one channel of the source, of the result, the window of a channel
pair, by the outputs of a tile along an axis. Measured, caches included."""

_LINE = 16
"""Floats in a cache line."""


@dataclass(frozen=True, slots=True)
class Windows(Form):
    """The weights' transform: [point][filters of a register tile][summed][filter].

    weight[m, s] has strides of so many floats; `rows` are the filters of a register tile, which
    the last one may not fill. `lanes` of the summed channels are transformed at once, with all
    filters of a tile: so many whole registers.
    """

    transforms: Filtering
    made: int
    summed: int
    made_stride: int
    summed_stride: int
    flipped: bool
    rows: int
    lanes: int

    TEMPLATE: ClassVar[str] = "winograd"
    MACRO: ClassVar[str] = "windows"

    @property
    def points(self) -> int:
        """Along an axis."""
        return self.transforms.points

    @property
    def summed_up(self) -> int:
        """Channels that are summed, up to whole registers; the last ones nobody reads."""
        return _up(self.summed, self.lanes)

    @property
    def apart(self) -> int:
        """Floats from one point to the next: no power of two."""
        return _up(self.made, self.rows) * self.summed_up + _LINE

    @property
    def tile(self) -> Loop:
        """Over the register tiles of filters."""
        return Loop("o0", 0, self.made, self.rows)

    @property
    def filter(self) -> Loop | Clipped:
        """Over the filters of one of them."""
        return chunked("o", self.made, self.tile)

    @property
    def channels(self) -> Loop:
        """Over the channels that are summed, some at a time."""
        return Loop("c0", 0, self.summed, self.lanes)

    @property
    def channel(self) -> Loop | Clipped:
        """Over those."""
        return chunked("c", self.summed, self.channels)

    @property
    def part(self) -> Loop:
        """Over the registers that their windows' elements fill, of one tap."""
        return Loop("part", 0, self.rows)

    def tap_at(self, tap: Affine) -> Affine:
        """An element of the window, as the weights hold it."""
        return TAPS * TAPS - 1 - tap if self.flipped else tap

    def window_column(self, column: Affine) -> list[str]:
        """The elements of a column of the window, of a register of windows."""
        return [f"g[{column + row * TAPS}][{self.part.at}]" for row in range(TAPS)]

    def operands(self) -> tuple[str, ...]:
        return ("weight", "result")

    def floats(self) -> tuple[str, ...]:
        return self.operands()


@dataclass(frozen=True, slots=True)
class Winograd(Form):
    """result[m] = sum over s of weight[m, s] * source[s], by tiles, from transformed weights.

    For each strip the source's tiles are transformed, to [point][tiles of a register tile][summed]
    [tile], then follow by `chunk` of the channels that are made: a matrix product a point, and the
    products back to the result.
    """

    windows: Windows
    """What transforms its weights."""
    seen: Seen
    result: Layout
    bias: bool
    strip: Strip
    register: tuple[int, int]
    """Channels x tiles of a register tile."""
    chunk: int
    tally: Tally | None = None
    pool: PoolWindows | None = None
    """What it stores of its outputs, in place of all."""

    TEMPLATE: ClassVar[str] = "winograd"
    MACRO: ClassVar[str] = "correlate"
    ALGORITHM: ClassVar[str] = "winograd"

    @property
    def points(self) -> int:
        """Along an axis."""
        return self.transforms.points

    @property
    def outputs(self) -> int:
        """Of a tile, along an axis."""
        return self.transforms.outputs

    @property
    def made_up(self) -> int:
        """Channels that are made, up to whole register tiles."""
        return _up(self.made, self.register[0])

    @property
    def tiles_up(self) -> int:
        """Tiles of a strip, up to whole register tiles."""
        return _up(self.strip.count, self.register[1])

    @property
    def transforms(self) -> Filtering:
        """Of weights, values and results."""
        return self.windows.transforms

    @property
    def made(self) -> int:
        """Channels that are made."""
        return self.windows.made

    @property
    def summed(self) -> int:
        """Channels that are summed."""
        return self.windows.summed

    def prepared(self) -> Prepared:
        return Prepared(self.windows, self.points**2 * self.windows.apart)

    @property
    def values_apart(self) -> int:
        """Elements from one point of the source to the next: no power of two."""
        return self.summed * self.tiles_up + 1

    @property
    def products_apart(self) -> int:
        """The same of the products."""
        return self.chunk * self.tiles_up + 1

    @property
    def values_at(self) -> int:
        """Where the transformed source begins in the scratch memory, behind a row of zeros."""
        return self.seen.width if self.clips_rows else 0

    @property
    def products_at(self) -> int:
        """Where the products begin."""
        return self.values_at + self.points**2 * self.values_apart

    @property
    def products_end(self) -> int:
        """Where they end."""
        return self.products_at + self.points**2 * self.products_apart

    def scratch(self) -> int:
        return self.tally.end if self.tally else self.products_end

    def stores_once(self) -> bool:
        return True

    def tallying(self, kept: Layout, x: Layout | None = None) -> Winograd:
        # Statistics want so many values of every tile.
        if x is None and (self.cut(0) or self.cut(1)):
            return self
        return replace(self, tally=Tally(kept, self.products_end, x))

    def tallies(self) -> bool:
        return self.tally is not None

    def pooling(self, windows: PoolWindows, pooled: Layout) -> Winograd:
        """The same of what windows cover, whose extents divide a tile: it stores these pooled."""
        return replace(self, pool=windows, result=pooled)

    @property
    def stored(self) -> tuple[int, int]:
        """What is stored of a tile, along each axis."""
        rows, columns = self.pool.size if self.pool else (1, 1)
        return self.outputs // rows, self.outputs // columns

    @property
    def clips_rows(self) -> bool:
        """Whether some tile's rows lie outside the memory of the source."""
        return self.seen.clips(0, self.strip.tiles[0])

    @property
    def clips_columns(self) -> bool:
        """The same of columns."""
        return self.seen.clips(1, self.strip.tiles[1])

    def cut(self, axis: int) -> bool:
        """Whether the last tile has outputs that do not exist."""
        return self.result.extents[axis] % self.stored[axis] != 0

    @property
    def values(self) -> list[str]:
        """All outputs of a tile."""
        return [f"y[{i}][{j}]" for i in range(self.outputs) for j in range(self.outputs)]

    def output(self, row: Affine, column: Affine) -> str:
        """An output of a tile."""
        return f"y[{row}][{column}]{' + one' if self.bias else ''}"

    def window(self, row: Affine, column: Affine) -> list[str]:
        """The outputs of a tile that a window of it reads."""
        if self.pool is None:
            raise TypeError("a form that pools nothing has no windows")
        at = Affine()
        return [self.output(i, j) for _, i, j in self.pool.places(at, row, column)]

    def values_to(self, row: Affine) -> list[str]:
        """Where a row of points of a tile goes."""
        n = self.transforms.points
        return [f"v[{(row * n + j) * self.values_apart}]" for j in range(n)]

    def product_column(self, column: Affine) -> list[str]:
        """The products of a column of points."""
        rows = range(self.points)
        return [f"m[{(column + row * self.points) * self.products_apart}]" for row in rows]

    @property
    def channel(self) -> Loop:
        """Over the channels of the source."""
        return Loop("c", 0, self.summed)

    def beyond(self, place: tuple[Affine, ...]) -> list[str]:
        """The tests whether an output of a tile does not exist."""
        return [
            f"{place[axis + 1]} >= {self.result.extents[axis]}" for axis in (0, 1) if self.cut(axis)
        ]

    @property
    def chunks(self) -> Loop:
        """Over the channels that are made."""
        return Loop("o0", 0, self.made_up, self.chunk)

    @property
    def in_chunk(self) -> Loop | Clipped:
        """Over a chunk's channels, as they are stored."""
        return chunked("o", self.made, self.chunks)

    @property
    def register_rows(self) -> Loop | Clipped:
        """Over the register tiles of a chunk."""
        inner = chunked("o1", self.made_up, self.chunks)
        if isinstance(inner, Clipped):
            return Clipped("o1", inner.low, f"{inner.high}, {self.register[0]}")
        return Loop("o1", 0, self.made_up, self.register[0])

    def cycles(self) -> float:
        tiles = self.strip.tiles[0] * self.strip.tiles[1]
        padded = self.made_up * self.summed * tiles * self.tiles_up / self.strip.count
        products = self.points**2 / 2 * padded / 0.85
        # As of a batch of one block, which has the weights' transform for itself.
        m = self.outputs
        windows = WEIGHT[m] * self.made * self.summed
        return products + tiles * (self.summed * IN[m] + self.made * OUT[m]) + windows

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        tally = self.tally.operands if self.tally else ()
        return (self.seen.name, "prepared", *bias, "scratch", *tally, "result")

    def reason(self) -> str:
        m, (rows, columns) = self.outputs, self.register
        strip = f"{self.strip.rows}x{self.strip.columns} tiles at a time"
        tally = self.tally.reason if self.tally else ""
        tile = f"tile {rows}x{columns} (channels x tiles), {strip}"
        pool = self.pool.reason if self.pool else ""
        return f"Winograd F({m}x{m}, 3x3), {tile}{tally}{pool}"


@dataclass(frozen=True, slots=True)
class Winograd4(Winograd):
    """The same by tiles of 4 x 4 outputs: fewer products, some more rounding."""

    ALGORITHM: ClassVar[str] = "winograd4"
    COARSE: ClassVar[bool] = True


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
