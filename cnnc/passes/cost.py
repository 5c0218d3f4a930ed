"""How long the blocks of a schedule take, roughly: enough to tell work that is worth more threads.

Does not choose among algorithms: of kernels it knows only what their cost models count.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from cnnc.ir.graph import Graph, Node
from cnnc.ir.target import Target
from cnnc.ops.layout import Form
from cnnc.ops.op import Gradient, Input, Trait
from cnnc.passes.room import Room
from cnnc.passes.segments import is_batch

_MULTIPLY_ADDS = 4
"""Of a lane in a nanosecond: a good kernel on a fast core, so that the guess is rather too low."""

_CYCLES = 2.2
"""Of a kernel's cost model in a nanosecond: as many as take so many multiply-adds."""

_BYTES = 50
"""Read or written in a nanosecond, from a near cache."""

DIVIDED_FROM = 4000
"""Nanoseconds of a single sample's call from which several threads share it: what the pool thinks
a thread is worth."""


def block_cost(nodes: Sequence[Node], room: Room, target: Target) -> int:
    """Nanoseconds that one thread takes for a block of samples, at the least."""
    once = room.segments.once | room.late
    mine = [node for node in nodes if node.name not in once]
    products = sum(_multiply_adds(node, room.graph) for node in mine) / _MULTIPLY_ADDS
    # A parameter's gradient has no lanes.
    sums = room.places.gradient_of
    wide = sum(_elements(node, room.graph) for node in mine if node.name not in sums)
    narrow = sum(prod(node.shape) for node in mine if node.name in sums)
    return ceil(products + (wide * target.lanes + narrow) * 4 / _BYTES)


def node_cost(node: Node, graph: Graph) -> int:
    """Nanoseconds that one thread takes for what a node multiplies of a block, at the least."""
    return ceil(_multiply_adds(node, graph) / _MULTIPLY_ADDS)


def shared_cost(node: Node, form: Form, graph: Graph, lanes: int) -> int:
    """Nanoseconds that one thread takes for a node of a single sample.

    They are for what its kernel's cost model counts, or what it multiplies, and for what it reads
    and writes.
    """
    counted = form.cycles() / _CYCLES
    moved = _elements(node, graph) * lanes * 4 / _BYTES
    return ceil((counted or node_cost(node, graph)) + moved)


def _multiply_adds(node: Node, graph: Graph) -> int:
    """Of one sample."""
    match node.op:
        case Input() | Gradient(wrt="bias"):
            return 0
        case Gradient(of=op):
            # Where fusing took the layer itself away, it multiplied nothing.
            reads = graph.node(node.layer).inputs if graph.has(node.layer) else ()
        case op:
            reads = node.inputs
    return op.multiply_adds(tuple(graph.node(name).shape for name in reads)) if reads else 0


def _elements(node: Node, graph: Graph) -> int:
    """What it reads and writes of one sample; parameters and views are not counted."""
    if not isinstance(node.op, (Gradient, Input)) and Trait.VIEW in node.op.TRAITS:
        return 0
    reads = [graph.node(name) for name in node.inputs]
    # What is one for the whole batch, such as a packed weight, has no lanes.
    samples = [read for read in reads if not is_batch(read)]
    return sum(prod(read.shape) for read in samples) + prod(node.shape)
