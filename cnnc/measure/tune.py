"""A spec -> the fastest candidate of each of its kernels, by measurement: a Tuning.

The network is compiled once for each rank of candidates, every kernel its k-th, with a clock in it;
steps of all of these take turns, so that each kernel finds its data as in a real step. The times of
a block and of a single sample also say up to how many samples to take one by one. One thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from cnnc.codegen.build import check_runs_here
from cnnc.codegen.toolchain import host_targets, named_targets, native_target
from cnnc.compiled import Compiled
from cnnc.compiler import Options, compile_spec, lower, open_spec
from cnnc.ir.program import Program
from cnnc.ir.target import Target
from cnnc.measure.memory import machine_description, recall, remember
from cnnc.measure.step import Place, spots
from cnnc.measure.stopwatch import BLOCKS, time_variants
from cnnc.tuning import LEAST_GAIN, Asked, Choice, Chosen, Measured, Tuning

SECONDS = 60.0
"""The time that a measurement may take, compilers included, unless another is asked for."""

_COMPILING = 0.6
"""The share of that time after which no further candidates are compiled."""

Heard: TypeAlias = Callable[[float, str], None]
"""Told how much of the time is over, from 0 to 1, and what is being done."""

Stopwatch: TypeAlias = Callable[[Sequence[Compiled], float], list[dict[Place, float]]]
"""What measures; see `time_variants`."""


def tune(
    spec: str | Path,
    options: Options | None = None,
    seconds: float = SECONDS,
    *,
    stopwatch: Stopwatch = time_variants,
    on_progress: Heard | None = None,
) -> Tuning:
    """Measure for about so many seconds what no measurement on this machine has settled before.

    Of several targets, for the one that this machine takes. At least the first two candidates of
    each kernel are compiled and measured, however long it takes; a kernel of which not all were is
    gone on with the next time. Raises CompileError as compile_spec does, and where the machine runs
    none of the targets.
    """
    source, options = open_spec(spec, options)
    target = _target(options.target)
    options = replace(options, target=target.name, tuning=None, choose=None, algorithm=None)
    work = _Tuner(spec, options, seconds, stopwatch, on_progress or _no_one)
    listing = replace(options, choose=work.list_candidates)
    program: Program = next(form for stage, form in lower(source, listing) if stage == "program")
    known = recall(target)
    work.recall(known)
    alone = {program.digest: known.alone[program.digest]} if program.digest in known.alone else {}
    missing = work.missing()
    fresh = bool(missing) or (not alone and program.single is not None)
    if fresh:
        counted = work.measure(missing)
        alone = alone if counted is None else {program.digest: counted}
    tuning = Tuning(target.name, program.name, machine_description(), work.found, alone)
    if fresh:
        remember(target, tuning)
    return tuning


@dataclass(slots=True)
class _Tuner:
    """A measurement under way: `candidates` by kernel, and what of them is `found`."""

    spec: str | Path
    options: Options
    seconds: float
    stopwatch: Stopwatch
    tell: Heard
    start: float = field(default_factory=time.monotonic)
    candidates: dict[str, tuple[str, ...]] = field(default_factory=dict)
    found: dict[str, Measured] = field(default_factory=dict)
    partly: dict[str, Mapping[str, float]] = field(default_factory=dict)
    """Seconds of some candidates, from an earlier measurement."""

    def list_candidates(self, asked: Asked) -> Chosen:
        """A choice that notes what there is to choose from."""
        if asked.ways:
            return Chosen(asked.forms[0])
        names = tuple(asked.candidates())
        if len(names) > 1:
            self.candidates[asked.key] = names
        return Chosen(asked.forms[0])

    def recall(self, known: Tuning) -> None:
        """Take over what earlier measurements say of these kernels."""
        for key, names in self.candidates.items():
            measured = known.kernels.get(key)
            if measured is None:
                continue
            if set(names) <= measured.seconds.keys():
                self.found[key] = measured
            elif measured.seconds.get(names[0]):
                self.partly[key] = {n: s for n, s in measured.seconds.items() if n in names}

    def missing(self) -> dict[str, tuple[str, ...]]:
        """Those candidates, behind each kernel's first, of which nothing is known."""
        return {
            key: (first, *(name for name in names if name not in self.partly.get(key, ())))
            for key, (first, *names) in self.candidates.items()
            if key not in self.found
        }

    def measure(self, missing: Mapping[str, tuple[str, ...]]) -> int | None:
        """Find their fastest; return the samples to take one by one, if the network can."""
        variants = list(self._variants(missing))
        self.tell(self._share(), "measuring")
        tables = self.stopwatch(variants, self.start + self.seconds)
        program = variants[0].program
        pairs = zip(variants, tables, strict=True)
        by_key = [_by_key(variant.program, table) for variant, table in pairs]
        for key, names in missing.items():
            seconds: dict[str, float] = {}
            for rank, table in enumerate(by_key):
                name = names[rank] if rank < len(names) else names[0]
                if key in table:
                    seconds[name] = min(table[key], seconds.get(name, table[key]))
            if seconds.get(names[0]):
                self.found[key] = self._with_earlier(key, seconds)
        return _samples_alone(program, tables)

    def _with_earlier(self, key: str, seconds: Mapping[str, float]) -> Measured:
        """The outcome for a kernel. Earlier times count in proportion to the first candidate's."""
        first, earlier = self.candidates[key][0], self.partly.get(key, {})
        scale = seconds[first] / earlier[first] if earlier else 1.0
        every = {**{name: s * scale for name, s in earlier.items()}, **seconds}
        return Measured.of({name: every[name] for name in self.candidates[key] if name in every})

    def _variants(self, missing: Mapping[str, tuple[str, ...]]) -> Iterator[Compiled]:
        """The network with the first candidate of each kernel, the second, and so on."""
        ranks = max(map(len, missing.values()), default=1)
        for rank in range(ranks):
            if rank > 1 and self._share() > _COMPILING:
                return
            self.tell(self._share(), f"compiling candidate {rank + 1} of {ranks}")
            choose = _ranked(rank, missing, self.found)
            options = replace(self.options, choose=choose, alone=1, profile=True)
            yield compile_spec(self.spec, options=options)

    def _share(self) -> float:
        """How much of the time is over."""
        return min(1.0, (time.monotonic() - self.start) / self.seconds)


def _ranked(
    rank: int, missing: Mapping[str, tuple[str, ...]], found: Mapping[str, Measured]
) -> Choice:
    """Each missing kernel's candidate of that rank, its first where it has fewer."""

    def chosen(asked: Asked) -> Chosen:
        if asked.ways:
            return Chosen(asked.forms[0])
        key = asked.key
        if key in missing:
            names = missing[key]
            return Chosen(asked.candidates()[names[rank] if rank < len(names) else names[0]])
        return Chosen(asked.candidates()[found[key].choice] if key in found else asked.forms[0])

    return chosen


def _by_key(program: Program, table: Mapping[Place, float]) -> dict[str, float]:
    """The time of each kernel, all its places together, by what a choice calls it."""
    total: dict[str, float] = {}
    for schedule in program.schedules():
        for kind, name, call in spots(schedule):
            seconds = table.get((schedule.name, kind, name))
            for key in program.kernel(call.kernel).asked if call and seconds else ():
                total[key] = total.get(key, 0.0) + (seconds or 0.0)
    return total


def _samples_alone(program: Program, tables: Sequence[Mapping[Place, float]]) -> int | None:
    """Up to how many samples, of a block's, take less time one by one; None where none can."""
    if program.single is None:
        return None
    places = {place: min(t[place] for t in tables if place in t) for t in tables for place in t}
    block = sum(s for (schedule, *_), s in places.items() if schedule == program.infer.name)
    alone = sum(
        s
        for (schedule, kind, _), s in places.items()
        if schedule == program.single.schedule.name and kind != "prepare"
    )
    if not alone:
        return None
    return min(program.target.lanes, int(LEAST_GAIN * block / BLOCKS / alone))


def _target(text: str | None) -> Target:
    """The target that this machine takes."""
    targets = named_targets(text, "target") if text else host_targets()
    check_runs_here(*targets)
    host = native_target()
    return next(target for target in targets if target.runs_on(host))


def _no_one(share: float, what: str) -> None:
    """For callers who do not want to know."""
    del share, what
