"""The loops of global pooling: one value a channel, several channels at a time.

One sum alone would wait for itself: tiles of channels keep the adders busy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Clipped, Loop, tile_loops
from cnnc.ops.op import Example, Op
from cnnc.ops.shapes import Shape
from cnnc.ops.units import UNITS, tiles_within, trips
from cnnc.ops.window import spatial

_TILE = 4


@dataclass(frozen=True, slots=True)
class GlobalPool(Form):
    """Either direction, with the layouts of input, `y` (output or its gradient) and output."""

    template: str
    macro: str
    names: tuple[str, ...]
    every: tuple[tuple[Loop, int], ...]
    space: tuple[Loop, ...]
    x: Layout
    y: Layout
    output: Layout
    result: Layout
    count: int
    ranged: bool = False
    """Whether a call makes some tiles of channels only."""

    @property
    def channels(self) -> tuple[tuple[Loop | Clipped, int], ...]:
        """Over the tiles that a call makes, with their channels."""
        return tiles_within(self.every, "0") if self.ranged else self.every

    def divided(self) -> GlobalPool:
        return replace(self, ranged=trips(self.every) > 1)

    def units(self) -> int:
        return trips(self.every) if self.ranged else 1

    @property
    def channel(self) -> Loop:
        """Over all channels."""
        return Loop("channel", 0, self.x.channels)

    def place(self, channel: Affine) -> tuple[Affine, ...]:
        """The output's coordinates of a channel."""
        return (channel, *(Affine() for _ in self.y.extents))

    def in_place(self) -> tuple[str, ...]:
        return ("input",) if self.macro == "input_gradient" else ()

    def stores_once(self) -> bool:
        return True

    def writer(self) -> tuple[str, str]:
        return self.template, self.macro

    def operands(self) -> tuple[str, ...]:
        return (*self.names, *(UNITS if self.ranged else ()), "result")


def global_shape(shape: Shape, layer: str, keep: bool) -> Shape:
    """(c), or (c, 1, ...) with `keep`; OpError for a flat input."""
    space = spatial(shape, layer)
    return (shape[0], *(1 for _ in space)) if keep else (shape[0],)


def global_pool(
    template: str, wrt: str | None, reads: tuple[str, ...], layouts: Layouts
) -> GlobalPool:
    """The form of either direction."""
    result = layouts["result"]
    x = layouts.get("input", result)
    y = layouts["output_grad"] if wrt else result
    macro = "input_gradient" if wrt else "forward"
    space = position_loops(x)[1:]
    tiles = tile_loops("channel", x.channels, _TILE)
    output, count = layouts.get("output", y), prod(x.extents)
    return GlobalPool(template, macro, reads, tiles, space, x, y, output, result, count)


def global_examples(kept: Op, flat: Op) -> tuple[Example, ...]:
    """Images, one channel, odd channels, signals and volumes."""
    return (
        Example(flat, ((17, 5, 7),)),
        Example(kept, ((3, 4, 4),)),
        Example(flat, ((1, 9),)),
        Example(kept, ((2, 3, 2, 5),)),
    )
