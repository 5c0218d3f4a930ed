"""The loops of losses: over every element of an output, its sum taken line by line.

A float32 sum of very many values loses digits; a sum of sums of at most 256 does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Layout
from cnnc.ops.loops import Clipped, Loop

_LINE = 256
"""Elements that are added up before their sum is added to the total."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Loops over elements; those of `inner` make a line, `at` are an element's coordinates."""

    outer: tuple[Loop, ...]
    inner: Loop | Clipped
    at: tuple[Affine, ...]


def row_lines(variable: str, extent: int) -> Lines:
    """Over one row of `extent` elements; coordinates are (element)."""
    if extent <= _LINE:
        return every((Loop(variable, 0, extent),))
    high = f"start + {_LINE}"
    inner = Clipped(variable, "start", f"min({high}, {extent})" if extent % _LINE else high)
    return Lines((Loop("start", 0, extent, _LINE),), inner, (inner.at,))


def position_lines(layout: Layout) -> Lines:
    """Over every element of a tensor, halo left out; coordinates are (channel, *position)."""
    loops = position_loops(layout)
    return every(loops) if layout.extents else row_lines("element", layout.channels)


def every(loops: tuple[Loop, ...]) -> Lines:
    """Over every element under the loops, the innermost a line, however long."""
    return Lines(loops[:-1], loops[-1], tuple(loop.at for loop in loops))


__all__ = ["Lines", "every", "position_lines", "row_lines"]
