"""How a training step ends: what is left when all blocks are through -> the text of it.

Gradients of groups of blocks are added up piece by piece; others are computed tile by tile, for all
blocks at once. Whoever has a part of them takes the step of its parameters, whose gradients are
then still in that thread's cache. Which parts are whose is the pool's business, by what they take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from cnnc.codegen.calls import call_text, tile_name
from cnnc.codegen.clock import Clock
from cnnc.codegen.templates import macro
from cnnc.ir.calls import Call
from cnnc.ir.program import Program

_BYTES = 20
"""Of weights, gradients and optimizer state, read or written in a nanosecond."""

_LINE = 16
"""Floats of a cache line."""

_PIECE = 256
"""Registers of the arena that are one part of the work, at the least."""

_MOST_PIECES = 1024


@dataclass(frozen=True, slots=True)
class Tiles:
    """A gradient in tiles: `name` is the function that computes one of them, by `call`.

    `lap` is the clock's, if there is one.
    """

    name: str
    call: str
    lap: str


@dataclass(frozen=True, slots=True)
class Span:
    """Parts of the work that are tiles of one gradient, from part `start` to `stop`.

    Parts are counted from the first tile on; `back` is how far a part's number is beyond its
    tile's. `alike` are (first part, stop, nanoseconds of each) of those that take one thread
    equally long; the last is an expression of the number of `blocks`.
    """

    name: str
    start: int
    stop: int
    back: int
    alike: tuple[tuple[int, int, str], ...]


def ending(program: Program, clock: Clock | None) -> dict[str, Any]:
    """What the templates of a step's end place, by name."""
    training = program.training
    if training is None:
        return {}
    optimizer = training.optimizer
    registers = program.pieced // program.target.lanes
    piece = max(_PIECE, -(-registers // _MOST_PIECES))
    rates = macro(optimizer.NAME, "rates")(optimizer).strip().splitlines()
    moved = 3 + 2 * len(optimizer.SLOTS)
    spans = tuple(_spans(program, moved))
    return {
        "gradients": [
            Tiles(
                tile_name(call),
                call_text(program.kernel(call.kernel), call),
                clock.lap("train", "finish", call.computes) if clock else "",
            )
            for call in program.ending
        ],
        "spans": spans,
        "halves_end": _halves_end(program, spans),
        "tiled": any(kernel.form.piece_sizes() for kernel in program.kernels),
        "piece": piece,
        "pieces": -(-registers // piece),
        "moved": moved,
        "rates": [tuple(line.split(" = ", 1)) for line in rates],
    }


def _spans(program: Program, moved: int) -> Iterator[Span]:
    """All tiles in an order of which two threads get about half each.

    The most work lies in the middle, half of every other gradient before and half behind it: so the
    border between two shares, which falls on the border of a tile, is near the middle. Where rows
    do not end with a cache line, tiles share lines, and are left to one thread.
    """
    calls = sorted(program.ending, key=lambda call: call.cost)
    halves = [(call, call.pieces // 2 if _on_lines(program, call) else 0) for call in calls[:-1]]
    before = [(call, 0, half) for call, half in halves]
    behind = [(call, half, call.pieces) for call, half in reversed(halves)]
    middle = [(call, 0, call.pieces) for call in calls[-1:]]
    part = 0
    for call, first, stop in (*before, *middle, *behind):
        if first < stop:
            alike = tuple(_alike(program, call, moved, first, stop, part - first))
            yield Span(tile_name(call), part, part + stop - first, part - first, alike)
            part += stop - first


def _halves_end(program: Program, spans: Sequence[Span]) -> int:
    """The tiles before that which begins with the second half of a layer's inputs; 0 without one.

    It is the layer whose tiles lie in the middle.
    """
    halves = program.train.halves if program.train else None
    if halves is None:
        return 0
    (call,) = (call for call in program.ending if call.computes == halves.gradient)
    floats = prod(next(s.shape for s in program.slots if s.offset == call.operands[-1].offset))
    left = floats // halves.inputs * halves.first
    part = next(span.start for span in spans if span.name == tile_name(call))
    for count, size in program.kernel(call.kernel).form.piece_sizes():
        tiles = min(count, left // size)
        part, left = part + tiles, left - tiles * size
    return part


def _on_lines(program: Program, call: Call) -> bool:
    """Whether every row of the weight whose gradient it is begins a cache line."""
    offset = call.operands[-1].offset
    (slot,) = (slot for slot in program.slots if slot.offset == offset)
    return slot.shape[-1] % _LINE == 0


def _alike(
    program: Program, call: Call, moved: int, first: int, stop: int, back: int
) -> Iterator[tuple[int, int, str]]:
    """Of the tiles from `first` to `stop`; see Span."""
    sizes = program.kernel(call.kernel).form.piece_sizes()
    floats = sum(count * size for count, size in sizes)
    start = 0
    for count, size in sizes:
        low, high = max(first, start), min(stop, start + count)
        if low < high:
            nanoseconds = f"blocks * {call.cost * size // floats}.0 + {size * 4 * moved // _BYTES}"
            yield low + back, high + back, nanoseconds
        start += count
