"""What a side answers in its process: compute this, or time that."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sides import TRAINING
from sides.network import Network

Make = Callable[[Network], Any]


class Serving:
    """A side's handlers. Networks with dropout are compared without it, and timed with it."""

    def __init__(self, network: Network, make: Make) -> None:
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

    def seconds(self, kind: str, size: int, at_least: float) -> float:
        """Of a call: the median of all that fit into a slice of so many seconds.

        The first call finds cold caches: it is left out, unless it fills half of the slice.
        """
        call, found = self._calls[kind, size], []
        end = time.perf_counter() + at_least
        while len(found) < 2 or time.perf_counter() < end:
            start = time.perf_counter()
            value = call()
            found.append(time.perf_counter() - start)
            if found[0] > at_least / 2:
                break
        if kind == TRAINING and not math.isfinite(value):
            raise ArithmeticError(f"the loss became {value}")
        return statistics.median(found[1:] or found)

    def _training(self, size: int) -> Callable[[], float]:
        batches = [self._timed.batch(batch) for batch in self._network.batches(size)]
        step, stream = self._timed.training(size), itertools.cycle(batches)
        return lambda: step(next(stream))

    def _inference(self, size: int) -> Callable[[], Any]:
        ready = [self._timed.samples(samples) for samples, _ in self._network.batches(size)]
        run, stream = self._timed.inference(size), _cycle(ready)
        return lambda: run(next(stream))

    @staticmethod
    def _load(side: Any, weights: str) -> None:
        with np.load(weights) as arrays:
            side.load(dict(arrays))


def _cycle(items: list[Any]) -> Iterator[Any]:
    return itertools.cycle(items)
