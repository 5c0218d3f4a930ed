"""Loops over channels: a block's part of a sum over the batch, and what becomes of the parts.

They are written once for any number of channels: what differs from call to call is passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Loop


@dataclass(frozen=True, slots=True)
class ChannelParts(Form):
    """A block's share of a reduction over the batch: two numbers a channel.

    Without halos (`layouts` is empty) channels and space are arguments, else they are constants.
    `moves`: the first operand is passing through the cache, and is stored on the way in the memory
    that keeps it, whose layout is the last; past the caches if the number `beyond` is not 0.
    """

    macro: str
    reads: tuple[str, ...]
    layouts: tuple[Layout, ...] = ()
    moves: bool = False

    TEMPLATE: ClassVar[str] = "batchnorm"
    RUNS: ClassVar[int] = 4
    """Sums that are made side by side: an addition takes as many cycles."""

    def writer(self) -> tuple[str, str]:
        return self.TEMPLATE, f"{self.macro}_part"

    def operands(self) -> tuple[str, ...]:
        sizes = () if self.layouts else ("channels", "space")
        moved = ("beyond", "moved") if self.moves else ()
        return (*self.reads, "samples", *sizes, *moved, "result")

    def floats(self) -> tuple[str, ...]:
        return tuple(name for name in self.reads if name == "statistics")

    @property
    def channels(self) -> int:
        """How many there are, where that is a constant."""
        return self.layouts[0].channels

    @property
    def space(self) -> tuple[Loop, ...]:
        """The loops over a channel, where their extents are constants."""
        return position_loops(self.layouts[0])[1:]

    @property
    def positions(self) -> int:
        """Elements of a channel, where that is a constant."""
        return prod(self.layouts[0].extents)

    @property
    def columns(self) -> Loop:
        """Over the last axis, several elements at a time; what is left comes after."""
        last = self.space[-1]
        return Loop(last.variable, 0, last.stop - last.stop % self.RUNS, self.RUNS)

    @property
    def rest(self) -> Loop:
        """Over what is left of the last axis."""
        return Loop(self.columns.variable, self.columns.stop, self.space[-1].stop)

    def offset(self, operand: int, column: Affine | int) -> Affine:
        """Where an operand's element lies, under the loops over the other axes."""
        rows = (loop.at for loop in self.space[:-1])
        at: Affine = self.layouts[operand].offset(Affine.of("channel"), *rows, column)
        return at


def parts(macro: str, reads: tuple[str, ...], layouts: Layouts) -> ChannelParts:
    """The form for operands of these layouts."""
    tensors = [layouts[name] for name in reads if name in ("input", "output_grad")]
    moves = "moved" in layouts
    if moves:
        tensors.append(layouts["moved"])
    if all(layout.dense for layout in tensors):
        return ChannelParts(macro, reads, (), moves)
    return ChannelParts(macro, reads, tuple(tensors), moves)


_FINISH = ("parts", "stride", "blocks", "strips", "samples", "channels", "space")


@dataclass(frozen=True, slots=True)
class FinishParts(Form):
    """The parts of all blocks become one result, added in their order.

    A block's part may be cut into `strips` of `space` positions each, one behind the other.
    """

    macro: str
    reads: tuple[str, ...]
    momentum: float = 0.0

    TEMPLATE: ClassVar[str] = "batchnorm"

    def writer(self) -> tuple[str, str]:
        return self.TEMPLATE, f"finish_{self.macro}"

    def operands(self) -> tuple[str, ...]:
        update = ("update",) if self.reads else ()
        return (*_FINISH, *update, *self.reads, "result")


@dataclass(frozen=True, slots=True)
class ChannelNumbers(Form):
    """A few numbers a channel from a few others, once a batch."""

    macro: str
    reads: tuple[str, ...]
    eps: float

    TEMPLATE: ClassVar[str] = "batchnorm"

    def writer(self) -> tuple[str, str]:
        return self.TEMPLATE, self.macro

    def operands(self) -> tuple[str, ...]:
        return (*self.reads, "channels", "result")

    def floats(self) -> tuple[str, ...]:
        return self.reads
