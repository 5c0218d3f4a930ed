"""Which tensors pass through the cache on their way to the memory that keeps them.

What a convolution stores is read twice: at once, for a sum over the batch, and after a barrier. An
ordinary store to memory first fetches what it overwrites. So the convolution stores where the next
call finds it cached, and the sum, as it reads, stores it for later past the caches.
"""

from __future__ import annotations

from math import prod

from cnnc.ir.graph import Graph
from cnnc.ops.layout import Machine
from cnnc.ops.op import Input, Op, Trait
from cnnc.passes.places import Places
from cnnc.passes.segments import Segments
from cnnc.passes.strips import Strip

_LARGE = 8
"""From so many sizes of the first-level cache on, a block's tensor does not stay cached."""


def find_moves(
    graph: Graph, places: Places, segments: Segments, strips: dict[str, Strip], machine: Machine
) -> dict[str, str]:
    """Each such tensor -> the node that sums over it and moves it."""
    found: dict[str, str] = {}
    views = set(places.views.values())
    for node in graph.nodes:
        layout = places.layouts.get(node.name)
        if layout is None or isinstance(node.op, Input) or not places.computes(node):
            continue
        small = prod((layout.size, machine.lanes, 4)) < _LARGE * machine.level1
        if small or layout.haloed or node.name in views:
            continue
        at = segments.at[node.name]
        readers = graph.consumers(node.name)
        here = [reader for reader in readers if segments.at[reader.name] == at]
        if len(here) != 1 or len(readers) == 1:
            continue
        (mover,) = here
        sums = isinstance(mover.op, Op) and Trait.BATCH in mover.op.TRAITS
        alike = strips.get(mover.name) == strips.get(node.name)
        if sums and alike and mover.inputs[0] == node.name:
            found[node.name] = mover.name
    return found
