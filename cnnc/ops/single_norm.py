"""groupnorm and layernorm of one sample: channels in lanes.

Sums over space are registers; what a group's channels add up to is made lane by lane, whichever
registers they lie in. The variance is the mean of centred squares, as in a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Loop, tile_loops
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape
from cnnc.ops.single import Single
from cnnc.ops.single_packing import PackedWeight

_SUMS = 4
"""Sums at once: one alone would wait for itself."""


@dataclass(frozen=True, slots=True)
class SingleNorm(Op):
    """(x - mean) / sqrt(variance + eps) over groups of channels, times weight, plus bias.

    With `each` these have a value an element, packed into lanes; without, one a channel.
    """

    channels: int
    groups: int
    eps: float
    affine: bool
    each: bool
    lanes: int

    NAME: ClassVar[str] = "single_norm"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input", "weight", "bias")[:count]

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return LanesNorm(self, layouts["input"], layouts["result"])


@dataclass(frozen=True, slots=True)
class LanesNorm(Form):
    """Three passes over the registers: sums, centred squares, results."""

    op: SingleNorm
    x: Layout
    result: Layout

    TEMPLATE: ClassVar[str] = "single_norm"
    MACRO: ClassVar[str] = "forward"

    def operands(self) -> tuple[str, ...]:
        weights = ("weight", "bias") if self.op.affine else ()
        return ("input", *weights, "scratch", "result")

    def floats(self) -> tuple[str, ...]:
        return ("weight", "bias") if self.op.affine else ()

    def scratch(self) -> int:
        # A mean and a rate for each channel.
        return 2 * self.x.channels

    @property
    def register(self) -> Loop:
        """Over the registers of channels."""
        return Loop("channel", 0, self.x.channels)

    @property
    def group(self) -> Loop:
        """Over the groups."""
        return Loop("group", 0, self.op.groups)

    @property
    def member(self) -> Loop:
        """Over a group's channels."""
        return Loop("c", 0, self.op.channels // self.op.groups)

    @property
    def members(self) -> Affine:
        """Where a channel's float lies, under the loops over groups and their channels."""
        return self.group.at * (self.op.channels // self.op.groups) + self.member.at

    @property
    def count(self) -> int:
        """Elements of a group."""
        return self.op.channels // self.op.groups * prod(self.x.extents)

    @property
    def space(self) -> tuple[Loop, ...]:
        """Over positions."""
        return position_loops(self.x)[1:] if self.x.extents else ()

    @property
    def rows(self) -> tuple[Loop, ...]:
        """Over all axes of space but the last."""
        return self.space[:-1]

    @property
    def columns(self) -> tuple[tuple[Loop, int], ...]:
        """Over the last one, a few at once."""
        return tile_loops("column", self.space[-1].stop if self.space else 1, _SUMS)

    def read(self, column: Affine) -> Affine:
        """Where an element lies in the input, under the loops over registers and rows."""
        place = (*(loop.at for loop in self.rows), column) if self.space else ()
        found: Affine = self.x.offset(self.register.at, *place)
        return found

    @property
    def weight_at(self) -> Affine:
        """Where an element's weight lies, in floats."""
        if not self.op.each:
            return self.register.at * self.op.lanes
        at = (loop.at for loop in self.space)
        found: Affine = Layout(self.x.channels, self.x.extents).offset(self.register.at, *at)
        return found * self.op.lanes

    def reason(self) -> str:
        groups = self.op.groups
        return f"one sample, {groups} group{'s' * (groups > 1)} of {self.count} elements"


def single_norm(
    shape: Shape, groups: int, eps: float, *, affine: bool, each: bool, lanes: int
) -> Single:
    """For groupnorm, and with `each` for layernorm, whose weights are packed."""
    op = SingleNorm(shape[0], groups, eps, affine, each and len(shape) > 1, lanes)
    if not (affine and op.each):
        return Single(op)
    space = prod(shape[1:])
    weight, bias = (
        PackedWeight(shape[0], 1, space, space, space, lanes, name) for name in ("weight", "bias")
    )
    return Single(op, packed=weight, packed_bias=bias)
