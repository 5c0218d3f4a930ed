"""Which nodes run between which barriers.

A tensor of the whole batch (Trait.BATCH) is known once every sample has been through the segment
that makes its parts; whatever reads it waits for the next segment. Everything runs as early as it
can, but for nodes that say otherwise (`Node.late`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnnc.ir.graph import Node
from cnnc.ops.op import Gradient, Input, Trait

BEFORE = -1
"""Where stands what reads no sample: before the first segment."""


@dataclass(frozen=True, slots=True)
class Segments:
    """`at` gives each node's segment; one of the whole batch is known at the end of it."""

    at: dict[str, int]
    count: int
    batch: frozenset[str]
    """Nodes whose result is one for the whole batch."""
    once: frozenset[str]
    """Those among them that read no samples: they are computed from others of the batch."""

    def reduced(self, name: str) -> bool:
        """Whether a node's result is summed over samples, block by block."""
        return name in self.batch and name not in self.once


def find_segments(nodes: Sequence[Node]) -> Segments:
    """The segments of nodes in an order in which every tensor is made before it is read."""
    at: dict[str, int] = {}
    batch = frozenset(node.name for node in nodes if is_batch(node))
    once = set()
    for node in nodes:
        # A fused op may read parameters besides tensors.
        reads = [name for name in (*node.inputs, *node.epilogue_inputs) if name in at]
        if node.name in batch and batch.issuperset(reads):
            once.add(node.name)
            at[node.name] = max((at[name] for name in reads), default=BEFORE)
        else:
            at[node.name] = max((at[name] + (name in batch) for name in reads), default=0)
    first_read: dict[str, int] = {}
    for node in nodes:
        for name in (*node.inputs, *node.epilogue_inputs):
            first_read[name] = min(first_read.get(name, at[node.name]), at[node.name])
    for node in nodes:
        if isinstance(node.op, Input) or node.late:
            at[node.name] = first_read.get(node.name, 0)
    return Segments(at, max([0, *at.values()]) + 1, batch, frozenset(once))


def is_batch(node: Node) -> bool:
    """Whether a node's result is one for the whole batch (gradients by parameters apart)."""
    return not isinstance(node.op, (Gradient, Input)) and Trait.BATCH in node.op.TRAITS
