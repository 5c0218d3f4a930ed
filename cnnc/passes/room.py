"""What is decided of a graph's memory before its calls are made."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cnnc.ir.graph import Graph
from cnnc.ops.layout import Machine
from cnnc.ops.op import Gradient
from cnnc.passes.places import Places, find_places
from cnnc.passes.segments import Segments, find_segments

LINE = 16
"""Floats in a cache line, on which every parameter and every row of statistics starts."""


@dataclass(frozen=True, slots=True)
class Room:
    """A graph, its layouts and segments; `shared` and `parts` give offsets by tensor, in floats.

    `late` are the parameter gradients that are computed for all blocks at once, at the end of their
    segment.
    """

    graph: Graph
    places: Places
    segments: Segments
    shared: dict[str, int]
    parts: dict[str, int]
    late: frozenset[str]
    suffix: str = ""
    """Of the names of its kernels."""

    @property
    def direct(self) -> frozenset[str]:
        """Parameters whose gradient is computed once, not summed over groups of blocks."""
        once = self.late | self.segments.once
        return frozenset(p for p, node in self.graph.gradients if node in once)


def make_room(graph: Graph, shared_from: int, machine: Machine, suffix: str = "") -> Room:
    """The room of a graph whose shared floats start behind those of another."""
    segments = find_segments(graph.nodes)
    gradients = {node for _, node in graph.gradients}
    shared: dict[str, int] = {}
    parts: dict[str, int] = {}
    top, parts_top = shared_from, 0
    for node in graph.nodes:
        if node.name not in segments.batch or node.name in gradients:
            continue
        shared[node.name], top = top, top + on_line(prod(node.shape))
        if segments.reduced(node.name):
            parts[node.name], parts_top = parts_top, parts_top + on_line(prod(node.shape))
    places = find_places(graph)
    late = _find_late(graph, places, machine)
    return Room(graph, places, segments, shared, parts, late, suffix)


def _find_late(graph: Graph, places: Places, machine: Machine) -> frozenset[str]:
    """The parameter gradients whose op has a kernel for all blocks at once."""
    found = set()
    for _, name in graph.gradients:
        node = graph.node(name)
        if isinstance(node.op, Gradient) and not node.epilogue:
            form = node.op.of.batch_form(node.op.wrt, places.of(node), machine)
            found |= {name} if form is not None else set()
    return frozenset(found)


def floats_of(room: Room, offsets: dict[str, int]) -> int:
    """Where the last of these offsets ends; 0 where there is none."""
    ends = (at + on_line(prod(room.graph.node(name).shape)) for name, at in offsets.items())
    return max(ends, default=0)


def on_line(floats: int) -> int:
    """So many floats, up to a whole cache line."""
    return -(-floats // LINE) * LINE
