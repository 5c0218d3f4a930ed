"""Matches -> the page of peers.py: a row a network and measure, then every side's figure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from peers_rows import Row, figure, rows_of
from report import Report, spread
from sides import SIDES
from sides.match import Match

PACKAGES = ("numpy", "torch", "jax", "tensorflow-cpu", "onnxruntime", "openvino")

HOW = """
Seconds are those of the median call in a slice, from Python: of the wall, but for calls of over a
millisecond on one thread processor time, which other work on the machine does not lengthen.
Figures are medians over rounds in which all sides alternate with the measurement of the peak. A
ratio is taken within a round: how many times as fast as the best peer cnnc is, with its least and
greatest value; the best peer is the one with the best median among those whose results are right.
Inference takes and returns NumPy arrays. A training step is forward, backward and optimizer, and
its loss as a Python number. cnnc is fed what the spec says, mostly bytes, and converts and
normalises them in every call; peers are fed float32 arrays that were normalised and laid out as
they like beforehand, in training as tensors of their own. cnnc makes a new output array in each
call, OpenVINO lends its own. All compute in float32; OpenVINO is told so, as it would take
bfloat16 by itself. Each side runs on the same processors, one for each of its threads.
"""
SIDES_ARE = """
PyTorch: torch.nn, fused optimizers, inference mode with batch norm folded; channels-last where
there are planes; "tuned" is channels-last with glibc told to keep and huge-page its memory;
torch.compile is that, compiled, with frozen weights in inference. JAX: jax.jit of the whole step,
parameters donated. TensorFlow: tf.function of the whole step with oneDNN, and the same compiled
by XLA. ONNX Runtime: all graph optimisations. OpenVINO: latency hint. Both get an ONNX model of a
fixed batch. All peers' outputs, gradients and first losses were compared with cnnc's for the same
weights, with dropout of rate 0, before they were timed.
"""


def write_page(matches: Sequence[Match], output: Path, missing: Sequence[str]) -> None:
    """Print the page, and write it."""
    report = Report("cnnc beside its peers", PACKAGES, output)
    report.paragraph(HOW)
    report.paragraph(SIDES_ARE)
    for threads in sorted({match.threads for match in matches}):
        shown = [match for match in matches if match.threads == threads]
        report.line(f"{threads} thread{'s' * (threads > 1)}")
        report.line("-" * len(f"{threads} threads"))
        report.line()
        _verdicts(report, shown)
        _figures(report, shown)
    _machine(report, matches)
    _failures(report, matches, missing)
    report.finish()


def _verdicts(report: Report, matches: Sequence[Match]) -> None:
    rows = [row for match in matches for row in rows_of(match)]
    headings = ("network", "measure", "cnnc", "best peer", "", "cnnc is x", "goal", "", "% of peak")
    report.table(headings, [_cells(row) for row in rows])
    judged = [row for row in rows if row.reached is not None]
    reached = sum(bool(row.reached) for row in judged)
    report.line(f"Reached: {reached} of {len(judged)}.")
    report.line()


def _cells(row: Row) -> tuple[str, ...]:
    share = f"{row.share:.0f}" + (f" (goal {row.share_goal:.0f})" if row.share_goal else "")
    if row.best is None:
        return (row.network, row.measure, row.own, "none", "", "", "", "", share)
    return (
        row.network,
        row.measure,
        row.own,
        row.peer,
        SIDES[row.best].label,
        spread(row.ratios, ".2f"),
        f"{row.goal:.1f}",
        "reached" if row.reached else "missed",
        share,
    )


def _figures(report: Report, matches: Sequence[Match]) -> None:
    """Every side, medians only."""
    named = [name for name in SIDES if any(name in s for m in matches for s in m.seconds.values())]
    report.paragraph("Every side: inference of one sample in us, everything else in samples/s.")
    rows = []
    for match in matches:
        for measure, seconds in match.seconds.items():
            cells = [figure(measure, seconds[name]) if name in seconds else "-" for name in named]
            rows.append((match.network, measure, *cells))
    report.table(("network", "measure", *named), rows)


def _machine(report: Report, matches: Sequence[Match]) -> None:
    peaks = [value for match in matches for values in match.peaks.values() for value in values]
    widths = [value for match in matches for value in match.bandwidths]
    if peaks and widths:
        report.line(f"FMA peak of one core, GFLOP/s: {spread(peaks)}")
        report.line(f"memory bandwidth of one core (triad), GB/s: {spread(widths)}")
    parts = [100 * part for match in matches for part in match.parts]
    if parts:
        report.line(f"part of the time with a processor, %: {spread(parts, '.0f')}")
    dates = sorted({match.when for match in matches})
    rounds = sorted({len(v) for m in matches for v in m.peaks.values()})
    report.line(f"measured: {', '.join(dates)}; rounds: {', '.join(map(str, rounds))}")
    wide = [d for match in matches for d in match.differences.values()]
    if wide:
        report.line(
            f"largest difference of a right result, of gradients mostly: {max(wide):.0e},"
            f" median {statistics.median(wide):.0e}"
        )
    report.line()


def _failures(report: Report, matches: Sequence[Match], missing: Sequence[str]) -> None:
    for name in missing:
        report.line(f"{SIDES[name].label}: not installed (benchmarks/requirements.txt)")
    for match in matches:
        for name, failures in match.failures.items():
            for measure, words in failures.items():
                where = f"{match.network}, {measure}, {match.threads} thr."
                report.line(f"{where}: {SIDES[name].label} has no figure: {words[:150]}")
