"""What the loops of one sample's convolutions share, as templates/single_conv.pyx.j2 reads them.

`input` is counted in floats, `packed` and the result in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.conv_window import Window
from cnnc.ops.layout import Form, Layout, Machine
from cnnc.ops.loops import Clipped, Loop, axes, chunked, split
from cnnc.ops.single import groups_of, lanes_in, plain_layout
from cnnc.ops.single_groups import Groups
from cnnc.ops.units import ENOUGH, UNITS, trip_of, trips, trips_within
from cnnc.ops.window import Geometry

if TYPE_CHECKING:
    from cnnc.ops.single_conv import SingleConv

Tiles = tuple[tuple[Loop, int], ...]

PEELED = 308
"""Multiply-adds of one kernel row and one tile that the C compiler still peels completely."""


@dataclass(frozen=True, slots=True)
class SingleForm(Form):
    """What all of them share. `x` is the input's layout in registers, or that of its plain row."""

    channels: int
    lanes: int
    bias: bool
    outer: tuple[Window, ...]
    last: Window
    plain: bool
    x: Layout
    y: Layout
    chunk: Loop
    filters: Tiles
    ranged: bool = field(default=False, kw_only=True)
    """Whether a call makes some of its units only: rows, or in one dimension tiles of columns."""
    by_filters: bool = field(default=False, kw_only=True)
    """Whether a unit is one of a tile of filters only."""
    groups: Groups | None = field(default=None, kw_only=True)
    """How groups read their own channels; `channels` are those of one."""

    TEMPLATE: ClassVar[str] = "single_conv"

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        return ("input", "packed", *bias, *(UNITS if self.ranged else ()), "result")

    def stores_once(self) -> bool:
        return not self.chunk.runs

    def divided(self) -> SingleForm:
        # Threads that have the same rows of layer after layer exchange least; but weights that are
        # larger than the rows each thread had rather read only a part of.
        weights = self.y.channels * self.channels * self.window
        few = self.each < ENOUGH or weights > self.x.size + self.y.size
        return replace(self, ranged=True, by_filters=few)

    def units(self) -> int:
        if not self.ranged:
            return 1
        return self.each * (trips(self.filters) if self.by_filters else 1)

    @property
    def each(self) -> int:
        """Units of a tile of filters."""
        return self.rows[0].trips

    @property
    def rows(self) -> tuple[Loop, ...]:
        """Loops over the result's outer axes."""
        return tuple(w.output for w in self.outer)

    @property
    def reads(self) -> tuple[Affine, ...]:
        """The outer position in the input, under the loops over rows and taps."""
        return tuple(w.read(w.output.at) for w in self.outer)

    def first_read(self, column: Affine) -> Affine:
        """Where the first value lies that a tile reads, under the loops over channels and taps."""
        return self.read_at((*self.reads, column * self.last.stride - self.last.pad))

    def rows_of(self, filters: Loop) -> tuple[Loop | Clipped, ...]:
        """The same for a tile of filters: those that a call makes."""
        if not self.ranged or not self.rows:
            return self.rows
        first, *others = self.rows
        return (trips_within(first, self.before(filters)), *others)

    def before(self, filters: Loop) -> str:
        """Units before those of a tile of filters."""
        if not self.by_filters:
            return "0"
        loops = [loop for loop, _ in self.filters]
        return trip_of(filters, trips(self.filters[: loops.index(filters)]), self.each)

    def floats(self) -> tuple[str, ...]:
        return ("packed",)

    @property
    def window(self) -> int:
        """Taps in all."""
        return prod(w.kernel for w in self.outer) * self.last.kernel

    @property
    def taps(self) -> tuple[Loop, ...]:
        """Loops over the taps of the outer axes."""
        return tuple(w.tap for w in self.outer)

    @property
    def group(self) -> Loop | Clipped:
        """Over the registers of input channels in a chunk."""
        return chunked("group", groups_of(self.channels, self.lanes), self.chunk)

    @property
    def inputs(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the input channels."""
        if self.plain or self.groups:
            return (Loop("i", 0, self.channels),)
        whole = Loop("group", 0, groups_of(self.channels, self.lanes))
        return (self.group, lanes_in("lane", whole, self.channels, self.lanes))

    @property
    def channel(self) -> Affine:
        """The input channel under these loops."""
        if self.plain or self.groups:
            return Affine.of(self.inputs[0].at)
        group, lane = self.inputs
        return group.at * self.lanes + lane.at

    def read_at(self, position: Sequence[Affine]) -> Affine:
        """Where an input value lies, in floats; of groups in registers, from the one they name."""
        if self.groups:
            start: Affine = self.x.offset(Affine(), *position)
            return start
        if self.plain:
            place: Affine = self.x.offset(self.inputs[0].at, *position)
            return place
        group, lane = self.inputs
        there: Affine = self.x.offset(group.at, *position) * self.lanes + lane.at
        return there

    @property
    def step(self) -> int:
        """From one column to the next."""
        if self.groups:
            return self.groups.step
        return 1 if self.plain else self.lanes

    @property
    def declarations(self) -> tuple[str, ...]:
        """What reads the input."""
        return self.groups.declarations if self.groups else ("cdef const float* x",)

    def setup(self, filters: Affine) -> tuple[str, ...]:
        """Lines before the loops over taps, for a tile of filters and an input channel."""
        return self.groups.setup(self.x, filters, self.channel) if self.groups else ()

    def pointers(self, filters: Affine, place: Affine) -> tuple[str, ...]:
        """Lines that point to where a tile reads."""
        if self.groups:
            source: Affine = self.groups.source(filters) * self.x.strides()[0]
            return self.groups.pointers(source + place)
        return (
            f"x = <const float*>input + {place}"
            if str(place) != "0"
            else "x = <const float*>input",
        )

    def value(self, offset: Affine) -> str:
        """What a register of weights is multiplied by, so far from there."""
        return self.groups.value(offset) if self.groups else f"x[{offset}]"

    def weight_at(self, filters: Affine, taps: Sequence[Affine | Loop | Clipped]) -> Affine:
        """Where the first column of a kernel row's registers lies."""
        kernels = [w.kernel for w in self.outer] + [self.last.kernel]
        place = (filters * self.channels + self.channel) * self.window
        for index, tap in enumerate(taps):
            at = tap if isinstance(tap, Affine) else tap.at
            place = place + at * prod(kernels[index + 1 :])
        return place

    @property
    def filter_step(self) -> int:
        """Registers of weights from one register of filters to the next."""
        return self.channels * self.window

    def first_sum(self, filters: Affine) -> str:
        """What a register's sums begin with."""
        bias = Affine.of(filters) * self.lanes
        return f"vload(bias + {bias})" if self.bias else "vzero()"

    @property
    def chunk_text(self) -> str:
        """Of the chunks, for `reason`."""
        return f", {self.chunk.step * self.lanes} channels at a time" if self.chunk.runs else ""


def windows(g: Geometry, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[Window, ...]:
    """The window along each axis."""
    each = zip(
        axes(len(g.kernel)), g.kernel, g.stride, g.dilation, g.pad, inputs, outputs, strict=True
    )
    return tuple(Window(name, k, s, d, before, n, m) for name, k, s, d, (before, _), n, m in each)


def source_of(op: SingleConv, x: Layout) -> Layout:
    """How the input lies: in registers, or as a plain row with its halo."""
    return x if op.plain is None else plain_layout((op.channels, *op.space), op.plain)


def chunk_of(op: SingleConv, groups: int, machine: Machine) -> Loop:
    """Registers of input channels whose weights, for a tile of filters, fit the nearest cache."""
    whole = groups_of(op.channels, op.lanes)
    each = groups * op.lanes * prod(op.geometry.kernel) * op.lanes * 4
    fitting = max(1, int(machine.level1 * 0.9) // each)
    step = whole if op.plain is not None or fitting >= whole else split(whole, fitting)[0][2]
    return Loop("group0", 0, whole, step)
