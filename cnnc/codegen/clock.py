"""Where generated code reads a clock, in a module that is to say where its time goes.

A lap is the time since the reading before it; it is added up for a place: a call of a kernel in a
schedule, the loading of an array, the optimizer. Whatever lies between those belongs to `OUTSIDE`,
so that the laps of a step add up to the step. Numbers the places; templates/clock.pyx.j2 counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cnnc.codegen.text import WIDTH, unbracket

Place = tuple[str, str, str]
"""(schedule, kind, name), e.g. ("train", "call", "conv1"); the kinds are those of `KINDS`."""

KINDS = ("prepare", "load", "call", "finish", "store", "update", "outside")
"""prepare and finish: calls of Schedule.prepare and Segment.finish; update: the optimizer."""

OUTSIDE: Place = ("", "outside", "")


@dataclass(slots=True)
class Clock:
    """The places of a module, in the order of their numbers."""

    places: dict[Place, int] = field(default_factory=lambda: {OUTSIDE: 0})

    def lap(self, schedule: str, kind: str, name: str) -> str:
        """The statement that ends a lap of this place."""
        if kind not in KINDS:
            raise ValueError(f"{kind} is no kind of place")
        number = self.places.setdefault((schedule, kind, name), len(self.places))
        return f"clock_lap({number})"

    @property
    def listed(self) -> list[str]:
        """The places as lines of a tuple."""
        return [unbracket(f"    {place!r},", WIDTH) for place in self.places]

    @property
    def outside(self) -> str:
        """The statement that ends a lap of what is none of the other places."""
        return self.lap(*OUTSIDE)
