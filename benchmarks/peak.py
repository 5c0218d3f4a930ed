"""What can one core of this machine do at most: multiply-adds in float32, and memory bandwidth?

The peak is measured, never computed from a data sheet: independent fused multiply-adds at the
target's vector width, built with the compiler and the target flags that cnnc uses (peak.c). Several
counts of accumulators are tried and the best is taken, so that latency and the number of units need
not be known. The other scripts measure it between their own rounds: clocks change within minutes.
"""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import Report, arguments, spread

from cnnc.codegen.toolchain import find_compiler, native_target
from cnnc.ir.target import Target

ACCUMULATORS = (6, 8, 10, 12, 14, 16, 20, 24, 28)
SLICE = 0.0005
"""Seconds of one timing: most fit between two interruptions."""
CACHES = ((16, "L1"), (512, "L2"), (8 * 1024, "L3"), (256 * 1024, "memory"))
"""Sizes in KiB that are read from, and where they lie on most machines."""
TRIAD_FLOATS = 32 * 2**20


class Peak:
    """The peak of one core for a target, by default this machine's best."""

    def __init__(self, target: Target | None = None) -> None:
        self.target = target or native_target()
        self._library = _build(self.target)
        self._in = _ones(64 * self.target.lanes)
        self._in *= 0.5
        self._out = np.empty_like(self._in)
        self._rounds = 1000
        self._rounds = max(1, int(1000 * SLICE / self._seconds(16)))
        self.counts = {n: max(self._rate(n) for _ in range(5)) for n in self._possible()}
        self.accumulators = max(self.counts, key=lambda n: self.counts[n])

    def gflops(self, slices: int = 15) -> float:
        """GFLOP/s now: the median of some short slices. A multiply-add counts as two."""
        return statistics.median(self._rate(self.accumulators) for _ in range(slices))

    def best(self, slices: int = 15) -> float:
        """GFLOP/s now: the best of some short slices."""
        return max(self._rate(self.accumulators) for _ in range(slices))

    def gigahertz(self, slices: int = 15) -> float:
        """The clock now, from additions that take one cycle each."""
        rounds = 100_000
        step = ctypes.c_long(3)
        times = [_time(self._library.cycles, ctypes.c_long(rounds), step) for _ in range(slices)]
        return 16 * rounds / statistics.median(times) / 1e9

    def read_bandwidth(self, kibibytes: int) -> float:
        """GB/s of reading that many KiB again and again."""
        values = _ones(kibibytes * 256)
        count = ctypes.c_size_t(values.size)
        rounds = max(1, 2**26 // values.nbytes)
        seconds = [
            _time(self._library.read_all, ctypes.c_long(rounds), _pointer(values), count)
            for _ in range(3)
        ]
        return rounds * values.nbytes / min(seconds) / 1e9

    def triad_bandwidth(self) -> float:
        """GB/s of a = b + s * c on arrays beyond the caches; three arrays are counted."""
        a, b, c = (_ones(TRIAD_FLOATS) for _ in range(3))
        scale, count = ctypes.c_float(0.5), ctypes.c_size_t(TRIAD_FLOATS)
        pointers = [_pointer(array) for array in (a, b, c)]
        seconds = [_time(self._library.triad, *pointers, scale, count) for _ in range(3)]
        return 3 * a.nbytes / min(seconds) / 1e9

    def _possible(self) -> list[int]:
        # Two registers hold the factors; more accumulators than that would be spilt.
        return [n for n in ACCUMULATORS if n <= self.target.registers - 2]

    def _seconds(self, count: int) -> float:
        function = getattr(self._library, f"fma_{count}")
        rounds = ctypes.c_long(max(1, self._rounds * 16 // count))
        return _time(function, rounds, _pointer(self._in), _pointer(self._out))

    def _rate(self, count: int) -> float:
        rounds = max(1, self._rounds * 16 // count)
        return 2 * self.target.lanes * count * rounds / self._seconds(count) / 1e9


def _time(function: ctypes._NamedFuncPointer, *values: object) -> float:
    start = time.perf_counter()
    function(*values)
    return time.perf_counter() - start


def _ones(count: int) -> NDArray[np.float32]:
    """Ones that start a cache line: vectors across two lines would count the load twice."""
    memory = np.ones(count + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    aligned: NDArray[np.float32] = memory[start : start + count]
    return aligned


def _pointer(array: NDArray[np.float32]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _build(target: Target) -> ctypes.CDLL:
    """The C file as a library for this process."""
    compiler = find_compiler()
    source = Path(__file__).with_name("peak.c")
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory) / "peak.so"
        flags = ("-O2", "-ffp-contract=fast", "-fPIC", "-shared", f"-DLANES={target.lanes}")
        command = (*compiler.command, *flags, *target.flags, str(source), "-o", str(library))
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library))


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
    reads: dict[int, list[float]] = {size: [] for size, _ in CACHES}
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
    rows += [(f"read {size} KiB ({where}), GB/s", spread(reads[size])) for size, where in CACHES]
    rows.append((f"triad of 3 x {TRIAD_FLOATS * 4 >> 20} MiB, GB/s", spread(triads)))
    report.table(("one core", "median (min-max)"), rows)
    report.line("Best GFLOP/s by number of accumulators, before the rounds:")
    report.line("  " + ", ".join(f"{n}: {rate:.0f}" for n, rate in peak.counts.items()))
    report.finish()


if __name__ == "__main__":
    main()
