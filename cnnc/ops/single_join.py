"""Channels of one sample's tensors put one after the other, wherever in a register they lie.

concat and slice with lanes along the channels: a register of the result is put together from
neighbours in one tensor, and where one tensor ends from the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape
from cnnc.ops.single import groups_of
from cnnc.ops.units import UNITS, trips_within


@dataclass(frozen=True, slots=True)
class SingleJoin(Op):
    """Of each input so many channels from one on: `parts` has (first, count) of each."""

    parts: tuple[tuple[int, int], ...]
    lanes: int

    NAME: ClassVar[str] = "single_join"
    INPUTS: ClassVar[int | None] = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(sum(count for _, count in self.parts), self.lanes), *inputs[0][1:])

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input",) if count == 1 else tuple(f"input{i}" for i in range(count))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        names = self.input_names(len(self.parts))
        sources = tuple((name, layouts[name]) for name in names)
        return JoinedLanes(sources, self.parts, layouts["result"], self.lanes)


@dataclass(frozen=True, slots=True)
class Piece:
    """Where some lanes of a register come from.

    The first of them is lane `shift` of a register of input `source`, `ahead` of the result's by
    number; with `two`, some are in the next one. They begin with the result's lane `lane`.
    """

    source: int
    ahead: int
    shift: int
    two: bool
    lane: int


@dataclass(frozen=True, slots=True)
class JoinedLanes(Form):
    """Registers of the result that are put together alike in one loop, over all positions."""

    sources: tuple[tuple[str, Layout], ...]
    parts: tuple[tuple[int, int], ...]
    result: Layout
    lanes: int
    ranged: bool = False
    """Whether a call makes some rows only."""

    TEMPLATE: ClassVar[str] = "single_join"
    MACRO: ClassVar[str] = "join"

    def operands(self) -> tuple[str, ...]:
        names = tuple(name for name, _ in self.sources)
        return (*names, *(UNITS if self.ranged else ()), "result")

    def divided(self) -> JoinedLanes:
        return replace(self, ranged=bool(self.space) and self.space[0].trips > 1)

    def units(self) -> int:
        return self.space[0].trips if self.ranged else 1

    @property
    def space(self) -> tuple[Loop, ...]:
        """Over the positions."""
        return position_loops(self.result)[1:] if self.result.extents else ()

    @property
    def positions(self) -> tuple[Loop | Clipped, ...]:
        """Over those that a call makes."""
        if not self.ranged:
            return self.space
        return (trips_within(self.space[0], "0"), *self.space[1:])

    @property
    def runs(self) -> tuple[tuple[Loop, tuple[Piece, ...]], ...]:
        """(loop over the result's registers, what each is put together of)."""
        found: list[tuple[Loop, tuple[Piece, ...]]] = []
        for register in range(self.result.channels):
            pieces = self._pieces(register)
            if found and found[-1][1] == pieces:
                found[-1] = (replace(found[-1][0], stop=register + 1), pieces)
            else:
                found.append((Loop("channel", register, register + 1), pieces))
        return tuple(found)

    def _pieces(self, register: int) -> tuple[Piece, ...]:
        low, high = register * self.lanes, (register + 1) * self.lanes
        found = []
        ends = list(accumulate(count for _, count in self.parts))
        for index, ((first, count), end) in enumerate(zip(self.parts, ends, strict=True)):
            start, stop = max(low, end - count), min(high, end)
            if start < stop:
                place, shift = divmod(first + start - (end - count), self.lanes)
                two = shift + stop - start > self.lanes
                found.append(Piece(index, place - register, shift, two, start - low))
        return tuple(found)

    def value(self, pieces: Sequence[Piece], at: tuple[Affine, ...]) -> str:
        """A register of the result, at (register, *position)."""
        text = ""
        for piece in pieces:
            name, layout = self.sources[piece.source]
            number = at[0] + piece.ahead
            here, there = (
                f"{name}[{layout.offset(n, *at[1:])}]" for n in (number, number + int(piece.two))
            )
            part = f"vshifted({here}, {there}, {piece.shift})" if piece.shift else here
            text = f"vjoined({text}, {part}, {piece.lane})" if piece.lane else part
        return text

    def reason(self) -> str:
        return "one sample, registers put together from neighbours"
