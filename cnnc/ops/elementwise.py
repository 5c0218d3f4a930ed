"""The loops of every element-wise op, forward and backward, of plain copies, and of sums over them.

The formula is the op's own: its template's macros `value` and `gradient`, which are also what a
producer applies to each element before it stores it. What they read besides lies at the same
position, or is smaller and broadcast: an axis of extent 1, a tensor without that axis, or a
parameter (which the formula indexes itself).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Clipped, Loop, axes
from cnnc.ops.op import Gradient, Op, Trait
from cnnc.ops.shapes import Shape
from cnnc.ops.units import UNITS, shared_axis, trips_along, within


@dataclass(frozen=True, slots=True)
class Elementwise(Form):
    """One loop nest; a single loop where no operand has a halo. A parameter has no layout."""

    op: Op | Gradient
    reads: tuple[str, ...]
    layouts: tuple[Layout | None, ...]
    result: Layout
    every: tuple[Loop, ...]
    shared: int | None = None
    """Which of its loops threads share."""

    TEMPLATE: ClassVar[str] = "elementwise"
    MACRO: ClassVar[str] = "apply"

    @property
    def loops(self) -> tuple[Loop | Clipped, ...]:
        """Over the elements that a call makes."""
        return within(self.every, self.shared)

    def operands(self) -> tuple[str, ...]:
        return (*self.reads, *(UNITS if self.shared is not None else ()), "result")

    def divided(self) -> Elementwise:
        return replace(self, shared=shared_axis(self.every))

    def units(self) -> int:
        return trips_along(self.every, self.shared)

    def floats(self) -> tuple[str, ...]:
        return _parameters(self.reads, self.layouts)

    def in_place(self) -> tuple[str, ...]:
        return self.reads

    def stores_once(self) -> bool:
        return True

    def flat(self) -> Elementwise:
        if self.shared is not None or not in_a_row((self.op,), self.layouts, self.result):
            return self
        row = self.result.flat()
        layouts = tuple(row for _ in self.layouts)
        return Elementwise(self.op, self.reads, layouts, row, position_loops(row))


@dataclass(frozen=True, slots=True)
class ElementwiseSum(Form):
    """A formula summed over the axes that are not `kept`.

    `result` None is a parameter's gradient, which is summed over the lanes too.
    """

    op: Gradient
    reads: tuple[str, ...]
    layouts: tuple[Layout | None, ...]
    result: Layout | None
    loops: tuple[Loop, ...]
    kept: tuple[bool, ...]

    TEMPLATE: ClassVar[str] = "elementwise"
    MACRO: ClassVar[str] = "total"

    def operands(self) -> tuple[str, ...]:
        return (*self.reads, "result")

    def floats(self) -> tuple[str, ...]:
        return _parameters(self.reads, self.layouts)

    @property
    def outer(self) -> tuple[Loop, ...]:
        """Over the result's elements."""
        return tuple(loop for loop, kept in zip(self.loops, self.kept, strict=True) if kept)

    @property
    def inner(self) -> tuple[Loop, ...]:
        """Over what is summed."""
        return tuple(loop for loop, kept in zip(self.loops, self.kept, strict=True) if not kept)

    @property
    def at(self) -> tuple[Affine, ...]:
        """Coordinates of the result's element."""
        count = 1 if self.result is None else 1 + len(self.result.extents)
        pairs = zip(self.loops, self.kept, strict=True)
        return tuple(loop.at if kept else Affine() for loop, kept in pairs)[:count]


def elementwise(op: Op | Gradient, reads: tuple[str, ...], layouts: Layouts) -> Elementwise:
    """The form of an element-wise op that reads the named operands at each position.

    An operand without a layout is a parameter: its pointer is handed to the formula.
    """
    result = layouts["result"]
    chosen = tuple(layouts.get(name) for name in reads)
    return Elementwise(op, reads, chosen, result, position_loops(result))


def broadcast_sum(op: Gradient, reads: tuple[str, ...], layouts: Layouts) -> ElementwiseSum:
    """The gradient by an operand that is broadcast: the formula, summed.

    That is over the axes that the operand has not, or of which it has one element. The first
    operand read has the whole shape.
    """
    whole, result = layouts[reads[0]], layouts["result"]
    extents = result.extents or (1,) * len(whole.extents)
    kept = (result.channels == whole.channels, *(n > 1 for n in extents))
    chosen = tuple(layouts.get(name) for name in reads)
    return ElementwiseSum(op, reads, chosen, result, position_loops(whole), kept)


def parameter_sum(
    op: Gradient, reads: tuple[str, ...], layouts: Layouts, *, by_channel: bool
) -> ElementwiseSum:
    """The gradient by a parameter of one float a channel, or of one in all: the formula, summed.

    That is over space, samples and, for the latter, channels.
    """
    whole = layouts[reads[0]]
    kept = (by_channel, *(False for _ in whole.extents))
    chosen = tuple(layouts.get(name) for name in reads)
    return ElementwiseSum(op, reads, chosen, None, position_loops(whole), kept)


def reads_besides(op: Op | Gradient, shape: Shape) -> tuple[str, ...]:
    """What an element-wise op of a shape reads besides its first operand, as its formula does."""
    if isinstance(op, Gradient):
        return op.of.gradient_reads(op.wrt)
    count = op.inputs_read
    parameters = (p.name for p in op.parameters((shape,) * count))
    return (*op.input_names(count)[1:], *parameters)


def in_a_row(
    ops: Iterable[Op | Gradient], layouts: Sequence[Layout | None], result: Layout | None
) -> bool:
    """Whether ops may run along one row: nothing has a halo, is broadcast or asks for its place."""
    if result is None or any(is_placed(op) for op in ops):
        return False
    return result.dense and all(
        layout is not None and layout.dense and layout.size == result.size for layout in layouts
    )


def is_placed(op: Op | Gradient) -> bool:
    """Whether a formula reads the channel or the element's index."""
    of = op.of if isinstance(op, Gradient) else op
    return Trait.PLACED in of.TRAITS


def broadcast_offset(layout: Layout, at: Sequence[Affine]) -> Affine:
    """Where a position of a result lies in a tensor that has its shape or is broadcast."""
    if len(at) == 1 and layout.extents:
        layout = layout.flat()
    channel = Affine() if layout.channels == 1 else at[0]
    place = (
        Affine() if extent == 1 else coordinate
        for extent, coordinate in zip(layout.extents, at[1:], strict=False)
    )
    offset: Affine = layout.offset(channel, *place)
    return offset


def position_loops(layout: Layout) -> tuple[Loop, ...]:
    """Loops over every element of a tensor, halo left out."""
    if not layout.extents:
        return (Loop("element", 0, layout.channels),)
    names = axes(len(layout.extents))
    space = (Loop(n, 0, extent) for n, extent in zip(names, layout.extents, strict=True))
    return (Loop("channel", 0, layout.channels), *space)


def _parameters(reads: tuple[str, ...], layouts: tuple[Layout | None, ...]) -> tuple[str, ...]:
    return tuple(name for name, layout in zip(reads, layouts, strict=True) if layout is None)
