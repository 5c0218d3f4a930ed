"""The loops of every element-wise op, forward and backward, and of plain copies.

The formula is the op's own: its template's macros `value` and `gradient`, which are also what a
producer applies to each element before it stores it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Loop, axes
from cnnc.ops.op import Gradient, Op


@dataclass(frozen=True, slots=True)
class Elementwise(Form):
    """One loop nest; a single loop where no operand has a halo."""

    op: Op | Gradient
    reads: tuple[str, ...]
    layouts: tuple[Layout, ...]
    result: Layout
    loops: tuple[Loop, ...]

    TEMPLATE: ClassVar[str] = "elementwise"
    MACRO: ClassVar[str] = "apply"

    def operands(self) -> tuple[str, ...]:
        return (*self.reads, "result")


def elementwise(op: Op | Gradient, reads: tuple[str, ...], layouts: Layouts) -> Elementwise:
    """The form of an element-wise op that reads the named operands at each position."""
    chosen = [layouts[name] for name in reads]
    result = layouts["result"]
    if all(layout.dense for layout in layouts.values()):
        chosen, result = [layout.flat() for layout in chosen], result.flat()
    return Elementwise(op, reads, tuple(chosen), result, position_loops(result))


def position_loops(layout: Layout) -> tuple[Loop, ...]:
    """Loops over every element of a tensor, halo left out."""
    if not layout.extents:
        return (Loop("element", 0, layout.channels),)
    names = axes(len(layout.extents))
    space = (Loop(n, 0, extent) for n, extent in zip(names, layout.extents, strict=True))
    return (Loop("channel", 0, layout.channels), *space)
