"""Variants of a compiled model -> seconds of every place in their steps.

The variants take turns, and what counts is the least of a place's times: whatever else the machine
does only ever adds to them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cnnc.compiled import Compiled
from cnnc.measure.step import Place, Step

ROUND = 0.05
"""Seconds that a variant's step runs before the next one has its turn."""
BLOCKS = 2
"""Blocks of samples in a step."""


def time_variants(variants: Sequence[Compiled], until: float) -> list[dict[Place, float]]:
    """Seconds by place in each variant, measured until a time of time.monotonic, at least once.

    Of steps of BLOCKS blocks, in training and inference, and of one sample; on one thread.
    """
    timed = [_steps(variant) for variant in variants]
    while True:
        for steps in timed:
            for step in steps:
                step.round()
        if time.monotonic() > until:
            return [{p: s for step in steps for p, s in step.best.items()} for steps in timed]


@dataclass(frozen=True, slots=True)
class _Timed:
    """A step, and the least time of each of its places so far."""

    step: Step
    best: dict[Place, float] = field(default_factory=dict)

    def round(self) -> None:
        """Run for a while; the median of these times counts."""
        self.step.run()  # finds the caches as the variant before has left them
        end = time.monotonic() + ROUND
        tables = [self.step.measure()]
        while time.monotonic() < end:
            tables.append(self.step.measure())
        medians = np.median(np.stack(tables), axis=0).tolist()
        for place, (seconds, laps) in zip(self.step.places, medians, strict=True):
            if laps:
                self.best[place] = min(seconds, self.best.get(place, seconds))


def _steps(variant: Compiled) -> list[_Timed]:
    """Those of inference and of training, of blocks and of a single sample."""
    program = variant.program
    batch = BLOCKS * program.target.lanes
    kinds = [(batch, False)]
    if program.single is not None:
        kinds.append((1, False))
    if program.train is not None:
        kinds.append((batch, True))
    return [_Timed(Step.of(variant, count, training=training)) for count, training in kinds]
