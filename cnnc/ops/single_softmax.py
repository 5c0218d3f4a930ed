"""softmax and log_softmax of one sample: channels in lanes, a position after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape
from cnnc.ops.units import UNITS, trips_within


@dataclass(frozen=True, slots=True)
class SingleSoftmax(Op):
    """softmax, or its logarithm, over so many channels; a row of features is one position."""

    channels: int
    log: bool
    lanes: int

    NAME: ClassVar[str] = "single_softmax"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        source, result = layouts["input"], layouts["result"]
        return LanesSoftmax(self.channels, self.log, source, result, self.lanes)


@dataclass(frozen=True, slots=True)
class LanesSoftmax(Form):
    """Several passes over the registers of a position; lanes without a channel count nothing."""

    channels: int
    log: bool
    source: Layout
    result: Layout
    lanes: int
    ranged: bool = False
    """Whether a call makes some rows only."""

    TEMPLATE: ClassVar[str] = "single_softmax"

    def writer(self) -> tuple[str, str]:
        return self.TEMPLATE, "logarithm" if self.log else "forward"

    def operands(self) -> tuple[str, ...]:
        return ("input", *(UNITS if self.ranged else ()), "result")

    def divided(self) -> LanesSoftmax:
        return replace(self, ranged=self.result.extents[:1] > (1,))

    def units(self) -> int:
        return self.result.extents[0] if self.ranged else 1

    @property
    def space(self) -> tuple[Loop | Clipped, ...]:
        """Over the positions."""
        space = position_loops(self.result)[1:] if self.result.extents else ()
        return (trips_within(space[0], "0"), *space[1:]) if self.ranged else space

    @property
    def registers(self) -> tuple[tuple[Loop, int], ...]:
        """(loop over registers, channels in each): whole ones, and the last if it is none."""
        whole, rest = divmod(self.channels, self.lanes)
        each = ((Loop("channel", 0, whole), self.lanes), (Loop("channel", whole, whole + 1), rest))
        return tuple((loop, count) for loop, count in each if loop.trips and count)

    def reason(self) -> str:
        return "one sample, channels in lanes, a position after the other"
