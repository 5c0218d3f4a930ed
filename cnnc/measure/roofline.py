"""A Profile -> an SVG picture: the roofline of its calls, and where the time goes.

The roofline (Williams, Waterman and Patterson 2009): operations a second over operations a byte,
under what the machine can do at most. Needs matplotlib, which `pip install 'cnnc[plot]'` brings;
nothing else does. Measures nothing.
"""

from __future__ import annotations

import importlib.util
import io
from math import atan2, degrees, log10
from pathlib import Path
from typing import Any

from cnnc.codegen.files import write_file
from cnnc.measure.profile import Lap, Profile
from cnnc.measure.words import duration

DIRECTIONS = {
    "forward": "#0072b2",
    "input gradient": "#e69f00",
    "weight gradient": "#009e73",
}
"""Colours that colour-blind people tell apart (Okabe and Ito 2008)."""
OTHER = "#8c8c8c"
NOTE: dict[str, Any] = {"fontsize": 7.5, "color": "#444444"}
MARKERS = "os^Dv<>Pp"
BARS = 14
LEAST = 0.0005
"""A point with a smaller share of the time would not be seen."""


def has_matplotlib() -> bool:
    """Whether a picture can be drawn, without the seconds that the import takes."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_roofline(found: Profile, path: Path) -> None:
    """Write the picture of a profile. Raises ImportError without matplotlib, OSError for the file.

    The same profile gives the same bytes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {"svg.hashsalt": "cnnc", "svg.fonttype": "path", "font.size": 9}
    with mpl.rc_context(style):
        figure = Figure(figsize=(12, 5.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        labels = _draw_roofs(left, found)
        _draw_points(left, found)
        _draw_bars(right, found)
        what = "training step" if found.training else "inference"
        figure.suptitle(
            f"{found.name}: {what} of {found.batch}, {duration(found.seconds)}, one core, "
            f"{found.target}"
        )
        figure.draw_without_rendering()
        for label in labels:
            label.set_rotation(_slope(left))
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    write_file(path, drawn.getvalue())


def _points(found: Profile) -> list[Lap]:
    total = sum(lap.seconds for lap in found.laps)
    return [lap for lap in found.laps if lap.flops and lap.seconds > LEAST * total]


def _slope(axes: Any) -> float:
    """Degrees at which a line of slope 1 rises between logarithmic axes."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    across = axes.bbox.width / log10(right / left)
    return degrees(atan2(axes.bbox.height / log10(top / bottom), across))


def _draw_roofs(axes: Any, found: Profile) -> list[Any]:
    """What the machine can do at most, around the points; the labels that lie along the roofs."""
    ceilings = found.ceilings
    roofs = [("memory", ceilings.memory), *reversed(ceilings.caches)]
    points = _points(found)
    intensities = [lap.flops / lap.bytes for lap in points if lap.bytes]
    ridge = ceilings.gflops / ceilings.memory
    low = min([ridge / 4, *intensities]) / 1.6
    high = max([ridge * 8, *intensities]) * 1.6
    rates = [lap.gflops for lap in points]
    bottom, top = min([ceilings.gflops / 8, *rates]) / 2, max([ceilings.gflops, *rates]) * 2
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top))
    axes.set(xlabel="operations per byte read or written", ylabel="GFLOP/s")
    title = "Calls with multiply-adds, and what one core can do at most"
    if max(rates, default=0) > ceilings.gflops:
        title += "\n(above it: algorithms that need fewer operations than are counted)"
    axes.set_title(title, fontsize=10)
    axes.grid(which="major", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    labels = []
    for name, bandwidth in roofs:
        start = max(low, bottom / bandwidth)
        corner = ceilings.gflops / bandwidth
        if corner < 2 * low:
            continue
        style = "-" if name == "memory" else ":"
        axes.plot(
            [start, corner], [start * bandwidth, ceilings.gflops], style, color="#444444", lw=1
        )
        at = start * (corner / start) ** 0.06
        text = f"{name} {bandwidth:.3g} GB/s"
        place = (at, at * bandwidth * 1.06)
        labels.append(axes.text(*place, text, rotation_mode="anchor", **NOTE))
    axes.axhline(ceilings.gflops, color="#444444", lw=1)
    text = f"multiply-add peak {ceilings.gflops:.0f} GFLOP/s"
    place = (high / 1.05, ceilings.gflops * 1.07)
    clear: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
    axes.text(*place, text, ha="right", zorder=4, bbox=clear, **NOTE)
    return labels


def _draw_points(axes: Any, found: Profile) -> None:
    """A point a call: the colour is its direction, the shape its layer, the area its time."""
    from matplotlib.lines import Line2D

    points = _points(found)
    ops = list(dict.fromkeys(lap.op for lap in points))
    shapes = {op: MARKERS[index % len(MARKERS)] for index, op in enumerate(ops)}
    longest = max((lap.seconds for lap in points), default=1.0)
    for lap in points:
        axes.scatter(
            lap.flops / lap.bytes,
            lap.gflops,
            s=12 + 150 * lap.seconds / longest,
            marker=shapes[lap.op],
            color=DIRECTIONS.get(lap.direction, OTHER),
            alpha=0.65,
            edgecolors="white",
            linewidths=0.5,
            zorder=3,
        )
    directions = [d for d in DIRECTIONS if any(lap.direction == d for lap in points)]
    handles = [
        Line2D([], [], ls="", marker="s", color=DIRECTIONS[d], label=d) for d in directions
    ] + [
        Line2D([], [], ls="", marker=shapes[op], color="#444444", fillstyle="none", label=op)
        for op in ops
    ]
    if handles:
        axes.legend(handles=handles, loc="lower right", fontsize=7.5, framealpha=0.9)


def _draw_bars(axes: Any, found: Profile) -> None:
    """The time by kind of layer and direction, the longest on top."""
    kinds = list(found.by_kind())
    total = sum(lap.seconds for lap in kinds)
    shown = kinds[:BARS]
    rows = [(f"{lap.op} {lap.direction}".strip(), lap) for lap in shown]
    for place, (_, lap) in enumerate(rows):
        colour = DIRECTIONS.get(lap.direction, OTHER) if lap.flops else OTHER
        axes.barh(place, 100 * lap.seconds / total, color=colour, alpha=0.8)
        axes.text(
            100 * lap.seconds / total, place, f" {_rate(lap, found)}", va="center", fontsize=7.5
        )
    names = [name for name, _ in rows]
    rest = sum(lap.seconds for lap in kinds[BARS:])
    if kinds[BARS:]:
        axes.barh(len(rows), 100 * rest / total, color=OTHER, alpha=0.8)
        names.append(f"the other {len(kinds) - BARS}")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    most = max((100 * lap.seconds / total for lap in kinds), default=1)
    axes.set_xlim(0, most * 1.45)
    axes.set_xlabel("% of the time")
    axes.set_title("All calls by kind, with their rate", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _rate(lap: Lap, found: Profile) -> str:
    """In the unit that is nearer to what bounds it."""
    if lap.flops:
        return f"{100 * lap.gflops / found.ceilings.gflops:.0f} % of peak"
    return f"{lap.bandwidth:.1f} GB/s" if lap.bytes else ""
