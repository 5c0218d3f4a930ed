"""Buffers -> places: which tensors share memory, one workspace for a whole schedule.

Greedy by size: the largest tensor first, each at the lowest place where no tensor alive at the same
time lies (Pisarchyk and Lee 2020, Efficient memory management for deep neural net inference).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cnnc.ops.layout import Layout


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A piece of memory that must hold from call `first` to call `last`."""

    tensor: str
    layout: Layout
    first: int
    last: int
    also: tuple[str, ...] = ()
    """Tensors that lie there later, each in the place of the one before."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that lie there, in the order of time."""
        return (self.tensor, *self.also)

    def then(self, other: Lifetime) -> Lifetime:
        """The same memory, also of another tensor afterwards."""
        first, last = min(self.first, other.first), max(self.last, other.last)
        return replace(self, first=first, last=last, also=(*self.also, *other.names))

    def meets(self, other: Lifetime) -> bool:
        """Whether both must hold at once."""
        return self.first <= other.last and other.first <= self.last


def place(lifetimes: list[Lifetime], base: int) -> tuple[dict[str, int], int]:
    """Offsets by tensor, none below `base`, and the end of the highest."""
    placed: list[tuple[int, Lifetime]] = []
    for lifetime in sorted(
        lifetimes, key=lambda life: (-life.layout.size, life.first, life.tensor)
    ):
        offset = base
        neighbours = sorted((o, n) for o, n in _spans(placed, lifetime))
        for start, end in neighbours:
            if offset + lifetime.layout.size <= start:
                break
            offset = max(offset, end)
        placed.append((offset, lifetime))
    top = max((offset + life.layout.size for offset, life in placed), default=base)
    return {name: offset for offset, life in placed for name in life.names}, top


def _spans(placed: list[tuple[int, Lifetime]], lifetime: Lifetime) -> list[tuple[int, int]]:
    return [
        (offset, offset + other.layout.size) for offset, other in placed if lifetime.meets(other)
    ]
