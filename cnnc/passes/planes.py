"""Which tensors of one sample may lie as planes (cnnc.ops.single_planes), and who reads them so.

What reads a tensor otherwise gets a copy with the channels in lanes. Chooses no algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cnnc.ir.graph import Graph, Node
from cnnc.ops.op import Op, Trait
from cnnc.ops.shapes import Shape
from cnnc.ops.single import Single
from cnnc.ops.single_columns import SingleColumns
from cnnc.ops.window import Pads
from cnnc.passes.algorithms import Algorithms


def no_halo(shape: Shape) -> Pads:
    """That of a tensor's space."""
    return tuple((0, 0) for _ in shape[1:])


@dataclass(frozen=True, slots=True)
class Planes:
    """Asks a fused graph's ops, and the lowering's choice of an algorithm."""

    graph: Graph
    lanes: int
    algorithms: Algorithms

    def found(self, node: Node, op: Op, halo: Pads | None) -> Single | None:
        """What could stand in for a node's op, where its result may lie so; `halo` as there."""
        shapes = tuple(self.graph.node(name).shape for name in node.inputs)
        found = op.for_single(shapes, self.lanes, halo)
        if found is None:
            return None
        if not self.may_be(node):
            if found.planes:
                return op.for_single(shapes, self.lanes, None)
            return replace(found, others=tuple(way for way in found.others if not way.planes))
        return replace(found, others=tuple(self.informed(way, node) for way in found.others))

    def informed(self, way: Single, node: Node) -> Single:
        """The same, told whether somebody needs a copy of its result."""
        match way.op:
            case SingleColumns() as op:
                return replace(way, op=replace(op, copied=not self.all_read(node.name)))
        return way

    def may_be(self, node: Node) -> bool:
        """Whether what is applied to a node's result can be applied to planes."""
        if any(self.has_lanes(name) for name in node.epilogue_inputs):
            return False
        return all(self.applies(op, node.shape) for op in node.epilogue if isinstance(op, Op))

    def has_lanes(self, name: str) -> bool:
        """Whether what an op reads besides is a tensor of the sample, and no parameter."""
        op = self.graph.node(name).op if self.graph.has(name) else None
        return op is not None and not (isinstance(op, Op) and Trait.BATCH in op.TRAITS)

    def applies(self, op: Op, shape: Shape) -> bool:
        """Whether a block's form of an op does for planes: of places it may know the channel."""
        placed = Trait.PLACED in op.TRAITS and op.for_single((shape,), self.lanes, None) is None
        return Trait.ELEMENTWISE in op.TRAITS and not placed

    def all_read(self, name: str) -> bool:
        """Whether nothing needs a tensor with its channels in lanes."""
        if any(output.tensor == name for output in self.graph.outputs):
            return False
        return all(self.reads(node, name) for node in self.graph.consumers(name))

    def reads(self, node: Node, name: str) -> bool:
        """Whether a node reads a tensor as planes."""
        shape = self.graph.node(name).shape
        if not isinstance(node.op, Op) or name in node.epilogue_inputs:
            return False
        if Trait.VIEW in node.op.TRAITS:
            return node.shape != shape or self.all_read(node.name)
        if len(node.inputs) != 1 or any(map(any, node.op.halo(None))):
            return False
        found = node.op.for_single((shape,), self.lanes, no_halo(shape))
        if found is None or not found.plain:
            return False
        if found.planes:
            return self.may_be(node)
        offer = self.copying(node, name)
        if offer is None:
            return True
        taken = self.algorithms.decide(offer, (shape,), node.shape, planes=True)
        # Only the direct sum goes without lanes.
        return taken.way.op == offer.op

    def copying(self, node: Node, name: str) -> Single | None:
        """By which algorithms a node would read a tensor in lanes that it could read as planes."""
        if not isinstance(node.op, Op) or node.inputs != (name,):
            return None
        found = node.op.for_single((self.graph.node(name).shape,), self.lanes, None)
        several = found is not None and found.others and not any(map(any, node.op.halo(None)))
        return found if several else None
