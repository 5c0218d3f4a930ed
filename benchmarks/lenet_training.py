"""How many samples a second does LeNet train on one thread, and how many in PyTorch?

Every side is a process of its own; rounds alternate between them and the measurement of the peak,
and ratios are taken within a round. Before that both sides train from the same weights on the same
batches, and their losses have to agree.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from report import ROOT, Report, arguments, has_package, spread
from worker import Worker

from cnnc.compiler import lower
from cnnc.frontend import read_source
from cnnc.measure import Peak
from cnnc.measure.work import forward_flops, training_flops

SCRIPT = str(Path(__file__).with_name("lenet_sides.py"))
PEERS = {"torch-first": "PyTorch", "torch-last": "  ch. last"}
AGREE_STEPS = 20
AGREE = 1e-3
"""Largest relative difference of two losses; rounding grows from step to step."""


def check_losses(report: Report, sides: dict[str, Worker]) -> None:
    """Train every side from cnnc's weights; SystemExit where the losses differ."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "weights.npz")
        sides["cnnc"].ask("save", path=path)
        for name, side in sides.items():
            if name != "cnnc":
                side.ask("load", path=path)
    found = {n: side.ask("losses", size=64, count=AGREE_STEPS) for n, side in sides.items()}
    own = found["cnnc"]
    worst = max(
        abs(a - b) / abs(a) for losses in found.values() for a, b in zip(own, losses, strict=True)
    )
    if worst > AGREE:
        raise SystemExit(f"the losses differ by {worst:.1e}: {found}")
    report.paragraph(
        f"Losses of the first {AGREE_STEPS} steps, {own[0]:.4f} to {own[-1]:.4f}, agree to within"
        f" {worst:.0e}."
    )


def measure(
    sides: dict[str, Worker], peak: Peak, sizes: list[int], rounds: int
) -> tuple[dict[tuple[str, int], list[float]], dict[int, list[float]], list[float]]:
    """Samples a second of each side and batch size, and the peak beside them, a round each.

    The last list is what part of the time the processes had a processor.
    """
    rates: dict[tuple[str, int], list[float]] = {}
    had = []
    peaks: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            before = peak.gflops()
            for name, side in sides.items():
                rate, part = side.ask("rate", size=size)
                rates.setdefault((name, size), []).append(rate)
                had.append(100 * part)
            peaks[size].append((before + peak.gflops()) / 2)
    return rates, peaks, had


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, action="append", help="repeatable  [64, 32, 128]")
    options = parser.parse_args()
    sizes = options.batch or [64, 32, 128]
    graph = dict(lower(read_source(ROOT / "specs" / "lenet.cnn")))["grad"].step
    flops = training_flops(graph)
    report = Report("LeNet training, one thread", ("numpy", "torch"), options.output)
    report.paragraph(
        f"Multiply-adds counted from the graph, as two operations: {forward_flops(graph) / 1e6:.3f}"
        f" MFLOP a sample forward, {flops / 1e6:.3f} in training. cnnc is fed bytes, PyTorch"
        f" float32 tensors made beforehand; it runs eagerly, with contiguous and with channels-last"
        " tensors. Seconds are processor time, which other work on the machine does not lengthen."
        f" Medians (min-max) of {options.rounds} rounds."
    )
    names = ["cnnc", *(PEERS if has_package("torch") else ())]
    with ExitStack() as stack:
        sides = {name: stack.enter_context(closing(Worker(SCRIPT, name))) for name in names}
        check_losses(report, sides)
        rates, peaks, had = measure(sides, Peak(), sizes, options.rounds)
    rows = []
    for size in sizes:
        for name in names:
            found = rates[name, size]
            share = [100 * r * flops / p / 1e9 for r, p in zip(found, peaks[size], strict=True)]
            ratio = [a / b for a, b in zip(rates["cnnc", size], found, strict=True)]
            rows.append(
                (
                    PEERS.get(name, name),
                    str(size),
                    spread(found, ".0f"),
                    f"{statistics.median(found) * flops / 1e9:.1f}",
                    spread(share, ".0f"),
                    "" if name == "cnnc" else spread(ratio, ".2f"),
                )
            )
    report.table(("", "batch", "samples/s", "GFLOP/s", "% of peak", "cnnc is x"), rows)
    everything = [p for values in peaks.values() for p in values]
    report.line(f"peak of one core, GFLOP/s: {spread(everything)}")
    report.line(f"part of the time with a processor, %: {spread(had, '.0f')}")
    if not has_package("torch"):
        report.line(
            "PyTorch is not installed (benchmarks/requirements.txt): its rows are left out."
        )
    report.finish()


if __name__ == "__main__":
    main()
