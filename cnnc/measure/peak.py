"""What one core of this machine can do at most: multiply-adds in float32, and memory bandwidth.

Measured, never computed from a data sheet: independent fused multiply-adds at the target's vector
width, in a module (templates/peak.pyx.j2) that is built with the compiler and the target flags of
every other, and kept in the same cache. Several counts of accumulators are tried and the best is
taken, so that latency and the number of units need not be known. Measure it between the rounds of
whatever is compared with it: clocks change within minutes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.codegen.build import build, check_runs_here, load_extension
from cnnc.codegen.templates import template
from cnnc.codegen.toolchain import native_target
from cnnc.ir.target import Target
from cnnc.version import __version__

ACCUMULATORS = (6, 8, 10, 12, 14, 16, 20, 24, 28)
SLICE = 0.0005
"""Seconds of one timing: most fit between two interruptions."""
CACHES = ((16, "L1"), (512, "L2"), (8 * 1024, "L3"))
"""Sizes in KiB that are read from, and where they lie on most machines."""
TRIAD_FLOATS = 32 * 2**20
"""Floats of each of three arrays: together they are beyond any cache that one core fills."""
NAME = "cnnc_peak"

_STUB = '''\
"""What one core can do at most: seconds of a loop; arrays are addresses of float32."""

def fma(count: int, rounds: int, values: int, results: int) -> float: ...
def additions(rounds: int) -> float: ...
def reading(rounds: int, values: int, count: int) -> float: ...
def triad(a: int, b: int, c: int, count: int) -> float: ...
'''


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What one core was found to do at most.

    gflops: multiply-adds in float32, two operations each. memory: GB/s of STREAM's triad on arrays
    beyond the caches. caches: GB/s of reading again and again, by the cache that holds the data.
    """

    gflops: float
    memory: float
    caches: tuple[tuple[str, float], ...]


class Peak:
    """The peak of one core for a target, by default this machine's best.

    Raises CompileError where the target does not run here or nothing can be built.
    """

    def __init__(
        self, target: Target | None = None, on_compile: Callable[[str], None] | None = None
    ) -> None:
        self.target = target or native_target()
        check_runs_here(self.target)
        self._module = _module(self.target, on_compile)
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
        times = [self._module.additions(rounds) for _ in range(slices)]
        return float(16 * rounds / statistics.median(times) / 1e9)

    def read_bandwidth(self, kibibytes: int) -> float:
        """GB/s of reading that many KiB again and again."""
        values = _ones(kibibytes * 256)
        rounds = max(1, 2**26 // values.nbytes)
        times = [self._module.reading(rounds, values.ctypes.data, values.size) for _ in range(3)]
        return float(rounds * values.nbytes / min(times) / 1e9)

    def triad_bandwidth(self) -> float:
        """GB/s of a = b + s * c on arrays beyond the caches; three arrays are counted."""
        arrays = [_ones(TRIAD_FLOATS) for _ in range(3)]
        places = [array.ctypes.data for array in arrays]
        times = [self._module.triad(*places, TRIAD_FLOATS) for _ in range(3)]
        return float(3 * arrays[0].nbytes / min(times) / 1e9)

    def _possible(self) -> list[int]:
        # Two registers hold the factors; more accumulators than that would be spilt.
        return [n for n in ACCUMULATORS if n <= self.target.registers - 2]

    def _seconds(self, count: int) -> float:
        rounds = max(1, self._rounds * 16 // count)
        seconds = self._module.fma(count, rounds, self._in.ctypes.data, self._out.ctypes.data)
        return float(seconds)

    def _rate(self, count: int) -> float:
        rounds = max(1, self._rounds * 16 // count)
        return 2 * self.target.lanes * count * rounds / self._seconds(count) / 1e9


def _ones(count: int) -> NDArray[np.float32]:
    """Ones that start a cache line: vectors across two lines would count the load twice."""
    memory = np.ones(count + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    aligned: NDArray[np.float32] = memory[start : start + count]
    return aligned


def _module(target: Target, on_compile: Callable[[str], None] | None) -> Any:
    """The loops for a target, from the cache or built."""
    page = template("peak.pyx.j2")
    text = page.render(target=target, accumulators=ACCUMULATORS, version=__version__)
    built = build(NAME, text, _STUB, target, on_compile=on_compile)
    return load_extension(NAME, built.loadable)
