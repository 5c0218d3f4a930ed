"""A spec -> the fastest candidate of each of its kernels, by measurement: a Tuning.

The network is compiled in several variants (cnnc.measure.turns), each with a clock in it; steps of
all of these take turns, so that each kernel finds its data as in a real step. The times of a block
and of a single sample also say up to how many samples to take one by one. One thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from cnnc.codegen.build import check_runs_here
from cnnc.codegen.toolchain import chosen_targets, native_target
from cnnc.compiled import Compiled
from cnnc.compiler import compile_spec, lower, open_spec
from cnnc.ir.program import Program
from cnnc.ir.target import Target
from cnnc.measure.memory import machine_description, recall, remember
from cnnc.measure.step import Place, spots
from cnnc.measure.stopwatch import BLOCKS, time_variants
from cnnc.measure.turns import Turns, Variant
from cnnc.measure.ways import times_of_ways
from cnnc.options import Options
from cnnc.tuning import (
    LEAST_GAIN,
    Asked,
    Choice,
    Chosen,
    Measured,
    Outcome,
    Tuning,
    by_measurement,
)

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

    Of several targets, for each that this machine can run, in a share of the time; the Tuning says
    nothing of the others (`Tuning.warnings`). At least the first two candidates of each kernel are
    compiled and measured, however long it takes; a kernel of which not all were is gone on with the
    next time. Raises CompileError as compile_spec does, and where the machine runs none of the
    targets.
    """
    _, options = open_spec(spec, options)
    targets = chosen_targets(options.target)
    check_runs_here(*targets)
    host = native_target()
    here = [target for target in targets if target.runs_on(host)]
    start, tell = time.monotonic(), on_progress or _no_one
    outcomes: dict[str, Outcome] = {}
    model = ""
    for number, target in enumerate(here):
        now, end = time.monotonic(), start + seconds
        until = now + max(0.0, end - now) / (len(here) - number)

        def hear(what: str, prefix: str = f"{target.name}: " if len(here) > 1 else "") -> None:
            tell(min(1.0, (time.monotonic() - start) / seconds), prefix + what)

        single = replace(options, target=target.name, tuning=None, choose=None, algorithm=None)
        work = _Tuner(spec, single, target, now, until, stopwatch, hear)
        model, outcomes[target.name] = work.outcome()
    return Tuning(model, outcomes, machine_description())


@dataclass(frozen=True, slots=True)
class _Tuner:
    """The measurement of one target, from `start` until `end` of time.monotonic."""

    spec: str | Path
    options: Options
    target: Target
    start: float
    end: float
    stopwatch: Stopwatch
    tell: Callable[[str], None]

    def outcome(self) -> tuple[str, Outcome]:
        """The model's name, and what is known of it in the end."""
        known = recall(self.target)
        turns = Turns(known.kernels)
        variants = self.variants(turns)
        first = self.program(variants[0].choose)
        alone = known.alone.get(first.digest)
        # Some candidates may be out of reach now: what leads to them was settled to be slower.
        unknown = turns.names.keys() & first.asked - turns.known_in_part().keys()
        fresh = len(variants) > 1 or bool(unknown) or (alone is None and first.single is not None)
        programs: list[Program] = []
        tables: list[dict[Place, float]] = []
        new = turns.known_in_part()
        if fresh:
            programs, tables = self.measure(variants)
            new |= _settle(turns, variants, programs, tables)
        found = {**turns.settled, **new}
        final, asked = self.chosen(found)
        if fresh:
            alone = _samples_alone(final, programs, tables)
        counted = {} if alone is None else {first.digest: alone}
        if fresh:
            remember(self.target, Outcome(found, counted))
        return first.name, Outcome({k: each for k, each in found.items() if k in asked}, counted)

    def variants(self, turns: Turns) -> list[Variant]:
        """All that would have to be compiled; the first at least."""
        found: list[Variant] = []
        while True:
            variant = Variant(turns)
            turns.note(variant, self.program(variant.choose))
            if found and not variant.fresh:
                return found
            found.append(variant)

    def program(self, choose: Choice) -> Program:
        """What a choice comes to."""
        source, options = open_spec(self.spec, replace(self.options, choose=choose, alone=1))
        found: Program = next(form for stage, form in lower(source, options) if stage == "program")
        return found

    def chosen(self, found: Mapping[str, Measured]) -> tuple[Program, set[str]]:
        """What was measured to be the fastest, and the keys of all that was asked for it."""
        keys: set[str] = set()
        choose = by_measurement(found)

        def noting(asked: Asked) -> Chosen:
            keys.add(asked.key)
            return choose(asked)

        return self.program(noting), keys

    def measure(
        self, variants: Sequence[Variant]
    ) -> tuple[list[Program], list[dict[Place, float]]]:
        """The programs of as many variants as there is time for, and the times of their places."""
        compiled = list(self.compiled(variants))
        left = len(variants) - len(compiled)
        self.tell(f"measuring, no time for {left} candidates" if left else "measuring")
        tables = self.stopwatch(compiled, self.end)
        return [each.program for each in compiled], tables

    def compiled(self, variants: Sequence[Variant]) -> Iterator[Compiled]:
        """The variants, one after the other."""
        for rank, variant in enumerate(variants):
            late = time.monotonic() > self.start + _COMPILING * (self.end - self.start)
            if rank > 1 and late:
                return
            self.tell(f"compiling candidate {rank + 1} of {len(variants)}")
            options = replace(self.options, choose=variant.choose, alone=1, profile=True)
            yield compile_spec(self.spec, options=options)


def _settle(
    turns: Turns,
    variants: Sequence[Variant],
    programs: Sequence[Program],
    tables: Sequence[Mapping[Place, float]],
) -> dict[str, Measured]:
    """What the times say of each kernel whose first candidate was measured."""
    pairs = list(zip(programs, tables, strict=True))
    times = [_by_key(*pair) | ways for pair, ways in zip(pairs, times_of_ways(pairs), strict=True)]
    found = {}
    for key, names in turns.names.items():
        seconds: dict[str, float] = {}
        for variant, table in zip(variants, times, strict=False):
            name = variant.given.get(key)
            if name is not None and key in table:
                seconds[name] = min(table[key], seconds.get(name, table[key]))
        if seconds.get(names[0]):
            # Earlier times count in proportion to the first candidate's.
            earlier = turns.earlier(key)
            scale = seconds[names[0]] / earlier[names[0]] if earlier else 1.0
            every = {**{name: s * scale for name, s in earlier.items()}, **seconds}
            found[key] = Measured.of({name: every[name] for name in names if name in every})
    return found


def _by_key(program: Program, table: Mapping[Place, float]) -> dict[str, float]:
    """The time of a call of each kernel, by what a choice calls it: the mean of all of them."""
    total: dict[str, float] = {}
    calls: dict[str, int] = {}
    for schedule in program.schedules():
        for kind, name, call in spots(schedule):
            seconds = table.get((schedule.name, kind, name))
            for key in program.kernel(call.kernel).asked if call and seconds else ():
                total[key] = total.get(key, 0.0) + (seconds or 0.0)
                calls[key] = calls.get(key, 0) + (kind == "call")
    return {key: seconds / max(1, calls[key]) for key, seconds in total.items()}


def _samples_alone(
    final: Program, programs: Sequence[Program], tables: Sequence[Mapping[Place, float]]
) -> int | None:
    """Up to how many samples, of a block's, take less time one by one; None where none can.

    `final` is what is built in the end. Its calls take what those of the same form took.
    """
    if final.single is None:
        return None
    least: dict[object, float] = {}
    for program, table in zip(programs, tables, strict=True):
        forms = _forms(program)
        for place, seconds in table.items():
            for seen in ((place, forms.get(place)), place):
                least[seen] = min(seconds, least.get(seen, seconds))
    forms = _forms(final)
    # What is no kernel's call: to load, to store, and what lies between.
    others = {p for table in tables for p in table if p[1] not in ("prepare", "call", "finish")}

    def total(schedule: str, *but: str) -> float:
        places = [p for p in {*forms, *others} if p[0] == schedule and p[1] not in but]
        return sum(least.get((p, forms.get(p)), least.get(p, 0.0)) for p in places)

    block = total(final.infer.name)
    alone = total(final.single.schedule.name, "prepare")
    if not alone:
        return None
    return min(final.target.lanes, int(LEAST_GAIN * block / BLOCKS / alone))


def _forms(program: Program) -> dict[Place, object]:
    """The form of what is called at each place."""
    return {
        (schedule.name, kind, name): program.kernel(call.kernel).form
        for schedule in program.schedules()
        for kind, name, call in spots(schedule)
        if call is not None
    }


def _no_one(share: float, what: str) -> None:
    """For callers who do not want to know."""
    del share, what
