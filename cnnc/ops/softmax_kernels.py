"""The loops of softmax and of its logarithm: over the channels at each position of space."""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Loop


@dataclass(frozen=True, slots=True)
class Channels(Form):
    """At each position several passes over the channels; a flat tensor is one position."""

    template: str
    macro: str
    reads: tuple[str, ...]
    layouts: tuple[Layout, ...]
    result: Layout

    def writer(self) -> tuple[str, str]:
        return self.template, self.macro

    def operands(self) -> tuple[str, ...]:
        return (*self.reads, "result")

    def in_place(self) -> tuple[str, ...]:
        return self.reads  # no position is read for another, and each is stored in the last passes

    @property
    def channel(self) -> Loop:
        """Over the channels."""
        return position_loops(self.result)[0]

    @property
    def space(self) -> tuple[Loop, ...]:
        """Over the positions."""
        return position_loops(self.result)[1:]


def over_channels(op: str, wrt: str | None, layouts: Layouts) -> Channels:
    """The form of either direction; the gradient reads the output."""
    reads = ("input",) if wrt is None else ("output_grad", "output")
    macro = "forward" if wrt is None else f"{wrt}_gradient"
    return Channels(op, macro, reads, tuple(layouts[r] for r in reads), layouts["result"])
