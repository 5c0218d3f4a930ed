"""What can one core of this machine do at most: multiply-adds in float32, and memory bandwidth?

The loops are those of cnnc.measure.peak, which the other scripts measure between their own rounds.
"""

from __future__ import annotations

from report import Report, arguments, spread

from cnnc.measure.peak import CACHES, TRIAD_FLOATS, Peak

SIZES = (*CACHES, (256 * 1024, "memory"))
"""Sizes in KiB that are read from, and where they lie on most machines."""


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of every measurement")
    options = parser.parse_args()
    peak = Peak()
    report = Report("Peak of one core", ("numpy",), options.output)
    rates: list[float] = []
    bests: list[float] = []
    clocks: list[float] = []
    reads: dict[int, list[float]] = {size: [] for size, _ in SIZES}
    triads: list[float] = []
    for _ in range(options.rounds):
        rates.append(peak.gflops())
        bests.append(peak.best())
        clocks.append(peak.gigahertz())
        for size, values in reads.items():
            values.append(peak.read_bandwidth(size))
        triads.append(peak.triad_bandwidth())
    report.paragraph(f"Medians (min-max) of {options.rounds} rounds.")
    units = [rate / clock for rate, clock in zip(rates, clocks, strict=True)]
    rows = [
        ("float32 multiply-adds, GFLOP/s", spread(rates)),
        ("the same, best slice of each round", spread(bests)),
        ("clock, GHz", spread(clocks, ".2f")),
        (
            f"multiply-adds of {peak.target.lanes} lanes a cycle",
            spread([u / 2 / peak.target.lanes for u in units], ".2f"),
        ),
    ]
    rows += [(f"read {size} KiB ({where}), GB/s", spread(reads[size])) for size, where in SIZES]
    rows.append((f"triad of 3 x {TRIAD_FLOATS * 4 >> 20} MiB, GB/s", spread(triads)))
    report.table(("one core", "median (min-max)"), rows)
    report.line("Best GFLOP/s by number of accumulators, before the rounds:")
    report.line("  " + ", ".join(f"{n}: {rate:.0f}" for n, rate in peak.counts.items()))
    report.finish()


if __name__ == "__main__":
    main()
