"""Lifetimes -> offsets: what of a schedule's tensors lies where.

A tensor that only one segment uses lies in the workspace of a thread, any other in memory that each
block keeps. Within either, tensors that are not needed at once share memory.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from cnnc.ir.graph import Node
from cnnc.ir.program import Buffer
from cnnc.ops.layout import Layout
from cnnc.passes.memory import Lifetime, place
from cnnc.passes.places import Places


@dataclass(frozen=True, slots=True)
class Step:
    """A node that runs in a segment, for every block, and the scratch that its kernel needs."""

    node: Node
    segment: int
    scratch: int


@dataclass(slots=True)
class Pins:
    """Workspace of tensors with a halo: zeroed once, so the same place in every schedule."""

    offsets: dict[tuple[str, Layout], int] = field(default_factory=dict)
    top: int = 0

    def at(self, tensor: str, layout: Layout) -> int:
        """The place of a tensor, now or from before."""
        if (tensor, layout) not in self.offsets:
            self.offsets[tensor, layout] = self.top
            self.top += layout.size
        return self.offsets[tensor, layout]


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


def lay_out(
    steps: Sequence[Step],
    places: Places,
    batch: Collection[str],
    ends: Collection[str],
    pins: Pins,
) -> Workspace:
    """Give every tensor of the steps memory; `ends` are read when their segment is over."""
    uses = _uses(steps, places, batch, ends)
    kept = [
        Lifetime(root, places.layouts[root], steps[first].segment, steps[last].segment)
        for root, (first, last) in uses.items()
        if steps[first].segment != steps[last].segment
    ]
    moved = {life.tensor for life in kept}
    local = [
        Lifetime(root, places.layouts[root], first, last)
        for root, (first, last) in uses.items()
        if root not in moved
    ]
    scratch = [
        Lifetime(f"scratch {step.node.name}", Layout(step.scratch), i, i)
        for i, step in enumerate(steps)
        if step.scratch
    ]
    pinned = {x.tensor: pins.at(x.tensor, x.layout) for x in local if not x.layout.dense}
    loose = [*(life for life in local if life.layout.dense), *scratch]
    offsets, size = place(loose, pins.top)
    offsets |= pinned
    kept_offsets, kept_size = _keep(kept)
    return Workspace(
        offsets,
        kept_offsets,
        tuple(_buffer(life, offsets) for life in [*local, *scratch]),
        tuple(_buffer(life, kept_offsets) for life in kept),
        size,
        kept_size,
        pins.top + sum(life.layout.size for life in loose),
    )


def _keep(kept: list[Lifetime]) -> tuple[dict[str, int], int]:
    """Memory that a block keeps: halos apart, since they are zeroed once."""
    pins = Pins()
    pinned = {x.tensor: pins.at(x.tensor, x.layout) for x in kept if not x.layout.dense}
    offsets, size = place([life for life in kept if life.layout.dense], pins.top)
    return offsets | pinned, size


def _buffer(life: Lifetime, offsets: dict[str, int]) -> Buffer:
    pinned = not life.layout.dense
    return Buffer(life.tensor, life.layout, offsets[life.tensor], life.first, life.last, pinned)


def _uses(
    steps: Sequence[Step], places: Places, batch: Collection[str], ends: Collection[str]
) -> dict[str, tuple[int, int]]:
    """Between which steps each piece of memory must hold: from the first writer to the last use."""
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
            start = index if node.inputs else starts[step.segment]
            first.setdefault(places.root(name), start)
        for tensor in (*reads, *map(places.root, writes)):
            last[tensor] = index
    for tensor in map(places.root, ends):
        if tensor in last:
            last[tensor] = max(last[tensor], stops[steps[last[tensor]].segment])
    return {tensor: (first[tensor], last[tensor]) for tensor in first}
