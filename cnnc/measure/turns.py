"""The candidates of a network's kernels -> variants of it, in each of which every one has its turn.

The first variant has the first candidate of each kernel, every other one another of as many kernels
as still have some. Compiles and measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cnnc.ir.program import Program
from cnnc.measure.ways import followers
from cnnc.tuning import Asked, Chosen, Measured


@dataclass(slots=True)
class Turns:
    """What there is to choose from, as far as variants were planned.

    known: what earlier measurements say; with it a kernel of which all candidates were measured is
    settled, and of the others only the missing ones get a turn.
    """

    known: Mapping[str, Measured]
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The candidates of kernels that are not settled, the best guess first."""
    settled: dict[str, Measured] = field(default_factory=dict)
    untried: dict[str, list[str]] = field(default_factory=dict)
    leads: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """By a choice among algorithms and what was taken: what is asked only then, or may be."""
    reach: dict[str, set[str]] = field(default_factory=dict)
    """By a layer: those that follow it in planes, in whichever variant."""

    def earlier(self, key: str) -> Mapping[str, float]:
        """Seconds of some candidates, from an earlier measurement that has the first of them."""
        measured, names = self.known.get(key), self.names[key]
        if measured is None or not measured.seconds.get(names[0]):
            return {}
        return {name: s for name, s in measured.seconds.items() if name in names}

    def known_in_part(self) -> dict[str, Measured]:
        """What is known of kernels that are not settled."""
        return {key: self.known[key] for key in self.names if self.earlier(key)}

    def take(self, variant: Variant, key: str, names: tuple[str, ...]) -> str:
        """Whose turn it is in a variant."""
        measured = self.known.get(key)
        if measured and {*names} <= measured.seconds.keys() and measured.choice in names:
            self.settled[key] = measured
            return measured.choice
        if key not in self.names:
            self.names[key] = names
            earlier = self.earlier(key)
            self.untried[key] = [names[0], *(n for n in names[1:] if n not in earlier)]
        if self.untried[key]:
            variant.turns_of.add(key)
            return self.untried[key].pop(0)
        # An algorithm has to be taken for its tiles to have their turns.
        waiting = (n for n in names if any(map(self.untried.get, self.leads.get((key, n), ()))))
        return next(waiting, names[0])

    def note(self, variant: Variant, program: Program) -> None:
        """Learn from what a variant came to whose turn it was, and where its algorithms lead."""
        asked_for = program.asked
        for key in variant.turns_of - asked_for:
            # Asked only for what another layer would be, if it read something else.
            self.untried[key].insert(0, variant.given[key])
        variant.fresh = bool(variant.turns_of & asked_for)
        if program.single is None:
            return
        single = program.single
        kernels = {call.computes: call.kernel for call in single.schedule.calls}
        for node, keys in single.asked.items():
            after = {*program.kernel(kernels[node]).asked, *keys}
            reach = self.reach.setdefault(node, set())
            reach |= followers(single, node)
            after = after.union(*(single.asked.get(each, ()) for each in reach))
            for key in keys:
                if key in variant.given:
                    led = self.leads.setdefault((key, variant.given[key]), set())
                    led.update(after - {key})


@dataclass(slots=True)
class Variant:
    """The candidate of each kernel in one variant.

    turns_of: the kernels whose turn it is; fresh: whether that is so of any that the program has.
    """

    turns: Turns
    given: dict[str, str] = field(default_factory=dict)
    turns_of: set[str] = field(default_factory=set)
    fresh: bool = False

    def choose(self, asked: Asked) -> Chosen:
        """The choice that makes it; the same however often it is planned."""
        forms = asked.candidates()
        if len(forms) < 2:
            return Chosen(asked.forms[0])
        key = asked.key
        if key not in self.given:
            self.given[key] = self.turns.take(self, key, tuple(forms))
        return Chosen(forms[self.given[key]])
