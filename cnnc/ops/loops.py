"""Loops as the templates write them, and the choice of register tiles.

The cost model counts what a core can start in a cycle: fused multiply-adds on one side, loads on
the other. It knows registers and caches by their number only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod

from cnnc.ops.affine import Affine


@dataclass(frozen=True, slots=True)
class Loop:
    """`for variable in range(start, stop, step)`; with one trip it is no loop but a constant."""

    variable: str
    start: int
    stop: int
    step: int = 1

    @property
    def trips(self) -> int:
        return max(0, -(-(self.stop - self.start) // self.step))

    @property
    def runs(self) -> bool:
        """Whether the text needs a loop."""
        return self.trips > 1

    @property
    def at(self) -> Affine:
        """The variable, or the constant that stands for it."""
        return Affine.of(self.variable if self.runs else self.start)

    @property
    def last(self) -> int:
        """The variable's value in the last trip."""
        return self.start + (self.trips - 1) * self.step

    @property
    def range(self) -> str:
        """What the loop runs over, in Cython."""
        if self.step != 1:
            return f"range({self.start}, {self.stop}, {self.step})"
        return f"range({self.start}, {self.stop})" if self.start else f"range({self.stop})"


@dataclass(frozen=True, slots=True)
class Clipped:
    """A loop whose bounds are expressions, because a window may reach beyond its tensor."""

    variable: str
    low: str
    high: str
    step: int = 1

    trips = 2
    runs = True

    @property
    def at(self) -> Affine:
        """The variable."""
        return Affine.of(self.variable)

    @property
    def range(self) -> str:
        """What the loop runs over, in Cython."""
        step = f", {self.step}" if self.step != 1 else ""
        return f"range({self.low}, {self.high}{step})"


def chunked(variable: str, extent: int, chunk: Loop) -> Loop | Clipped:
    """Over the part of `extent` that a turn of the loop over chunks does; the last may be less."""
    if not chunk.runs:
        return Loop(variable, 0, extent)
    end = str(chunk.at + chunk.step)
    even = extent % chunk.step == 0
    return Clipped(variable, str(chunk.at), end if even else f"min({end}, {extent})")


def axes(rank: int) -> tuple[str, ...]:
    """Loop variables of the spatial axes, outermost first; the last is always `column`."""
    return ("plane", "row", "column")[3 - rank :]


@cache
def split(extent: int, size: int) -> tuple[tuple[int, int, int], ...]:
    """Cover `extent` exactly by tiles of at most `size`: (start, stop, width), two widths at most.

    As few tiles as possible, and as even as possible: a tile that is nearly empty keeps the
    multipliers waiting for its loads.
    """
    count = -(-extent // size)
    narrow, wide = divmod(extent, count)
    edge = wide * (narrow + 1)
    parts = ((0, edge, narrow + 1), (edge, extent, narrow))
    return tuple(part for part in parts if part[1] > part[0])


def tile_loops(variable: str, extent: int, size: int) -> tuple[tuple[Loop, int], ...]:
    """`split` as loops over the tiles' first elements, each with its width."""
    return tuple((Loop(variable, a, b, w), w) for a, b, w in split(extent, size))


@cache
def register_tile(
    scalars: int, vectors: int, registers: int, *, repeat: int = 1, load: float = 0.5
) -> tuple[int, int]:
    """How many scalars by how many vectors to multiply at once, so that loads are the fewest.

    A tile of s x v takes s broadcasts, v loads and s * v multiply-adds and keeps s * v sums in
    registers (each `repeat` times). Fewer than 8 sums leave the pipeline waiting for itself. `load`
    is what a load of a vector costs, in multiply-adds; a broadcast's scalar is always near.
    """
    limit = max(1, (registers - registers // 8 if registers >= 32 else registers - 4) // repeat)

    def cost(s: int, v: int) -> float:
        total = 0.0
        for a, b, width in split(scalars, s):
            for c, d, depth in split(vectors, v):
                work = width * depth * repeat
                trips = ((b - a) // width) * ((d - c) // depth)
                total += trips * (max(work, 8) + 0.5 * width + load * depth * repeat)
        return total

    # Beside the sums, the shorter side of the tile is held, and one element of the longer.
    shapes: Iterator[tuple[int, int]] = (
        (s, v)
        for s in range(1, min(scalars, limit) + 1)
        for v in range(1, min(vectors, limit // s) + 1)
        if s * v * repeat + min(s, v * repeat) + registers // 16 < registers
    )
    return min(shapes, key=lambda tile: (cost(*tile), len(split(scalars, tile[0])), tile))


_SUMMING = 6
"""What a sum over the lanes costs, in multiply-adds."""


@cache
def weight_tile(
    filters: int,
    channels: int,
    rows: int,
    columns: int,
    *,
    positions: int,
    fitting: int,
    registers: int,
) -> tuple[int, int, int, int]:
    """Filters x channels x kernel rows x kernel columns whose sums a weight gradient makes at once.

    `positions` are those of a plane, `fitting` the elements that the first-level cache holds. A
    tile loads each of its filters' gradients once a position and each of its inputs, and at the
    end of a patch every sum is added up over the lanes. The fewer filters, the larger a patch of
    their gradients fits the first-level cache, and the fewer such ends there are.
    """

    def cost(tile: tuple[int, int, int, int]) -> float:
        total = 0.0
        extents = (filters, channels, rows, columns)
        for parts in product(*(split(n, size) for n, size in zip(extents, tile, strict=True))):
            trips = prod((stop - start) // width for start, stop, width in parts)
            height, *others = (width for _, _, width in parts)
            loads, work = height + prod(others), height * prod(others)
            patch = min(positions, max(1, fitting // height))
            total += trips * (max(work, 8, loads) + 0.25 * loads + _SUMMING * work / patch)
        return total

    shapes = (
        (height, depth, r, k)
        for k in range(1, columns + 1)
        for r in (range(1, rows + 1) if k == columns else (1,))
        for depth in (range(1, min(channels, 4) + 1) if (r, k) == (rows, columns) else (1,))
        for height in range(1, min(filters, registers) + 1)
        if height * depth * r * k + min(height, depth * r * k) + 1 < registers
    )
    return min(shapes, key=lambda tile: (cost(tile), tile))
