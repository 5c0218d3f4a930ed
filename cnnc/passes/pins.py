"""Lifetimes of tensors with a halo -> offsets that hold in every schedule.

A halo is zeroed once, when the memory is allocated, so nothing may be stored there, by any schedule
that works on it. But tensors whose planes are alike have their zeros at the same places: where they
are not needed at once, they take turns in one *slot*, which has as many channels as the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cnnc.ops.layout import Layout
from cnnc.ops.shapes import Shape
from cnnc.ops.window import Pads
from cnnc.passes.memory import Lifetime

_Plane = tuple[Shape, Pads]
"""What tensors of one slot have in common."""


@dataclass(slots=True)
class Pins:
    """The slots of some schedules. Offsets are known when all schedules have taken theirs."""

    channels: dict[_Plane, list[int]] = field(default_factory=dict)
    """Of each slot, by plane."""
    apart: dict[tuple[str, Layout], int] = field(default_factory=dict)
    """The size of every tensor that has taken one."""

    def take(self, lives: Sequence[Lifetime]) -> None:
        """Slots for one schedule, at least as large as those that others take."""
        for life, index in _slots(lives):
            slots = self.channels.setdefault(_plane(life.layout), [])
            slots.extend([0] * (index + 1 - len(slots)))
            slots[index] = max(slots[index], life.layout.channels)
            self.apart |= {(name, life.layout): life.layout.size for name in life.names}

    @property
    def top(self) -> int:
        """Where the last slot ends."""
        return sum(_size(*plane, sum(slots)) for plane, slots in self.channels.items())

    def offsets(self, lives: Sequence[Lifetime]) -> dict[str, int]:
        """The places of a schedule's tensors with a halo."""
        found: dict[str, int] = {}
        bases, top = {}, 0
        for plane, slots in self.channels.items():
            bases[plane] = top
            top += _size(*plane, sum(slots))
        for life, index in _slots(lives):
            plane = _plane(life.layout)
            offset = bases[plane] + _size(*plane, sum(self.channels[plane][:index]))
            found |= dict.fromkeys(life.names, offset)
        return found


def _slots(lives: Sequence[Lifetime]) -> list[tuple[Lifetime, int]]:
    """Each with the number of its slot among those of its plane: the largest first, the first free.

    As `place` does with all other memory.
    """
    haloed = [life for life in lives if life.layout.haloed]
    taken: dict[tuple[_Plane, int], list[Lifetime]] = {}
    found = []
    for life in sorted(haloed, key=lambda each: (-each.layout.channels, each.first, each.tensor)):
        index = 0
        while any(life.meets(other) for other in taken.get((_plane(life.layout), index), ())):
            index += 1
        taken.setdefault((_plane(life.layout), index), []).append(life)
        found.append((life, index))
    return found


def _plane(layout: Layout) -> _Plane:
    return layout.extents, layout.halo


def _size(extents: Shape, halo: Pads, channels: int) -> int:
    return Layout(channels, extents, halo).size
