"""Do two sides compute the same? Their outputs, gradients and losses for equal weights and data.

float32 differs by rounding, and where an activation is nearly 0 rounding decides whether relu lets
its gradient through: in a small batch norm's gradient that shows in the second digit. A wrong
result, such as a gradient of zeros, differs by much more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from worker import Worker, WorkerError

from sides import TRAINING

OUTPUTS = 1e-3
GRADIENTS = 1e-1
LOSSES = 1e-2
"""Largest differences, relative to the size of the whole array; of losses to the loss."""
STEPS = 4
FLOOR = 1e-3
"""Of the largest gradient: what lies below is rounding, as of a bias before a batch norm."""

Arrays = Mapping[str, NDArray[np.float32]]


class Reference:
    """cnnc's results for the same weights, computed once for each batch size."""

    def __init__(self, worker: Worker, directory: Path) -> None:
        self._worker = worker
        self._directory = directory
        self.weights = str(directory / "weights.npz")
        worker.ask("first_weights", path=self.weights)
        self._arrays: dict[tuple[str, int], Arrays] = {}
        self._losses: dict[int, list[float]] = {}

    def check(self, other: Worker, kind: str, size: int, at_most: float) -> float:
        """The largest difference; WorkerError where it is too large."""
        if kind != TRAINING:
            wanted = self._results("outputs", size)
            found = self._ask(other, "outputs", size, at_most)
            return _judge("outputs", _difference(found, wanted), OUTPUTS)
        wanted = self._results("gradients", size)
        found = self._ask(other, "gradients", size, at_most)
        worst = _judge("gradients", _difference(found, wanted), GRADIENTS)
        if size not in self._losses:
            self._losses[size] = self._ask_losses(self._worker, size, at_most)
        pairs = zip(self._ask_losses(other, size, at_most), self._losses[size], strict=True)
        return max(worst, _judge("losses", max(abs(a / b - 1) for a, b in pairs), LOSSES))

    def _results(self, what: str, size: int) -> Arrays:
        if (what, size) not in self._arrays:
            self._arrays[what, size] = self._ask(self._worker, what, size, None)
        return self._arrays[what, size]

    def _ask(self, worker: Worker, what: str, size: int, at_most: float | None) -> Arrays:
        into = str(self._directory / "results.npz")
        worker.ask(what, weights=self.weights, into=into, size=size, at_most=at_most)
        with np.load(into) as arrays:
            return dict(arrays)

    def _ask_losses(self, worker: Worker, size: int, at_most: float) -> list[float]:
        values = {"weights": self.weights, "size": size, "count": STEPS}
        losses: list[float] = worker.ask("losses", at_most=at_most, **values)
        return losses


def _judge(what: str, difference: float, limit: float) -> float:
    if not difference <= limit:
        raise WorkerError(f"wrong {what}: they differ from cnnc's by {difference:.0e}")
    return difference


def _difference(found: Arrays, wanted: Arrays) -> float:
    """The largest of |found - wanted| / |wanted|, Euclidean norms of whole arrays."""
    floor = FLOOR * max(float(np.linalg.norm(array)) for array in wanted.values())
    worst = 0.0
    for name, array in wanted.items():
        if name not in found or found[name].shape != array.shape:
            return float("inf")
        scale = max(float(np.linalg.norm(array)), floor)
        worst = max(worst, float(np.linalg.norm(found[name] - array)) / scale)
    return worst
