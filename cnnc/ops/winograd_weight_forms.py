"""Winograd's loops as templates/winograd.pyx.j2 reads them: the gradient by the weights.

F(3x3, 2x2): with the forward's matrices A, B and G it is G' ((B' x B) * (A dy A')) G, summed over
tiles and samples (Lavin and Gray 2016, section 3.3, with the roles of window and output exchanged).
Plain values and coordinates; winograd_kernels chooses the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form
from cnnc.ops.loops import Clipped, Loop, chunked
from cnnc.ops.toom_cook import Filtering, Matrix
from cnnc.ops.winograd import TAPS, transposed
from cnnc.ops.winograd_strips import Seen, Strip


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two factors: a tensor whose tiles are transformed, `width` channels together.

    Transformed it lies as [point of a row][channels of a register tile][tile][channel], of the
    channels of one trip of `group`.
    """

    seen: Seen
    matrix: Matrix
    """What each row of points takes of a tile's rows: the first it has once, one more or less."""
    channel: str
    width: int
    tiles: int
    at: int
    """Where it begins in the scratch memory."""
    group: Loop

    @property
    def channels(self) -> Loop:
        """Over its channels."""
        return Loop(self.channel, 0, self.seen.layout.channels)

    @property
    def in_group(self) -> Loop | Clipped:
        """Over those of a group."""
        return chunked(self.channel, self.channels.stop, self.group)

    @property
    def place(self) -> str:
        """Where a channel's first transformed element lies, behind `at`."""
        number = self.channels.at - self.group.at
        text = f"({number})" if self.group.runs else f"{number}"
        return f"{text} // {self.width} * {self.width * self.tiles} + {text} % {self.width}"

    @property
    def panels(self) -> Loop:
        """Over its register tiles, by the first channel."""
        return Loop(f"{self.channel}0", 0, self.channels.stop, self.width)

    @property
    def apart(self) -> int:
        """Elements from one point to the next: no power of two."""
        channels = min(self.panels.trips * self.width, self.group.step)
        return channels * self.tiles + 1

    def clips(self, axis: int, strip: Strip) -> bool:
        """Whether some tile reaches beyond the memory along an axis."""
        return self.seen.clips(axis, strip.tiles[axis])

    def rows_of(self, point: int) -> tuple[int, int, int]:
        """(first row, second row, sign of the second); a row beyond the tile is one of zeros."""
        zeros = self.seen.size
        taken = [(row, int(c)) for row, c in enumerate(self.matrix[point]) if c]
        taken.sort(key=lambda pair: -pair[1])
        if len(taken) == 1:
            ((row, sign),) = taken
            return (row, zeros, 1) if sign > 0 else (zeros, row, -1)
        (first, _), (second, sign) = taken
        return first, second, sign


@dataclass(frozen=True, slots=True)
class WinogradWeightGrad(Form):
    """Strips of tiles; for each, one row of points after the other: both factors, their products.

    Channels of x go by groups, whose part stays in the first-level cache while the filters pass by;
    all of y's is in the second. A register tile holds filters x channels sums over the tiles of a
    strip, in lanes. Their sums over the lanes are added up in scratch memory, and turned to windows
    at the end.
    """

    transforms: Filtering
    lanes: int
    y: Half
    x: Half
    strip: Strip
    sums_at: int
    """Where the sums begin in the scratch memory, in its elements."""
    bias: bool = False
    """Whether y is added up, too, as the bias's gradient."""

    TEMPLATE: ClassVar[str] = "winograd"
    MACRO: ClassVar[str] = "weight_gradient"
    ALGORITHM: ClassVar[str] = "winograd"

    @property
    def points(self) -> int:
        """Along an axis."""
        return self.transforms.points

    @property
    def sum_point(self) -> int:
        """The point of y, along either axis, that is the sum of a tile's elements."""
        return self.y.matrix.index((1.0,) * len(self.y.matrix[0]))

    @property
    def zeros(self) -> int:
        """Elements of the row of zeros at the start of the scratch memory."""
        return max(self.y.seen.width, self.x.seen.width)

    @property
    def slot(self) -> int:
        """Floats of a register tile's sums: whole registers."""
        return -(-self.y.width * self.x.width // self.lanes) * self.lanes

    @property
    def sums_apart(self) -> int:
        """Floats from one point to the next."""
        return self.y.panels.trips * self.x.panels.trips * self.slot

    @property
    def sums(self) -> int:
        """Registers of all sums."""
        return self.points**2 * self.sums_apart // self.lanes

    def scratch(self) -> int:
        return self.sums_at + self.sums

    @property
    def adds(self) -> bool:
        """Whether there are several strips, whose sums are added up."""
        return any(loop.runs for loop in self.strip.around)

    @property
    def in_group(self) -> Loop | Clipped:
        """Over the register tiles of a group, by the first channel."""
        stop = self.x.panels.trips * self.x.width
        inner = chunked("i0", stop, self.x.group)
        if isinstance(inner, Clipped):
            return Clipped("i0", inner.low, f"{inner.high}, {self.x.width}")
        return Loop("i0", 0, stop, self.x.width)

    @property
    def count(self) -> str:
        """Tiles of a strip; the last one may have fewer."""
        strip, (rows, columns) = self.strip, self.strip.around
        if strip.tiles[0] % strip.rows == 0 and strip.tiles[1] % strip.columns == 0:
            return f"{strip.count}"
        if strip.rows > 1:
            return f"min({strip.rows}, {strip.tiles[0] - rows.at}) * {strip.columns}"
        return f"min({strip.columns}, {strip.tiles[1] - columns.at})"

    def sums_of(self, point: Affine, y: Affine, x: Affine) -> str:
        """Where a register tile's sums begin: its first filter and channel."""
        of_y = _product(y, self.y.width, self.x.panels.trips * self.slot)
        return f"{point * self.sums_apart}{of_y}{_product(x, self.x.width, self.slot)}"

    def window(self) -> Matrix:
        """What makes the window's elements of the points along an axis."""
        return transposed(self.transforms.weights)

    def point_column(self, column: Affine) -> list[str]:
        """The sums of a column of points."""
        rows = range(self.points)
        return [f"s[{(column + row * self.points) * self.sums_apart}]" for row in rows]

    def weight_at(self, tap: Affine) -> Affine:
        """An element of a window in the gradient."""
        return self.y.channels.at * (self.x.channels.stop * TAPS**2) + (
            self.x.channels.at * TAPS**2 + tap
        )

    def with_bias(self) -> WinogradWeightGrad:
        return replace(self, bias=True)

    def makes_bias(self) -> bool:
        return self.bias

    @property
    def more(self) -> str:
        """Whether a sum is added to what `bias_result` holds."""
        later = [f"{loop.at} > 0" for loop in self.strip.around if loop.runs]
        return " or ".join(["accumulate", *later])

    def operands(self) -> tuple[str, ...]:
        bias = ("bias_result",) if self.bias else ()
        return (self.y.seen.name, self.x.seen.name, "scratch", *bias, "result")

    def reason(self) -> str:
        strip = f"{self.strip.rows}x{self.strip.columns} tiles at a time"
        tile = f"{self.y.width}x{self.x.width}"
        bias = ", adds up the bias's gradient" if self.bias else ""
        return f"Winograd F(3x3, 2x2), tile {tile} (filters x channels), {strip}{bias}"


def _product(first: Affine, step: int, factor: int) -> str:
    """` + first / step * factor` for a number that the step divides."""
    common = factor // step
    if factor % step == 0:
        return f" + {first * common}" if str(first) != "0" else ""
    return f" + {first} // {step} * {factor}" if str(first) != "0" else ""
