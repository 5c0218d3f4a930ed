"""Matches -> a picture: for each network and measure, how many times as fast as the best peer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers_rows import Row, rows_of
from report import has_package
from sides import SIDES
from sides.match import Match

REACHED, MISSED, BEHIND = "#2a7f62", "#e0a030", "#b8432f"
ROOM = 1.25
"""How far the axis goes beyond the largest ratio, for the label."""


def write_picture(matches: Sequence[Match], output: Path) -> None:
    """A panel a measure, a bar a network; without matplotlib there is none, and a line says so."""
    if not has_package("matplotlib"):
        print("matplotlib is not installed: no picture")
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    groups: dict[tuple[int, str], list[Row]] = {}
    for row in (row for match in matches for row in rows_of(match) if row.best):
        groups.setdefault((row.threads, row.measure), []).append(row)
    if not groups:
        return
    threads = sorted({key[0] for key in groups})
    measures = list(dict.fromkeys(key[1] for key in groups))
    longest = max(map(len, groups.values()))
    size = (4.4 * len(measures), len(threads) * (1.4 + 0.42 * longest))
    figure, axes = plt.subplots(len(threads), len(measures), figsize=size, squeeze=False)
    for line, count in zip(axes, threads, strict=True):
        for panel, measure in zip(line, measures, strict=True):
            _draw(panel, groups.get((count, measure), []), f"{measure}, {_threads(count)}")
    figure.suptitle(
        "How many times as fast as the best peer: bars are medians, ticks the goals, lines the"
        " extremes; green reached, yellow ahead, red behind",
        fontsize=10,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    figure.savefig(output, dpi=130)
    plt.close(figure)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _draw(axes: Any, rows: Sequence[Row], title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    places = range(len(rows))
    ratios = [row.ratio for row in rows]
    lows = [row.ratio - min(row.ratios) for row in rows]
    highs = [max(row.ratios) - row.ratio for row in rows]
    axes.barh(places, ratios, color=[_colour(row) for row in rows], height=0.7)
    axes.errorbar(ratios, places, xerr=[lows, highs], fmt="none", ecolor="#333333", lw=1, capsize=2)
    for place, row in zip(places, rows, strict=True):
        axes.plot([row.goal] * 2, [place - 0.42, place + 0.42], color="black", lw=2)
        label = f" {row.ratio:.2f} x {SIDES[row.best or 'cnnc'].label}"
        end = max(*row.ratios, row.goal)
        axes.text(end, place, label, va="center", fontsize=7.5)
    axes.set_yticks(places, [row.network for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.axvline(1, color="#777777", lw=1, ls=":")
    top = max((max(*row.ratios, row.goal) for row in rows), default=1)
    axes.set_xlim(0, top * (1 + ROOM * 0.55))
    axes.spines[["top", "right"]].set_visible(False)


def _colour(row: Row) -> str:
    if row.reached:
        return REACHED
    return MISSED if row.ratio >= 1 else BEHIND
