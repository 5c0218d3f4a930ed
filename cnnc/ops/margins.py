"""Copies between a tensor and a part of it: what zero_pad, crop and slice do, both ways."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Clipped, Loop
from cnnc.ops.units import UNITS, shared_axis, trips_along, within

First = tuple[int, ...]
"""Where the part begins in the whole: (channel, *position)."""


@dataclass(frozen=True, slots=True)
class Narrow(Form):
    """The part, from the whole."""

    read: str
    source: Layout
    result: Layout
    first: First
    every: tuple[Loop, ...]
    shared: int | None = None
    """Which of its loops threads share."""

    TEMPLATE: ClassVar[str] = "margins"
    MACRO: ClassVar[str] = "narrow"

    @property
    def loops(self) -> tuple[Loop | Clipped, ...]:
        """Over the elements that a call copies."""
        return within(self.every, self.shared)

    def divided(self) -> Narrow:
        return replace(self, shared=shared_axis(self.every))

    def units(self) -> int:
        return trips_along(self.every, self.shared)

    def moved(self, at: tuple[Affine, ...]) -> tuple[Affine, ...]:
        """Coordinates in the whole, from those in the part."""
        return _moved(at, self.first)

    def operands(self) -> tuple[str, ...]:
        return (self.read, *(UNITS if self.shared is not None else ()), "result")

    def stores_once(self) -> bool:
        return True

    def flat(self) -> Narrow:
        row = None if self.shared is not None else _row(self.source, self.result, self.first)
        if row is None:
            return self
        source, result = self.source.flat(), self.result.flat()
        return Narrow(self.read, source, result, row, position_loops(result))


@dataclass(frozen=True, slots=True)
class Widen(Form):
    """The whole, from the part: zeros in each of the `margins`, which do not overlap."""

    read: str
    source: Layout
    result: Layout
    first: First
    loops: tuple[Loop, ...]
    margins: tuple[tuple[Loop, ...], ...]

    TEMPLATE: ClassVar[str] = "margins"
    MACRO: ClassVar[str] = "widen"

    def moved(self, at: tuple[Affine, ...]) -> tuple[Affine, ...]:
        """Coordinates in the whole, from those in the part."""
        return _moved(at, self.first)

    def operands(self) -> tuple[str, ...]:
        return (self.read, "result")

    def stores_once(self) -> bool:
        return True

    def flat(self) -> Widen:
        row = _row(self.result, self.source, self.first)
        return (
            self if row is None else _widen(self.read, row, self.source.flat(), self.result.flat())
        )


def _row(whole: Layout, part: Layout, first: First) -> First | None:
    """Where the part begins in the whole as a row; None where it is not one piece of it."""
    if not (whole.dense and part.dense and whole.extents == part.extents):
        return None
    return (first[0] * whole.strides()[0],)


def _moved(at: tuple[Affine, ...], first: First) -> tuple[Affine, ...]:
    return tuple(place + start for place, start in zip(at, first, strict=True))


def narrow(read: str, first: First, layouts: Layouts) -> Narrow:
    """The form that copies operand `read` from `first` on."""
    source, result = layouts[read], layouts["result"]
    return Narrow(read, source, result, first, position_loops(result))


def widen(read: str, first: First, layouts: Layouts) -> Widen:
    """The form that copies operand `read` to `first` on, among zeros."""
    return _widen(read, first, layouts[read], layouts["result"])


def _widen(read: str, first: First, source: Layout, result: Layout) -> Widen:
    part, whole = position_loops(source), position_loops(result)
    inner = [
        replace(w, start=start, stop=start + p.trips)
        for p, w, start in zip(part, whole, first, strict=True)
    ]
    margins = []
    for axis, (loop, inside) in enumerate(zip(whole, inner, strict=True)):
        # The axes before this one keep to the part, those after it run over everything.
        for start, stop in ((0, inside.start), (inside.stop, loop.stop)):
            if start < stop:
                side = replace(loop, start=start, stop=stop)
                margins.append((*inner[:axis], side, *whole[axis + 1 :]))
    return Widen(read, source, result, first, part, tuple(margins))
