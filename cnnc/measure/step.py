"""A model compiled with a clock -> how long the calls of one of its steps take.

Knows no layers: a step has places, as the module names them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cnnc.compiled import Compiled
from cnnc.ir.calls import Call
from cnnc.ir.program import Schedule
from cnnc.measure.samples import random_samples

CLOCK_LAPS = 10_000

Place: TypeAlias = tuple[str, str, str]
"""(schedule, kind, name)."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step, of training or of inference, that can be run and timed.

    `cost` is what a reading of the clock takes, in ticks.
    """

    module: Any
    net: Any
    arrays: tuple[NDArray[Any], ...]
    training: bool
    cost: float

    @classmethod
    def of(cls, compiled: Compiled, batch: int, *, training: bool) -> Step:
        """A step of so many random samples, on one thread.

        Raises ValueError for a model without a train block that is to train.
        """
        module: Any = compiled.load()
        net = module.Model(seed=0, threads=1)
        if training and net.training is None:
            raise ValueError(f"{compiled.name} has no train block")
        if training:
            # Steps of the same numbers: random labels would drive the weights who knows where.
            net.learning_rate = 0.0
        cost = min(module.lap_cost(CLOCK_LAPS) for _ in range(10))
        return cls(module, net, random_samples(net, batch, training=training), training, cost)

    @property
    def places(self) -> tuple[Place, ...]:
        """The places of the rows that `measure` gives."""
        return tuple(self.module.LAP_PLACES)

    def run(self) -> None:
        """Once, as a user would."""
        if self.training:
            self.net.train_step(*self.arrays)
        else:
            self.net(*self.arrays)

    def warm_up(self, seconds: float) -> None:
        """Until memory is there and the clock is up."""
        end = time.perf_counter() + seconds
        for _ in range(3):
            self.run()
        while time.perf_counter() < end:
            self.run()

    def measure(self) -> NDArray[np.float64]:
        """(seconds, laps) by place, without what the clock itself takes."""
        self.module.start_laps()
        self.run()
        found, nanoseconds = self.module.take_laps()
        table = np.array(found, np.float64)
        table[:, 0] = np.maximum(table[:, 0] - self.cost * table[:, 1], 0) * nanoseconds * 1e-9
        return table


def spots(schedule: Schedule) -> Iterator[tuple[str, str, Call | None]]:
    """(kind, name, call) of whatever a schedule has a lap for, in order."""
    for call in schedule.prepare:
        yield "prepare", call.computes, call
    for segment in schedule.segments:
        for load in segment.loads:
            if load.dtype not in ("weight", "live", "random"):
                yield "load", load.name, None
        for call in segment.calls:
            yield "call", call.computes, call
        for call in segment.finish:
            yield "finish", call.computes, call
