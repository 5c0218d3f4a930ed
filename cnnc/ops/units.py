"""Kernels that make a part of their result: the units of work from `first` to `last`, of so many.

A unit is a trip of one of the kernel's outer loops. Several threads share such a kernel's work;
what an element is made of is the same whichever of them makes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.ops.loops import Clipped, Loop

UNITS = ("first", "last")
"""The operands that say which."""

ENOUGH = 8
"""Units, at least: of fewer one thread soon has more to do than another."""


def shared_axis(loops: Sequence[Loop]) -> int | None:
    """Which of the loops over channels and then space threads share; None if there is no choice.

    Rows, where these are enough: a thread then reads in the next layer mostly what it wrote itself.
    """
    found = [loop.trips for loop in loops[:2]]
    if not found or max(found) < 2:
        return None
    if found[-1] >= ENOUGH:
        return len(found) - 1
    return found.index(max(found))


def within(loops: Sequence[Loop], axis: int | None) -> tuple[Loop | Clipped, ...]:
    """The loops, of which one has only the trips that a call makes."""
    return tuple(
        trips_within(loop, "0") if index == axis else loop for index, loop in enumerate(loops)
    )


def trips_along(loops: Sequence[Loop], axis: int | None) -> int:
    """The units of a kernel that shares one of these loops; 1 if it shares none."""
    return 1 if axis is None else loops[axis].trips


def trips_within(loop: Loop, before: str) -> Clipped:
    """The trips of a loop that lie among the units; so many units come `before` its first."""

    def reached(bound: str) -> str:
        past = bound if before == "0" else f"{bound} - {before}"
        done = f"bounded({past}, {loop.trips})"
        if loop.step != 1:
            done = f"{done} * {loop.step}"
        return f"{loop.start} + {done}" if loop.start else done

    step = f", {loop.step}" if loop.step != 1 else ""
    return Clipped(loop.variable, reached("first"), reached("last") + step)


def turns_within(loop: Loop, turns: int) -> Clipped:
    """The trips of a loop that have a unit within them, where each is so many of them."""
    low, high = "first", "last"
    if turns > 1:
        low, high = f"first // {turns}", f"(last + {turns - 1}) // {turns}"
    if loop.step > 1:
        low, high = f"{low} * {loop.step}", f"{high} * {loop.step}, {loop.step}"
    return Clipped(loop.variable, low, high)


def trip_of(loop: Loop, before: int, units: int = 1) -> str:
    """The units before a loop's present trip, each of so many; `before` counts earlier trips."""
    if not loop.runs:
        return str(before * units)
    number = loop.variable if loop.start == 0 else f"({loop.variable} - {loop.start})"
    if units % loop.step == 0:
        each = units // loop.step
        place = number if each == 1 else f"{number} * {each}"
    else:
        place = f"{number} // {loop.step}" + (f" * {units}" if units > 1 else "")
    return f"({place} + {before * units})" if before else f"{place}"


def tiles_within(tiles: Sequence[tuple[Loop, int]], before: str) -> tuple[tuple[Clipped, int], ...]:
    """Loops over tiles, one after the other, with their widths: the trips among the units.

    So many units come `before` the first tile; each tile is one.
    """
    found, earlier = [], 0
    for loop, width in tiles:
        start = str(earlier) if before == "0" else f"({before} + {earlier})" if earlier else before
        found.append((trips_within(loop, start), width))
        earlier += loop.trips
    return tuple(found)


def trips(tiles: Sequence[tuple[Loop, int]]) -> int:
    """How many tiles there are."""
    return sum(loop.trips for loop, _ in tiles)
