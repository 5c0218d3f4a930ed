"""One network, measured on every side: checked, warmed up, then timed in alternating rounds."""

from __future__ import annotations

import fcntl
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from peak import Peak
from worker import Worker, WorkerError

from cnnc.measure.work import forward_flops, training_flops
from sides import SIDES
from sides.agreement import Reference
from sides.network import Network

SCRIPT = str(Path(__file__).resolve().parent.parent / "peer.py")
Measure = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure and how. `lock`: a file that is locked while something is timed."""

    peers: Sequence[str]
    measures: Sequence[Measure]
    threads: int
    rounds: int
    seconds: float
    patience: float
    timed_on: Collection[int]
    prepared_on: Collection[int]
    lock: Path | None = None


@dataclass(slots=True)
class Match:
    """What was found for one network and number of threads.

    seconds: of a call, by `kind size`, then by side, a value a round. peaks and bandwidths: of one
    core, GFLOP/s and GB/s. parts: of the time, with a processor. differences: the largest one of a
    right result, by side. failures: why a side has no figure, by side, then by `kind size`.
    """

    network: str
    threads: int
    when: str
    flops: dict[str, int]
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    peaks: dict[str, list[float]] = field(default_factory=dict)
    bandwidths: list[float] = field(default_factory=list)
    parts: list[float] = field(default_factory=list)
    differences: dict[str, float] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the file of figures."""
        return asdict(self)


def label(measure: Measure) -> str:
    """As results name a measure."""
    return f"{measure[0]} {measure[1]}"


def play(name: str, plan: Plan, peak: Peak) -> Match:
    """Measure one network on every side that can run it."""
    network = Network(name)
    step = network.stages["grad"].step
    counts = {"inference": forward_flops(network.graph), "training": training_flops(step)}
    match = Match(name, plan.threads, time.strftime("%Y-%m-%d", time.gmtime()), counts)
    workers: dict[str, Worker] = {}
    try:
        with tempfile.TemporaryDirectory() as directory:
            _prepare(match, plan, workers, Path(directory))
        _time(match, plan, workers, peak)
    finally:
        for worker in workers.values():
            worker.close()
    return match


def _prepare(match: Match, plan: Plan, workers: dict[str, Worker], directory: Path) -> None:
    """Start the sides, compare their results, warm them up."""
    own = workers["cnnc"] = _start("cnnc", match.network, plan)
    reference = Reference(own, directory)
    for name in ("cnnc", *plan.peers):
        wanted = [m for m in plan.measures if m[0] in SIDES[name].kinds]
        if name not in workers and wanted:
            workers[name] = _start(name, match.network, plan)
        for measure in wanted:
            start = time.perf_counter()
            difference = _ready(name, workers[name], measure, reference, match, plan)
            if difference is not None and name != "cnnc":
                match.differences[name] = max(match.differences.get(name, 0.0), difference)
            passed = time.perf_counter() - start
            _say(f"{match.network}: {name}, {label(measure)}: {passed:.1f} s, {difference}")


def _start(name: str, network: str, plan: Plan) -> Worker:
    values = (SCRIPT, name, network, str(plan.threads))
    extra = SIDES[name].environment
    cores = plan.prepared_on
    return Worker(*values, threads=plan.threads, extra=extra, cores=cores, quiet=name != "cnnc")


def _ready(
    name: str, worker: Worker, measure: Measure, reference: Reference, match: Match, plan: Plan
) -> float | None:
    """Check and warm up one measure; how far its results are from cnnc's, None for a failure."""
    kind, size = measure
    difference = 0.0
    try:
        if name != "cnnc":
            difference = reference.check(worker, kind, size, plan.patience)
        values = {"weights": reference.weights, "kind": kind, "size": size}
        worker.ask("warm", at_most=plan.patience, **values)
    except WorkerError as failure:
        if name == "cnnc":
            raise
        match.failures.setdefault(name, {})[label(measure)] = str(failure)
        _say(f"{match.network}: {name}, {label(measure)}: {failure}")
        return None
    match.seconds.setdefault(label(measure), {})[name] = []
    return difference


def _time(match: Match, plan: Plan, workers: dict[str, Worker], peak: Peak) -> None:
    """Rounds: every measure, every side, the peak before and after; every other round backwards."""
    for worker in workers.values():
        worker.pin(plan.timed_on)
    for number in range(plan.rounds):
        with locked(plan.lock):
            for measure in plan.measures:
                names = list(match.seconds[label(measure)])
                before = peak.gflops()
                for name in reversed(names) if number % 2 else names:
                    _time_once(match, name, workers[name], measure, plan)
                both = (before + peak.gflops()) / 2
                match.peaks.setdefault(label(measure), []).append(both)
            match.bandwidths.append(peak.triad_bandwidth())


def _time_once(match: Match, name: str, worker: Worker, measure: Measure, plan: Plan) -> None:
    found = match.seconds[label(measure)]
    values = {"kind": measure[0], "size": measure[1], "at_least": plan.seconds}
    try:
        seconds, part = worker.ask("seconds", at_most=plan.patience, **values)
        found[name].append(seconds)
        match.parts.append(part)
    except WorkerError as failure:
        if name == "cnnc":
            raise
        match.failures.setdefault(name, {})[label(measure)] = str(failure)
        del found[name]


@contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Alone with the machine, among those who take the same lock."""
    if path is None:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
