"""Graph -> Graph: a training step computes again what is cheaper to compute than to keep.

A normalised activation follows from the convolution's own output, which the backward direction
keeps and reads anyway. A segment that reads the normalised one again makes it anew, element by
element, and it need not stay in memory between the directions. Changes no value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cnnc.ir.graph import Graph, Node
from cnnc.ops.op import Gradient, Input, Op, Trait
from cnnc.passes.segments import Segments, find_segments


def recompute(graph: Graph) -> Graph:
    """The graph with a training step that keeps less."""
    if graph.step is None:
        return graph
    return replace(graph, step=_Recomputer(graph.step).run())


class _Recomputer:
    """One walk over a step's graph; `reads` gives the segments in which a tensor is read."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.segments: Segments = find_segments(graph.nodes)
        self.reads: dict[str, set[int]] = {}
        for node in graph.nodes:
            for name in _operands(node):
                self.reads.setdefault(name, set()).add(self.segments.at[node.name])
        self.taken = {node.name for node in graph.nodes}

    def run(self) -> Graph:
        """The graph with a copy of a node in each later segment that reads it."""
        again: dict[tuple[str, int], Node] = {}
        for node in self.graph.nodes:
            for segment in self.segments_to_repeat(node):
                again[node.name, segment] = self.copy(node)
        nodes: list[Node] = []
        made: set[str] = set()
        for node in self.graph.nodes:
            at = self.segments.at[node.name]
            for name in _operands(node):
                copy = again.get((name, at))
                if copy is not None and copy.name not in made:
                    made.add(copy.name)
                    nodes.append(copy)
            renames = {n: again[n, at].name for n in _operands(node) if (n, at) in again}
            nodes.append(_reading(node, renames))
        return replace(self.graph, nodes=tuple(nodes))

    def segments_to_repeat(self, node: Node) -> Iterable[int]:
        """The segments behind its own that read it, if what it reads is kept as long anyway."""
        at = self.segments.at[node.name]
        later = sorted(s for s in self.reads.get(node.name, ()) if s > at)
        if not later or not _cheap(node) or node.name in self.segments.batch:
            return ()
        sources = [name for name in _operands(node) if name not in self.segments.batch]
        sources = [name for name in sources if self.graph.has(name)]
        if len(sources) != 1:
            return ()  # to read several tensors again costs more than to keep one
        held = all(max(self.reads[name]) >= later[-1] for name in sources)
        kept = any(output.tensor == node.name for output in self.graph.outputs)
        return () if kept or not held else later

    def copy(self, node: Node) -> Node:
        """The node once more, for readers in another segment."""
        name = f"{node.name}_again"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return replace(node, name=name, layer=node.name, late=True)


def _operands(node: Node) -> tuple[str, ...]:
    return (*node.inputs, *node.epilogue_inputs)


def _reading(node: Node, renames: dict[str, str]) -> Node:
    """The node with other tensors in place of some that it reads."""
    if not renames:
        return node
    return replace(
        node,
        inputs=tuple(renames.get(name, name) for name in node.inputs),
        epilogue_inputs=tuple(renames.get(name, name) for name in node.epilogue_inputs),
    )


def _cheap(node: Node) -> bool:
    """Whether a node is a few operations on each element of one tensor of the batch."""
    if not isinstance(node.op, Op) or len(node.shape) < 2:
        return False
    ops = (node.op, *node.epilogue)
    traits = [
        (op.of if isinstance(op, Gradient) else op).TRAITS
        for op in ops
        if not isinstance(op, Input)
    ]
    return all(Trait.ELEMENTWISE in t and not t & {Trait.HEAVY, Trait.BATCH} for t in traits)
