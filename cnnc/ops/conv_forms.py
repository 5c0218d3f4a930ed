"""Convolution's loops as templates/conv.pyx.j2 reads them: forward and data gradient, direct sums.

Plain values and the coordinates that follow from them; conv_kernels chooses the tiles. `x` is what
a convolution reads and `y` what it gives: a transposed one has them exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import ClassVar, TypeAlias

from cnnc.ops.affine import Affine
from cnnc.ops.conv_strips import Strip
from cnnc.ops.conv_window import Gathering, Window
from cnnc.ops.layout import Form, Layout
from cnnc.ops.loops import Clipped, Loop, chunked
from cnnc.ops.tally import Tally

Tiles: TypeAlias = tuple[tuple[Loop, int], ...]


def visits(*loops: Loop | Tiles) -> int:
    """How often what stands inside all these loops is done."""
    return prod(
        loop.trips if isinstance(loop, Loop) else sum(tile.trips for tile, _ in loop)
        for loop in loops
    )


@dataclass(frozen=True, slots=True)
class ConvForm(Form):
    """What all directions share. Weights are (out, in, *kernel), row-major.

    Channels are those of one group. `x_name` and `y_name` are the pointers to x and y.
    """

    in_channels: int
    out_channels: int
    groups: int
    outer: tuple[Window, ...]
    last: Window
    x: Layout
    y: Layout
    x_name: str
    y_name: str
    ahead: bool = field(default=False, kw_only=True)
    """Whether it asks for what the next strip reads, a cache line now and then."""

    TEMPLATE: ClassVar[str] = "conv"

    def fetching(self) -> Form:
        return replace(self, ahead=True)

    @property
    def asking(self) -> tuple[str, ...]:
        """What it takes for that."""
        return ("ahead",) * self.ahead

    @property
    def window(self) -> int:
        """Elements of one filter's channel."""
        return prod(w.kernel for w in self.outer) * self.last.kernel

    @property
    def group_text(self) -> str:
        """Of the groups, for `reason`."""
        return f"{self.groups} groups, " if self.groups > 1 else ""

    @property
    def group(self) -> Loop:
        """Over the groups."""
        return Loop("group", 0, self.groups)

    def in_at(self, channel: Affine | int) -> Affine:
        """A channel of x, from its place in the group."""
        return self.group.at * self.in_channels + channel

    def out_at(self, channel: Affine | int) -> Affine:
        """A channel of y, from its place in the group."""
        return self.group.at * self.out_channels + channel

    @property
    def taps(self) -> tuple[Loop, ...]:
        """Loops over the taps of the outer axes."""
        return tuple(w.tap for w in self.outer)

    @property
    def output_rows(self) -> tuple[Loop, ...]:
        """Loops over the output's outer axes."""
        return tuple(w.output for w in self.outer)

    @property
    def input_rows(self) -> tuple[Loop, ...]:
        """Loops over the input's outer axes."""
        return tuple(w.input for w in self.outer)

    def weight_at(
        self, o: Affine | int, i: Affine | int, taps: Sequence[Loop | Clipped | Affine] = ()
    ) -> Affine:
        """Where the first column of a weight's kernel row lies; `o` counts over all groups."""
        kernels = [w.kernel for w in self.outer] + [self.last.kernel]
        place = (Affine.of(o) * self.in_channels + i) * self.window
        for index, tap in enumerate(taps):
            at = tap if isinstance(tap, Affine) else tap.at
            place = place + at * prod(kernels[index + 1 :])
        return place

    @property
    def reads(self) -> tuple[Affine, ...]:
        """The outer position in x under the loops over output rows and taps."""
        return tuple(w.read(w.output.at) for w in self.outer)


@dataclass(frozen=True, slots=True)
class Summed(ConvForm):
    """A direction that sums over channels: by chunks, so that what is read again stays cached.

    The loop over chunks is outermost (`weights_first`: a chunk of the weights serves all rows), or
    innermost around the tiles of sums.
    """

    bias: bool
    chunk: Loop
    weights_first: bool
    packed: int
    """Columns that a tile reads of a row; 0 where it reads them in place."""

    tally: Tally | None = field(default=None, kw_only=True)

    def _packs(self) -> int:
        """Registers for what tiles read together."""
        return self.chunk.step * prod(w.kernel for w in self.outer) * self.packed

    def tallying(self, kept: Layout, x: Layout | None = None) -> Form:
        # Sums that wait for other channels had rather be stored in the caches first: the weights,
        # which come from the second level, are held up by what goes to memory between them.
        return self if self.chunk.runs else replace(self, tally=Tally(kept, self._packs(), x))

    def tallies(self) -> bool:
        return self.tally is not None

    def stores_once(self) -> bool:
        return not self.chunk.runs  # else it stores what the chunks so far add up to

    def scratch(self) -> int:
        return self.tally.end if self.tally else self._packs()

    def packed_at(self, channel: Affine, taps: Sequence[Loop | Clipped | Affine]) -> Affine:
        """Where a packed row begins: [channel of the chunk][taps of the outer axes][column]."""
        place = channel - self.chunk.at
        for window, tap in zip(self.outer, taps, strict=True):
            place = place * window.kernel + (tap if isinstance(tap, Affine) else tap.at)
        return place * self.packed

    def reads_from(self, name: str) -> tuple[str, ...]:
        """The pointers that the kernel reads, x or y first."""
        bias, scratch = ("bias",) if self.bias else (), ("scratch",) if self.scratch() else ()
        tally = self.tally.operands if self.tally else ()
        return (name, "weight", *bias, *scratch, *tally, *self.asking)

    @property
    def around(self) -> tuple[Loop, ...]:
        """Chunks, as the outermost loop."""
        return (self.chunk,) if self.weights_first else ()

    @property
    def within(self) -> tuple[Loop, ...]:
        """Chunks, as the loop around the tiles."""
        return () if self.weights_first else (self.chunk,)

    @property
    def chunk_text(self) -> str:
        """Of the chunks, for `reason`."""
        return f", {self.chunk.step} channels at a time" if self.chunk.runs else ""

    @property
    def tally_text(self) -> str:
        """Of the tally, for `reason`."""
        return self.tally.reason if self.tally else ""


@dataclass(frozen=True, slots=True)
class ConvForward(Summed):
    """Rows of y by tiles of columns x filters."""

    filters: Tiles
    columns: Tiles
    kernel_columns: Tiles

    MACRO: ClassVar[str] = "forward"

    def columns_read(self, width: int) -> int:
        """Columns of x that a tile of this width reads."""
        w = self.last
        return (width - 1) * w.stride + (w.kernel - 1) * w.dilation + 1

    def requests(self) -> int:
        return (
            self.groups
            * self.in_channels
            * visits(*self.output_rows, *self.taps, self.columns, self.filters)
        )

    @property
    def held(self) -> int:
        """The most registers that a tile's shorter side takes."""
        return min(self.filters[0][1], self.columns[0][1])

    @property
    def channels(self) -> Loop | Clipped:
        """Over the channels of x in a chunk."""
        return chunked("i", self.in_channels, self.chunk)

    def operands(self) -> tuple[str, ...]:
        return (*self.reads_from(self.x_name), "result")

    def reason(self) -> str:
        tile = f"tile {self.filters[0][1]}x{self.columns[0][1]} (filters x columns)"
        return f"direct, {self.group_text}{tile}{self.chunk_text}{self.tally_text}"


@dataclass(frozen=True, slots=True)
class ConvInputGrad(Summed):
    """Rows of x's gradient gather from the rows of y that read them, exactly clipped."""

    channels: Tiles
    strips: tuple[Strip, ...]
    MACRO: ClassVar[str] = "input_gradient"

    @property
    def filters(self) -> Loop | Clipped:
        """Over the channels of y in a chunk."""
        return chunked("o", self.out_channels, self.chunk)

    @property
    def widths(self) -> tuple[int, ...]:
        """The tiles' widths."""
        return tuple(strip.width for strip in self.strips)

    def requests(self) -> int:
        columns = tuple((strip.tile, strip.width) for strip in self.strips)
        taps = prod(-(-w.kernel // w.stride) for w in self.outer)
        rows = visits(*self.input_rows, columns, self.channels)
        return self.groups * self.out_channels * taps * rows

    @property
    def held(self) -> int:
        """The most registers that a tile's shorter side takes."""
        return min(self.channels[0][1], max(self.widths))

    @property
    def gather(self) -> Gathering:
        """What a row gathers from."""
        return Gathering(self.outer)

    def tallying(self, kept: Layout, x: Layout | None = None) -> Form:
        # Columns are made by phases, but statistics ask for how many come before a tile.
        if self.last.stride > 1 and x is None:
            return self
        return super(ConvInputGrad, self).tallying(kept, x)

    def operands(self) -> tuple[str, ...]:
        return (*self.reads_from(self.y_name), "result")

    def reason(self) -> str:
        tile = f"tile {self.channels[0][1]}x{max(self.widths)} (channels x columns)"
        return f"direct, {self.group_text}{tile}{self.chunk_text}{self.tally_text}"
