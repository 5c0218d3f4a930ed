"""The columns of an input's gradient in tiles, each with the kernel taps that it meets.

Along the last axis everything is known, so that every clipped border becomes a tile of its own
with constant bounds. Formula: Dumoulin and Visin 2016, section 4, for any stride and dilation.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ops.affine import Affine
from cnnc.ops.loops import Loop, split

Reach = tuple[int, int, int, int]
"""(tap, first sum, sums, first source relative to the tile) of a tap that meets a tile."""


@dataclass(frozen=True, slots=True)
class TapRun:
    """`count` taps in a row of kernel columns, each adding to `width` sums of a tile.

    Tap k is kernel column `tap + k * tap_step`; its first sum is `target + k * target_step`, its
    first gradient `source + k * source_step`, relative to the tile's first column.
    """

    count: int
    width: int
    tap: int
    tap_step: int
    target: int
    target_step: int
    source: int
    source_step: int

    def tap_at(self, k: Affine) -> Affine:
        """The kernel column of the k-th tap."""
        return k * self.tap_step + self.tap

    def sum_at(self, k: Affine, c: Affine) -> Affine:
        """The sum that the k-th tap's c-th product goes to."""
        return c + k * self.target_step + self.target

    def source_at(self, k: Affine, c: Affine) -> Affine:
        """The output gradient that it comes from."""
        return c + k * self.source_step + self.source


@dataclass(frozen=True, slots=True)
class Strip:
    """Equal tiles of input-gradient columns of one phase: the loop over them, and their taps."""

    tile: Loop
    width: int
    phase: int
    runs: tuple[TapRun, ...]

    @property
    def first(self) -> int:
        """The first column of y that it reads, relative to the tile."""
        return min((min(_ends(run)) for run in self.runs), default=0)

    @property
    def columns(self) -> int:
        """Columns of y, from the first, that hold all that it reads."""
        last = max((max(_ends(run)) + run.width for run in self.runs), default=0)
        return last - self.first


@dataclass(frozen=True, slots=True)
class LastAxis:
    """What the strips depend on: the last axis of a convolution."""

    kernel: int
    stride: int
    dilation: int
    pad: int
    inputs: int
    outputs: int


def strips(axis: LastAxis, width: int, longest: int) -> tuple[Strip, ...]:
    """Tiles of at most `width` columns; no run has more than `longest` taps."""
    return tuple(
        strip
        for phase in range(min(axis.stride, axis.inputs))
        for strip in _of_phase(axis, phase, width, longest)
    )


def _ends(run: TapRun) -> tuple[int, int]:
    """The first columns that a run's first and last tap read."""
    return run.source, run.source + (run.count - 1) * run.source_step


def _of_phase(axis: LastAxis, phase: int, width: int, longest: int) -> list[Strip]:
    """Tiles of the columns `phase, phase + stride, ...`; equal neighbours become one loop."""
    columns = len(range(phase, axis.inputs, axis.stride))
    found: list[Strip] = []
    for start, stop, size in split(columns, width):
        for first in range(start, stop, size):
            runs = _runs(_reach(axis, phase, first, size), longest)
            tile = Loop("column", first, first + size, size)
            same = found and (found[-1].runs, found[-1].width) == (runs, size)
            if same:
                tile = Loop("column", found.pop().tile.start, first + size, size)
            found.append(Strip(tile, size, phase, runs))
    return found


def _reach(axis: LastAxis, phase: int, first: int, size: int) -> list[Reach]:
    """Each tap that meets the tile."""
    found = []
    for tap in range(axis.kernel):
        shift, rest = divmod(phase + axis.pad - tap * axis.dilation, axis.stride)
        low, high = max(first, -shift), min(first + size, axis.outputs - shift)
        if rest == 0 and low < high:
            found.append((tap, low - first, high - low, low + shift - first))
    return found


def _runs(reach: list[Reach], longest: int) -> tuple[TapRun, ...]:
    """Join taps of equal width whose places advance evenly."""
    runs: list[list[Reach]] = []
    for entry in reach:
        run = runs[-1] if runs else None
        if (
            run
            and len(run) < longest
            and entry[2] == run[0][2]
            and (len(run) < 2 or _step(run[-2:]) == _step([run[-1], entry]))
        ):
            run.append(entry)
        else:
            runs.append([entry])
    result = []
    for run in runs:
        tap, target, width, source = run[0]
        steps = _step(run[:2]) if len(run) > 1 else (0, 0, 0)
        result.append(TapRun(len(run), width, tap, steps[0], target, steps[1], source, steps[2]))
    return tuple(result)


def _step(pair: list[Reach]) -> tuple[int, int, int]:
    (a, b, _, c), (d, e, _, f) = pair
    return d - a, e - b, f - c
