"""A compiled model with a clock in it -> where the time of its step goes, call by call.

Whole steps run in their own order, so that every call finds its data where the calls before it left
them. A call's time is added up over the blocks of a step; what is given is the median over many
steps, without what the clock itself takes. One thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.compiled import Compiled
from cnnc.ir.graph import Graph, Node
from cnnc.ir.program import Result, Schedule
from cnnc.measure.peak import CACHES, Ceilings, Peak
from cnnc.measure.step import Step, spots
from cnnc.measure.work import Traffic, node_flops
from cnnc.ops.op import Gradient, Input, Op

ROUND = 0.1
"""Seconds of steps between two measurements of the peak."""


@dataclass(frozen=True, slots=True)
class Lap:
    """What a step does in one place, all blocks together.

    op: what the layer is, e.g. `conv 3x3`. direction: e.g. `forward`, `weight gradient`, `load`.
    kernel: the generated function, empty where it is not one. calls: of a step. flops and bytes:
    see cnnc.measure.work.
    """

    layer: str
    op: str
    direction: str
    kernel: str
    calls: float
    seconds: float
    flops: int = 0
    bytes: int = 0

    @property
    def gflops(self) -> float:
        """GFLOP/s."""
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def bandwidth(self) -> float:
        """GB/s."""
        return self.bytes / self.seconds / 1e9 if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of a step goes. `laps` are in the order of the step, the last is the rest.

    seconds: of a step as its caller sees it. steps: how many were measured.
    """

    name: str
    target: str
    training: bool
    batch: int
    steps: int
    seconds: float
    laps: tuple[Lap, ...]
    ceilings: Ceilings

    @property
    def flops(self) -> int:
        """Of a step."""
        return sum(lap.flops for lap in self.laps)

    def by_kind(self) -> tuple[Lap, ...]:
        """The laps of equal ops and directions added up, the longest first."""
        kinds: dict[tuple[str, str], list[Lap]] = {}
        for lap in self.laps:
            kinds.setdefault((lap.op, lap.direction), []).append(lap)
        added = (_added(*kind, laps) for kind, laps in kinds.items())
        return tuple(sorted(added, key=lambda lap: -lap.seconds))


def _added(op: str, direction: str, laps: list[Lap]) -> Lap:
    return Lap(
        f"{op} x{len(laps)}" if len(laps) > 1 else op,
        op,
        direction,
        "",
        sum(lap.calls for lap in laps),
        sum(lap.seconds for lap in laps),
        sum(lap.flops for lap in laps),
        sum(lap.bytes for lap in laps),
    )


def profile(
    compiled: Compiled, peak: Peak, batch: int, *, training: bool, seconds: float = 5.0
) -> Profile:
    """Measure steps of a module compiled with Options(profile=True), for about so many seconds.

    Raises ValueError for a model without a train block that is to train.
    """
    step = Step.of(compiled, batch, training=training)
    step.warm_up(seconds / 10)
    rates: list[float] = []
    times: list[float] = []
    tables: list[NDArray[np.float64]] = []
    end = time.perf_counter() + seconds
    while not tables or time.perf_counter() < end:
        rates.append(peak.gflops())
        until = time.perf_counter() + ROUND
        step.run()  # the peak's loops have had the caches
        while True:
            tables.append(step.measure())
            times.append(float(tables[-1][:, 0].sum()))
            if time.perf_counter() > until:
                break
    ceilings = Ceilings(
        statistics.median(rates),
        peak.triad_bandwidth(),
        tuple((name, peak.read_bandwidth(size)) for size, name in CACHES),
    )
    medians = np.median(np.stack(tables), axis=0)
    places = dict(zip(step.places, medians.tolist(), strict=True))
    laps = tuple(_laps(compiled, batch, training, places))
    return Profile(
        compiled.name,
        compiled.target.name,
        training,
        batch,
        len(tables),
        statistics.median(times),
        laps,
        ceilings,
    )


def _laps(
    compiled: Compiled, batch: int, training: bool, places: dict[Any, list[float]]
) -> Iterator[Lap]:
    """The laps of a step, in its order, and what is left."""
    program, fused = compiled.program, compiled.fused
    if training and program.train is not None and program.training is not None:
        part = _Part(compiled, program.train, (), fused.step or fused, batch)
        yield from part.laps(places)
        name = program.training.optimizer.NAME
        seconds, calls = places["train", "update", name]
        yield Lap(name, "optimizer", "update", "", calls, seconds, 0, part.traffic.update())
    else:
        alone, single = program.alone(batch), program.single
        if batch > alone:
            part = _Part(compiled, program.infer, program.results, fused, batch - alone)
            yield from part.laps(places)
        if alone and single is not None:
            yield from _Part(
                compiled, single.schedule, single.results, fused, alone, single.graph
            ).laps(places)
    seconds, calls = places["", "outside", ""]
    yield Lap("outside kernels", "outside kernels", "", "", calls, seconds)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one schedule does in a step, of so many samples.

    `lowered` is what it computes where that is another form of the `graph`.
    """

    compiled: Compiled
    schedule: Schedule
    results: tuple[Result, ...]
    graph: Graph
    samples: int
    lowered: Graph | None = None

    @property
    def traffic(self) -> Traffic:
        """Counts bytes."""
        return Traffic.of(
            self.compiled.program, self.schedule, self.graph, self.samples, self.lowered
        )

    def laps(self, places: dict[Any, list[float]]) -> Iterator[Lap]:
        """In the order of the schedule; what a step does not do again is left out."""
        traffic, graph = self.traffic, self.graph
        calls_of_blocks = (call for segment in self.schedule.segments for call in segment.calls)
        in_blocks = frozenset(call.computes for call in calls_of_blocks)
        namer = _Namer(self.compiled.graph, self.lowered or graph, in_blocks)
        for kind, name, call in spots(self.schedule):
            seconds, calls = places[self.schedule.name, kind, name]
            if not calls:
                continue
            if kind == "finish":
                calls = 1.0  # of which every tile has a lap
            if call is not None:
                known = self.lowered is None or graph.has(name)
                node = graph.node(name) if known else namer.graph.node(name)
                layer, op, direction = namer.of(node, kind)
                # A weight gradient of all blocks at once is computed where a segment ends.
                counts = known and (kind == "call" or name not in in_blocks)
                flops = self.samples * node_flops(node, graph) if counts else 0
                moved = traffic.call(call, calls, finish=kind == "finish")
                yield Lap(layer, op, direction, call.kernel, calls, seconds, flops, moved)
            else:
                load = next(load for load in self.schedule.loads if load.name == name)
                yield Lap(name, "input", "load", "", calls, seconds, 0, traffic.load(load))
        for result in self.results:
            seconds, calls = places[self.schedule.name, "store", result.name]
            moved = traffic.store(result)
            yield Lap(result.name, "output", "store", result.kernel, calls, seconds, 0, moved)


@dataclass(frozen=True, slots=True)
class _Namer:
    """What a node is called in a profile."""

    resolved: Graph
    graph: Graph
    parts: frozenset[str]

    def of(self, node: Node, kind: str) -> tuple[str, str, str]:
        """(layer, op, direction)."""
        layer = node.layer or node.name
        source = self.resolved if self.resolved.has(layer) else self.graph
        op = source.node(layer).op
        what = _describe(op.of if isinstance(op, Gradient) else op)
        # What a segment's blocks have each given a part of is added up at its end; for what blocks
        # compute of a weight, this is prepared at the start.
        for_blocks = {"prepare": ", weights", "finish": ", sum"}
        after = for_blocks.get(kind, "") if node.name in self.parts else ""
        if isinstance(node.op, Gradient):
            direction = f"{node.op.wrt} gradient"
        elif node.layer:
            words = node.op.NAME.replace("_", " ")
            direction = words.removeprefix("batch ").removeprefix("channel ")
        else:
            direction = "forward"
        return layer, what, direction + after


def _describe(op: Op | Input) -> str:
    """`conv 3x3`: the layer, and its window if it has one."""
    words = [op.NAME]
    kernel = getattr(op, "kernel", ())
    if kernel:
        words.append("x".join(map(str, kernel)))
    if getattr(op, "groups", 1) > 1:
        words.append("grouped")
    return " ".join(words)
