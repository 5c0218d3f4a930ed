"""Parameters of one sample's layers copied to where registers of channels read them.

Made once for many calls: again only when a parameter may have changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop
from cnnc.ops.op import Op, Operands, Trait
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import groups_of, lanes_in


@dataclass(frozen=True, slots=True)
class PackedWeight(Op):
    """A convolution's weight -> [filters / lanes][channel][tap][lane], zero beyond the filters.

    Or another `parameter` that has so many floats for each of its channels. `filter_step` and
    `channel_step` are floats from one filter, or channel, to the next.
    """

    filters: int
    channels: int
    window: int
    filter_step: int
    channel_step: int
    lanes: int
    parameter: str = "weight"
    group: int = 0
    """Filters of a group, of a weight that has those of a group's channel together; 0 for others.

    Each group's channels follow on those of the one before.
    """

    NAME: ClassVar[str] = "packed_weight"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BATCH})

    @property
    def taps(self) -> int:
        """Registers of a group of filters."""
        return self.channels * self.window

    def input_names(self, count: int) -> tuple[str, ...]:
        return ()

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(self.filters, self.lanes) * self.taps * self.lanes,)

    def forward(self, operands: Operands) -> Array:
        weight = operands[self.parameter]
        rows = weight
        if self.group:
            grouped = weight.reshape(-1, self.channels, self.group, self.window)
            rows = np.swapaxes(grouped, 1, 2)
        groups = groups_of(self.filters, self.lanes)
        packed = np.zeros((groups * self.lanes, self.taps), weight.dtype)
        packed[: self.filters] = rows.reshape(self.filters, self.taps)
        turned = packed.reshape(groups, self.lanes, self.taps).transpose(0, 2, 1)
        return turned.reshape(-1)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return WeightPacking(self)


@dataclass(frozen=True, slots=True)
class WeightPacking(Form):
    """Squares of lanes x lanes floats are turned, what is left is copied float by float."""

    op: PackedWeight

    TEMPLATE: ClassVar[str] = "single"

    def writer(self) -> tuple[str, str]:
        in_rows = self.op.filter_step == self.op.taps
        return self.TEMPLATE, "pack_rows" if in_rows else "pack"

    def operands(self) -> tuple[str, ...]:
        return (self.op.parameter, "result")

    def floats(self) -> tuple[str, ...]:
        return (self.op.parameter,)

    @property
    def group(self) -> Loop:
        """Over the registers of filters."""
        return Loop("group", 0, groups_of(self.op.filters, self.op.lanes))

    @property
    def lane(self) -> Loop | Clipped:
        """Over the filters of a register."""
        return lanes_in("lane", self.group, self.op.filters, self.op.lanes)

    def weight_at(self, channel: Affine, tap: Affine) -> str:
        """Where a tap of a filter lies, in floats, under the loops over filters."""
        op, filters = self.op, self.group.at * self.op.lanes + self.lane.at
        place = filters * op.filter_step + channel * op.channel_step + tap
        more = (op.channels - 1) * op.group * op.window
        return f"({filters}) // {op.group} * {more} + {place}" if op.group and more else str(place)

    @property
    def partial(self) -> bool:
        """Whether some register has lanes without a filter."""
        return self.op.filters % self.op.lanes != 0

    @property
    def whole(self) -> Loop:
        """Over the squares of a group's rows."""
        op = self.op
        return Loop("first", 0, op.taps // op.lanes * op.lanes, op.lanes)

    @property
    def rest(self) -> Loop:
        """Over the columns that fill no square."""
        return Loop("tap", self.whole.stop, self.op.taps)
