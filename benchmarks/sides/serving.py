"""What a side answers in its process: compute this, or time that."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sides import TRAINING
from sides.network import Network

UNINTERRUPTED = 1e-3
"""Seconds of a call that most often no other process interrupts."""

Make = Callable[[Network], Any]


class Serving:
    """A side's handlers. Networks with dropout are compared without it, and timed with it."""

    def __init__(self, network: Network, make: Make, threads: int) -> None:
        self._threads = threads
        self._make = make
        exact = Network(network.name, exact=True)
        self._network = network
        self._timed = make(network)
        self._exact = make(exact) if network.has_chance else self._timed
        self._calls: dict[tuple[str, int], Callable[[], Any]] = {}

    def first_weights(self, path: str) -> None:
        """Write the weights that every side starts from."""
        np.savez(path, **self._timed.first_weights())

    def outputs(self, weights: str, into: str, size: int) -> None:
        """Write what inference makes of the first batch."""
        self._load(self._exact, weights)
        samples, _ = self._network.batches(size, 1)[0]
        np.savez(into, output=self._exact.inference(size)(self._exact.samples(samples)))

    def gradients(self, weights: str, into: str, size: int) -> None:
        """Write the gradients of the first batch."""
        self._load(self._exact, weights)
        batch = self._exact.batch(self._network.batches(size, 1)[0])
        np.savez(into, **self._exact.gradients(batch))

    def losses(self, weights: str, size: int, count: int) -> list[float]:
        """The losses of the first steps."""
        self._load(self._exact, weights)
        batches = [self._exact.batch(batch) for batch in self._network.batches(size)]
        step = self._exact.training(size)
        return [step(batch) for batch in itertools.islice(itertools.cycle(batches), count)]

    def warm(self, weights: str, kind: str, size: int) -> float:
        """Make what is timed, and call it until it is ready; the seconds that this took."""
        start = time.perf_counter()
        self._load(self._timed, weights)
        call = self._training(size) if kind == TRAINING else self._inference(size)
        for _ in range(3):
            call()
        self._calls[kind, size] = call
        return time.perf_counter() - start

    def seconds(
        self, kind: str, size: int, at_least: float, *, by_wall: bool = False
    ) -> tuple[float, float]:
        """Of a call: the median of all that fit into a slice of so many seconds.

        The first call finds cold caches: it is left out, unless it fills half of the slice. Long
        calls on one thread are timed by processor time: on an idle machine that is wall time, on a
        busy one it leaves out the waiting. The second value is what part of the time there was a
        processor.
        """
        call, walls, works = self._calls[kind, size], [], []
        end = time.perf_counter() + at_least
        while len(walls) < 2 or time.perf_counter() < end:
            before = time.process_time()
            start = time.perf_counter()
            value = call()
            walls.append(time.perf_counter() - start)
            works.append(time.process_time() - before)
            if walls[0] > at_least / 2:
                break
        if kind == TRAINING and not math.isfinite(value):
            raise ArithmeticError(f"the loss became {value}")
        walls, works = walls[1:] or walls, works[1:] or works
        part = sum(works) / sum(walls)
        by_wall |= self._threads > 1 or statistics.median(walls) < UNINTERRUPTED
        return statistics.median(walls if by_wall else works), part

    def memory(self, size: int) -> tuple[float, float]:
        """Peak bytes of a new model's first steps: all that is resident, and what that adds."""
        batch = self._timed.batch(self._network.batches(size, 1)[0])
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        step = self._make(self._network).training(size)
        for _ in range(3):
            step(batch)
        peak = _status("VmHWM")
        return peak, peak - before

    def _training(self, size: int) -> Callable[[], float]:
        batches = [self._timed.batch(batch) for batch in self._network.batches(size)]
        step, stream = self._timed.training(size), itertools.cycle(batches)
        return lambda: step(next(stream))

    def _inference(self, size: int) -> Callable[[], Any]:
        ready = [self._timed.samples(samples) for samples, _ in self._network.batches(size)]
        run, stream = self._timed.inference(size), itertools.cycle(ready)
        return lambda: run(next(stream))

    @staticmethod
    def _load(side: Any, weights: str) -> None:
        with np.load(weights) as arrays:
            side.load(dict(arrays))


def _status(field: str) -> float:
    """A size from Linux's account of this process, bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024.0 * float(value.split()[0])
    raise KeyError(field)
