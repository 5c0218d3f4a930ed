"""A Match -> what the page and the picture show of each measure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from peers_goals import PEAK_GOALS, ratio_goal
from sides.match import Match


@dataclass(frozen=True, slots=True)
class Row:
    """A measure of one network. `own` and `peer` are texts with units of the measure.

    ratios: how many times as fast as the best peer, a value a round. share: percent of the FMA
    peak of as many cores as there are threads. Without a peer `best` is None, and so is `reached`.
    """

    network: str
    threads: int
    measure: str
    own: str
    best: str | None
    peer: str
    ratios: Sequence[float]
    goal: float
    share: float
    share_goal: float | None

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.ratios)

    @property
    def reached(self) -> bool | None:
        """Whether the goals are met."""
        if self.best is None:
            return None
        return self.ratio >= self.goal and self.share >= (self.share_goal or 0.0)


def rows_of(match: Match) -> list[Row]:
    """In the order in which they were measured."""
    return [_row(match, measure) for measure in match.seconds]


def figure(measure: str, seconds: Sequence[float]) -> str:
    """Us of a single sample, samples a second of a batch."""
    size = int(measure.split()[1])
    middle = statistics.median(seconds)
    return f"{middle * 1e6:,.1f} us" if size == 1 else f"{size / middle:,.0f}/s"


def _row(match: Match, measure: str) -> Row:
    kind, size = measure.split()
    seconds = {name: found for name, found in match.seconds[measure].items() if found}
    own = seconds.pop("cnnc")
    best = min(seconds, key=lambda name: statistics.median(seconds[name]), default=None)
    pairs = zip(seconds[best], own, strict=True) if best else ()
    work = match.flops[kind] * int(size) / 1e9 / match.threads
    shares = [100 * work / s / p for s, p in zip(own, match.peaks[measure], strict=True)]
    return Row(
        match.network,
        match.threads,
        measure,
        figure(measure, own),
        best,
        figure(measure, seconds[best]) if best else "",
        [theirs / mine for theirs, mine in pairs],
        ratio_goal(match.network, kind, int(size)),
        statistics.median(shares),
        PEAK_GOALS.get((match.network, kind)),
    )
