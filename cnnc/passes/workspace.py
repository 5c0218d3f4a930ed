"""Lifetimes -> offsets: what of a schedule's tensors lies where.

A tensor that only one segment uses lies in the workspace of a thread, any other in memory that each
block keeps. Within either, tensors that are not needed at once share memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cnnc.ir.graph import Node
from cnnc.ir.interpret import operand_names
from cnnc.ir.program import Buffer
from cnnc.ops.layout import Layout
from cnnc.passes.memory import Lifetime, place
from cnnc.passes.pins import Pins
from cnnc.passes.room import Room


@dataclass(frozen=True, slots=True)
class Step:
    """A node that runs in a segment, for every block."""

    node: Node
    segment: int


@dataclass(frozen=True, slots=True)
class Workspace:
    """Offsets by tensor; see cnnc.ir.program.Schedule for the sizes."""

    offsets: dict[str, int]
    kept_offsets: dict[str, int]
    buffers: tuple[Buffer, ...]
    kept: tuple[Buffer, ...]
    size: int
    kept_size: int
    unplanned: int


@dataclass(frozen=True, slots=True)
class Lives:
    """The memory that steps need: `local` within a segment, by step; `kept` beyond, by segment."""

    local: tuple[Lifetime, ...]
    kept: tuple[Lifetime, ...]

    def in_place(self, places: Mapping[str, str]) -> Lives:
        """The same where tensors take the places of others, of which `places` gives the names.

        The order is that in which they do. Where one is kept and the other is not, they stay apart.
        """
        return Lives(_joined(self.local, places), _joined(self.kept, places))


def find_lives(
    steps: Sequence[Step], room: Room, ends: Collection[str], late: Sequence[Step] = ()
) -> Lives:
    """When each piece of memory must hold; `ends` are read when their segment is over.

    `late` run when every block has been through their segment: what they read is kept until then.
    """
    local, kept = [], []
    places = room.places
    until: dict[str, int] = {}
    for step in late:
        for operand, name in operand_names(step.node).items():
            if name not in places.layouts or (step.node.name in room.again and operand == "input"):
                continue
            root = places.root(name)
            until[root] = max(step.segment, until.get(root, step.segment))
    for root, (first, last) in _uses(steps, room, ends).items():
        start, stop = steps[first].segment, steps[last].segment
        stop = max(stop, until.get(root, stop))
        if start == stop and root not in until:
            local.append(Lifetime(root, places.layouts[root], first, last))
        else:
            kept.append(Lifetime(root, places.layouts[root], start, stop))
    places_of = {step.node.name: index for index, step in enumerate(steps)}
    for tensor, mover in room.moves.items():
        if tensor in places_of and mover in places_of:
            span = places_of[tensor], places_of[mover]
            local.append(Lifetime(f"{tensor} on its way", room.passing(tensor), *span))
    return Lives(tuple(local), tuple(kept))


def lay_out(lives: Lives, scratch: Mapping[str, tuple[int, int]], pins: Pins) -> Workspace:
    """Give every tensor memory; `scratch` has the step and the elements by the node's name."""
    extra = [
        Lifetime(f"scratch {name}", Layout(size), index, index)
        for name, (index, size) in scratch.items()
    ]
    loose = [*(life for life in lives.local if not life.layout.haloed), *extra]
    offsets, size = place(loose, pins.top)
    offsets |= pins.offsets(lives.local)
    kept_offsets, kept_size = _keep(lives.kept)
    return Workspace(
        offsets,
        kept_offsets,
        tuple(_buffer(life, offsets) for life in [*lives.local, *extra]),
        tuple(_buffer(life, kept_offsets) for life in lives.kept),
        size,
        kept_size,
        sum(pins.apart.values()) + sum(life.layout.size * len(life.names) for life in loose),
    )


def _keep(kept: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    """Memory that a block keeps: halos apart, since they are zeroed once."""
    pins = Pins()
    pins.take(kept)
    offsets, size = place([life for life in kept if not life.layout.haloed], pins.top)
    return offsets | pins.offsets(kept), size


def _joined(lives: Sequence[Lifetime], places: Mapping[str, str]) -> tuple[Lifetime, ...]:
    """One piece of memory for tensors that follow one another there."""
    found = {life.tensor: life for life in lives}
    heads = {name: name for name in found}
    for tensor, before in places.items():
        if tensor in found and before in heads:
            heads[tensor] = heads[before]
            found[heads[before]] = found[heads[before]].then(found.pop(tensor))
    return tuple(found.values())


def _buffer(life: Lifetime, offsets: dict[str, int]) -> Buffer:
    offset, pinned = offsets[life.tensor], life.layout.haloed
    return Buffer(life.tensor, life.layout, offset, life.first, life.last, pinned, life.also)


def _uses(steps: Sequence[Step], room: Room, ends: Collection[str]) -> dict[str, tuple[int, int]]:
    """Between which steps each piece of memory must hold: from the first writer to the last use."""
    places, batch = room.places, room.segments.batch
    turns = _turns(steps, room)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    starts: dict[int, int] = {}
    stops: dict[int, int] = {}
    for index, step in enumerate(steps):
        starts.setdefault(step.segment, index)
        stops[step.segment] = index
    for index, step in enumerate(steps):
        node = step.node
        operands = (*node.inputs, *node.epilogue_inputs)
        reads = [places.root(name) for name in operands if name in places.layouts]
        writes = [] if node.name in places.gradient_of or node.name in batch else [node.name]
        for name in writes:
            # Arrays are brought in before a segment's first call.
            start = turns[index][0] if node.inputs else starts[step.segment]
            local = node.name in room.strips and node.name in room.strips[node.name].local
            first.setdefault(places.root(name), index if local else start)
        for tensor in (*reads, *map(places.root, writes)):
            local = node.name in room.strips and tensor in room.strips[node.name].local
            last[tensor] = index if local else turns[index][1]
    for tensor in map(places.root, ends):
        if tensor in last:
            last[tensor] = max(last[tensor], stops[steps[last[tensor]].segment])
    return {tensor: (first[tensor], last[tensor]) for tensor in first}


def _turns(steps: Sequence[Step], room: Room) -> list[tuple[int, int]]:
    """For each step the first and the last of those that are gone through in turn with it.

    What is not local to a strip must hold from the first turn to the last.
    """
    spans: dict[int, tuple[int, int]] = {}
    numbers = []
    for index, step in enumerate(steps):
        strip = room.strips.get(step.node.name)
        number = strip.number if strip else -1 - index
        numbers.append(number)
        spans[number] = (spans.get(number, (index, index))[0], index)
    return [spans[number] for number in numbers]
