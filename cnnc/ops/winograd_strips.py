"""Winograd's tiles, a strip of them at a time, and what of a tensor they see."""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Layout
from cnnc.ops.loops import Clipped, Loop, chunked


@dataclass(frozen=True, slots=True)
class Strip:
    """Tiles that are transformed together, so that they stay in the second-level cache.

    `tiles` counts them along each axis, over the whole plane; a strip has `rows` x `columns`.
    """

    tiles: tuple[int, int]
    rows: int
    columns: int

    @property
    def count(self) -> int:
        """Tiles of a strip."""
        return self.rows * self.columns

    @property
    def around(self) -> tuple[Loop, Loop]:
        """Loops over the strips."""
        return (
            Loop("row" if self.rows == 1 else "row0", 0, self.tiles[0], self.rows),
            Loop("column" if self.columns == 1 else "column0", 0, self.tiles[1], self.columns),
        )

    @property
    def rows_within(self) -> tuple[Loop | Clipped, ...]:
        """Loop over the rows of tiles of a strip, where there are several."""
        return _within("row", self.around[0])

    @property
    def columns_within(self) -> tuple[Loop | Clipped, ...]:
        """Loop over its columns of tiles."""
        return _within("column", self.around[1])

    @property
    def row(self) -> Affine:
        """A tile's row in the plane."""
        return (*self.rows_within, self.around[0])[0].at

    @property
    def column(self) -> Affine:
        """A tile's column."""
        return (*self.columns_within, self.around[1])[0].at

    @property
    def tile(self) -> Affine:
        """A tile's number in its strip."""
        rows, columns = self.around
        return (self.row - rows.at) * self.columns + self.column - columns.at


def _within(variable: str, strips: Loop) -> tuple[Loop | Clipped, ...]:
    return () if strips.step == 1 else (chunked(variable, strips.stop, strips),)


@dataclass(frozen=True, slots=True)
class Seen:
    """A tensor as tiles read it: tile t begins `shift` before position t * step, on each axis."""

    layout: Layout
    name: str
    shift: tuple[int, int]
    step: int
    size: int

    def clips(self, axis: int, tiles: int) -> bool:
        """Whether some tile reaches beyond the memory of the tensor, halo included."""
        before, after = self.layout.halo[axis]
        last = (tiles - 1) * self.step - self.shift[axis] + self.size - 1
        return self.shift[axis] > before or last >= self.layout.extents[axis] + after

    def at(self, axis: int, tile: Affine, element: Affine | str) -> Affine:
        """The position of a tile's element."""
        return tile * self.step + element - self.shift[axis]

    def inside(self, axis: int, at: str) -> str:
        """The test whether memory holds a position."""
        before, after = self.layout.halo[axis]
        return f"{-before} <= {at} < {self.layout.extents[axis] + after}"

    @property
    def width(self) -> int:
        """Elements of a row."""
        return self.layout.padded()[1]
