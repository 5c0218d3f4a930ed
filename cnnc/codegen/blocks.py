"""Schedules of a Program -> the text of their calls, as the module's templates place them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeAlias

from cnnc.codegen.calls import call_text, comment, part_name, statement, tile_name, wrapped
from cnnc.codegen.clock import Clock
from cnnc.codegen.text import WIDTH, plus
from cnnc.ir.calls import Call, Load, Turns
from cnnc.ir.program import Halves, Program, Result, Schedule, Segment

_TRAIN = (
    ("const float*", "parameters"),
    ("const float*", "shared"),
    ("vec*", "kept"),
    ("vec*", "work"),
    ("float*", "parts"),
    ("float*", "gradients"),
)
_FORWARD = (("const float*", "parameters"), ("const float*", "shared"), ("vec*", "work"))


@dataclass(frozen=True, slots=True)
class Memory:
    """A load's or a share's place, as text."""

    load: Load

    @property
    def at(self) -> str:
        """A pointer to its first element."""
        return plus(self.load.space, self.load.offset)


@dataclass(frozen=True, slots=True)
class Halved:
    """How a half of a layer's inputs is brought in, and the call that adds it up."""

    load: Load
    sums: str

    @property
    def at(self) -> str:
        """A pointer to where the array's first element comes."""
        return Memory(self.load).at


@dataclass(frozen=True, slots=True)
class Block:
    """What one block of samples goes through between two barriers.

    `losses` are (pointer to the loss of each lane, its share). `finish` runs once, afterwards;
    `tiled` are (function, call) of what it runs in pieces. `abreast` are the calls that all blocks
    side by side go through next; what follows them is another Block.
    """

    name: str
    schedule: str
    loads: tuple[Memory, ...]
    shares: tuple[Memory, ...]
    random: tuple[Memory, ...]
    calls: tuple[str, ...]
    finish: tuple[str, ...]
    tiled: tuple[tuple[str, str], ...]
    losses: tuple[tuple[str, str], ...]
    takes: tuple[tuple[str, str], ...]
    """(C type, name) of the memory that it is given."""
    divided: tuple[tuple[str, str], ...]
    """(function, call) of what threads share."""
    strips: bool
    """Whether some of it goes strip by strip."""
    ahead: int
    """Room for the tensors of which a strip's calls ask for the next strip's part; 0: none ask."""
    results: tuple[Result, ...] = ()
    """The outputs that it hands back."""
    abreast: tuple[str, ...] = ()
    cold: bool = False
    """Whether it is told that another core may have the parameters."""
    halved: Halved | None = None
    """What it is told of the layer that two threads compute by halves of its inputs."""

    @property
    def single(self) -> bool:
        """Whether it is one sample."""
        return self.schedule == "single"

    @property
    def call(self) -> str:
        """The call of it, with the same names, for its part of the loss if it has one."""
        told = ("accumulate", "cold") if self.cold else ("accumulate",)
        names = ("arrays", "block", *(name for _, name in self.takes), *told)
        return wrapped(f"{'return ' if self.losses else ''}{self.name}", names, width=WIDTH - 8)


@dataclass(frozen=True, slots=True)
class Batch:
    """A schedule: what is prepared once, then its blocks; `cost` is what one takes, as there."""

    name: str
    prepare: tuple[str, ...]
    blocks: tuple[Block, ...]
    cost: int
    segments: int

    @property
    def halved(self) -> Halved | None:
        """The same of its first block."""
        return self.blocks[0].halved

    @property
    def abreast(self) -> bool:
        """Whether blocks go side by side: then there is one segment, and a Block for every leg."""
        return len(self.blocks) > self.segments


def batches(program: Program, clock: Clock | None = None) -> list[Batch]:
    """Every schedule of a program, with a lap of the clock, if there is one, after every call."""
    return [_batch(program, schedule, clock) for schedule in program.schedules()]


def memory_of(program: Program, schedule: Schedule) -> tuple[tuple[str, str], ...]:
    """(C type, name) of the memory that the blocks of a schedule are given."""
    there = {
        "shared": program.shared > 0,
        "kept": schedule.kept_size > 0,
        "parts": program.parts > 0,
    }
    every = _TRAIN if schedule.name == "train" else _FORWARD
    return tuple((ctype, name) for ctype, name in every if there.get(name, True))


def _batch(program: Program, schedule: Schedule, clock: Clock | None) -> Batch:
    takes = memory_of(program, schedule)
    legs = [leg for segment in schedule.segments for leg in _legs(segment)]
    blocks = tuple(
        _block(program, schedule.name, f"{number}" if len(legs) > 1 else "", leg, takes, clock)
        for number, leg in enumerate(legs)
    )
    prepare = _timed(
        _once(program, schedule.prepare), schedule.prepare, clock, schedule.name, "prepare"
    )
    return Batch(schedule.name, prepare, blocks, schedule.cost, len(schedule.segments))


Leg: TypeAlias = tuple[Segment, tuple[Call, ...]]
"""What a block goes through by itself, and the calls that blocks go through abreast then."""


def _legs(segment: Segment) -> Iterator[Leg]:
    """A segment cut where blocks go abreast; it is over when the last leg is."""
    calls: list[Call] = []
    abreast: list[Call] = []
    loads = segment.loads
    for call in segment.calls:
        if abreast and not call.abreast:
            yield Segment(loads, tuple(calls), ()), tuple(abreast)
            loads, calls, abreast = (), [], []
        (abreast if call.abreast else calls).append(call)
    if abreast:
        yield Segment(loads, tuple(calls), ()), tuple(abreast)
        loads, calls = (), []
    yield replace(segment, loads=loads, calls=tuple(calls)), ()


def _block(
    program: Program,
    schedule: str,
    number: str,
    leg: Leg,
    takes: tuple[tuple[str, str], ...],
    clock: Clock | None,
) -> Block:
    segment, abreast = leg
    loads = [Memory(load) for load in segment.loads]
    size = program.single.schedule.size if program.single else 0
    halves = program.train.halves if schedule == "train" and program.train else None
    texts = tuple(_whole_or_half(program, call, halves) for call in segment.calls)
    calls = _timed(texts, segment.calls, clock, schedule, "call")
    finish = [call for call in segment.finish if call not in program.ending]
    return Block(
        f"{schedule}_block{number}",
        schedule,
        tuple(m for m in loads if m.load.dtype not in ("weight", "live", "random")),
        tuple(m for m in loads if m.load.dtype in ("weight", "live")),
        tuple(m for m in loads if m.load.dtype == "random"),
        tuple(textwrap.indent(text, "    ") for text in _runs(calls, segment.calls)),
        _timed(_once(program, finish), finish, clock, schedule, "finish"),
        tuple(
            (tile_name(call), call_text(program.kernel(call.kernel), call))
            for call in finish
            if call.pieces > 1
        ),
        tuple((plus(place.space, place.offset), share) for place, share in segment.losses),
        takes,
        tuple(
            (part_name(call), call_text(program.kernel(call.kernel), call, size))
            for call in segment.calls
            if call.units > 1
        ),
        any(call.turns for call in segment.calls),
        max((max(1, len(t.ahead)) for c in segment.calls if (t := c.turns) and t.every), default=0),
        _results(program, schedule) if not abreast else (),
        _timed(_once(program, abreast), abreast, clock, schedule, "call"),
        schedule == "train" and program.train is not None and program.train.cold,
        _halved(program, segment, halves) if halves else None,
    )


def _halved(program: Program, segment: Segment, halves: Halves) -> Halved:
    """What a block is told of a layer that may be computed by halves."""
    (load,) = (load for load in segment.loads if load.name == halves.source)
    return Halved(load, statement(program.kernel(halves.sums.kernel), halves.sums))


def _whole_or_half(program: Program, call: Call, halves: Halves | None) -> str:
    """A call, or what is left of it where a half of the inputs has been added up."""
    text = statement(program.kernel(call.kernel), call)
    if halves is None or call.computes != halves.layer:
        return text
    rest = statement(program.kernel(halves.rest.kernel), halves.rest)
    whole, half = (textwrap.indent(each, "    ") for each in (text, rest))
    return f"if end - begin == {halves.inputs}:\n{whole}\nelse:\n{half}"


def _results(program: Program, schedule: str) -> tuple[Result, ...]:
    """What a schedule hands back."""
    if schedule == "single" and program.single is not None:
        return program.single.results
    return program.results if schedule == "infer" else ()


def _runs(texts: Sequence[str], calls: Sequence[Call]) -> Iterator[str]:
    """Each call, those that are gone through strip by strip in their loop."""
    pairs = zip(texts, calls, strict=True)
    for turns, run in groupby(pairs, key=lambda pair: pair[1].turns):
        found = [text for text, _ in run]
        if turns is None:
            yield from found
        else:
            body = textwrap.indent("\n".join((*_ahead(turns), *found)), "    ")
            yield f"# Strips of {turns.by}\nfor strip in range({turns.count}):\n{body}"


def _ahead(turns: Turns) -> Iterator[str]:
    """What a strip's calls ask for: the next strip's part of tensors, or the next block's first."""
    if not turns.every:
        return
    tensors = ", ".join(part.tensor for part in turns.ahead)
    note = f"The next strip's {tensors}" if tensors else "The next strip reads nothing that is kept"
    yield from map(comment, textwrap.wrap(note, WIDTH - 14, break_on_hyphens=False))
    yield f"ahead_begin(&ahead, {turns.every})"
    for part in turns.ahead:
        step = f" * {part.step}" if part.step > 1 else ""
        further = f"((strip + 1){step} if strip < {turns.count - 1} else {part.block})"
        start = f"kept + {part.offset} + {further}"
        yield wrapped(
            "ahead_add",
            ("&ahead", start, f"{part.runs}", f"{part.stride}", f"{part.elements}"),
            width=WIDTH - 8,
        )


def _once(program: Program, calls: Sequence[Call]) -> tuple[str, ...]:
    return tuple(statement(program.kernel(call.kernel), call) for call in calls)


def _timed(
    texts: tuple[str, ...],
    calls: Sequence[Call],
    clock: Clock | None,
    schedule: str,
    kind: str,
) -> tuple[str, ...]:
    """The texts of calls, each with its lap; what came before the first is none of theirs."""
    if clock is None or not texts:
        return texts
    pairs = zip(texts, calls, strict=True)
    first, *others = (f"{text}\n{clock.lap(schedule, kind, call.computes)}" for text, call in pairs)
    return (first if kind == "call" else f"{clock.outside}\n{first}", *others)
