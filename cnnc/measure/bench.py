"""A compiled model -> how long its calls take: inference and training steps, by batch.

Measures the whole as a caller sees it, arrays checked and all; profile.py looks inside.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnc.codegen.commands import processors
from cnnc.compiled import Compiled
from cnnc.measure.peak import Peak
from cnnc.measure.samples import random_samples
from cnnc.measure.work import forward_flops, training_flops

ROUND = 0.1
"""Seconds that a case runs before the next one has its turn."""


@dataclass(frozen=True, slots=True)
class Case:
    """What to measure: calls of the model, or of its train_step, with so many samples."""

    training: bool
    batch: int


@dataclass(frozen=True, slots=True)
class Latency:
    """How long the calls of a case take. seconds: the median; low and high: a tenth is beyond each.

    flops: of a call, see cnnc.measure.work. peak: what the threads could do at most, GFLOP/s.
    """

    case: Case
    threads: int
    calls: int
    seconds: float
    low: float
    high: float
    flops: int
    peak: float

    @property
    def samples_per_second(self) -> float:
        """Throughput."""
        return self.case.batch / self.seconds

    @property
    def gflops(self) -> float:
        """GFLOP/s."""
        return self.flops / self.seconds / 1e9


def bench(
    compiled: Compiled,
    peak: Peak,
    cases: Sequence[Case],
    *,
    threads: int | None = None,
    seconds: float = 2.0,
    on_round: Callable[[float], None] | None = None,
) -> tuple[Latency, ...]:
    """Measure each case for about so many seconds, in turns.

    `threads` None is the model's default. `on_round` is told the share that is done. Raises
    ValueError where a model without a train block is to train.
    """
    net: Any = compiled.load().Model(seed=0, threads=threads)
    calls = [_call(net, case) for case in cases]
    for call in calls:
        call()
        call()
    times: list[list[float]] = [[] for _ in cases]
    rates = []
    rounds = max(1, round(seconds / ROUND))
    for number in range(rounds):
        rates.append(peak.gflops())
        for call, found in zip(calls, times, strict=True):
            found.extend(_round(call))
        if on_round is not None:
            on_round((number + 1) / rounds)
    # More threads than cores have no more to spend.
    most = statistics.median(rates) * min(net.threads, processors())
    return tuple(
        _latency(compiled, case, net.threads, found, most)
        for case, found in zip(cases, times, strict=True)
    )


def _call(net: Any, case: Case) -> Callable[[], object]:
    """One call of a case."""
    if not case.training:
        inputs = random_samples(net, case.batch, training=False)
        return lambda: net(*inputs)
    if net.training is None:
        raise ValueError(f"{net.name} has no train block")
    # Steps of the same numbers: random labels would drive the weights who knows where.
    net.learning_rate = 0.0
    arrays = random_samples(net, case.batch, training=True)
    return lambda: net.train_step(*arrays)


def _round(call: Callable[[], object]) -> list[float]:
    """Seconds of each call of a round. The first, which finds other data in the caches, is left."""
    call()
    times: list[float] = []
    end = time.perf_counter() + ROUND
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _latency(
    compiled: Compiled, case: Case, threads: int, times: list[float], peak: float
) -> Latency:
    graph = compiled.fused
    if case.training and graph.step is not None:
        flops = training_flops(graph.step)
    else:
        flops = forward_flops(graph)
    low, middle, high = np.quantile(times, (0.1, 0.5, 0.9)).tolist()
    return Latency(case, threads, len(times), middle, low, high, case.batch * flops, peak)
