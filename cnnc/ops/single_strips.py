"""What the minimal filterings of one sample share: strips of tiles, and a product a point.

Weights are transformed once for many calls. Counts registers; knows no transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cnnc.ops.layout import Form, Layout, Machine
from cnnc.ops.loops import Clipped, Loop, register_tile, split, tile_loops
from cnnc.ops.single import groups_of, lanes_in
from cnnc.ops.units import ENOUGH, UNITS, tiles_within, trip_of, trips, turns_within
from cnnc.ops.winograd_strips import Strip

WEIGHTS_WITHIN, WEIGHTS_BEYOND = 32, 8
"""Bytes of weights that are read in a cycle, in their order: where they stay in the second-level
cache with those of other layers, and where they are too many for that."""


@dataclass(frozen=True, slots=True)
class WeightTransform(Form):
    """A weight's transform: registers of filters, zero beyond them."""

    filters: int
    channels: int
    lanes: int

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


@dataclass(frozen=True, slots=True)
class SingleStrips(Form):
    """A strip of tiles after the other: transformed, multiplied by points, and turned back."""

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

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        units = UNITS if self.ranged else ()
        return ("input", "packed", *bias, "scratch", *units, "result")

    def floats(self) -> tuple[str, ...]:
        return ("packed",)

    def stores_once(self) -> bool:
        return True

    def over(self, strip: Strip) -> Form:
        """The same over other strips, a part of whose units is a call."""
        turns = -(-ENOUGH // strip.around[self.shared].trips)
        most = max(1, self.y.channels // turns)
        width, groups = register_tile(strip.count, most, self.registers)
        filters = tile_loops("o0", self.y.channels, groups)
        return replace(self, strip=strip, width=width, filters=filters, ranged=True)

    def units(self) -> int:
        return self.strip.around[self.shared].trips * self.turns if self.ranged else 1

    @property
    def shared(self) -> int:
        """The axis along which units follow one another."""
        return 0

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
        if columns.runs and columns.stop % columns.step and self.strip.rows == 1:
            left = f"min({columns.step}, {columns.stop - columns.at})"
            return Clipped("tile0", "0", f"{left}, {self.width}")
        return Loop("tile0", 0, self.tiles_up, self.width)


def strip_of(
    tiles: tuple[int, int], values: int, bounds: tuple[int, int], machine: Machine
) -> Strip:
    """Of tiles that have so many registers of transformed values each.

    These share the second-level cache with the weights; `bounds` are the fewest and the most tiles.
    """
    rows, columns = tiles
    room = machine.level2 // 2 // (values * machine.lanes * 4)
    fewest, most = bounds
    most = max(fewest, min(most, room))
    across = split(columns, most)[0][2]
    down = split(rows, max(1, most // across))[0][2]
    return Strip(tiles, down, across)
