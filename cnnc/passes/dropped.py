"""Graph -> Graph: a training step in which dropout can be fused, forward and backward.

Forward, a rectifier's output would be stored beside what dropout leaves of it, because the
rectifier's gradient reads it. That asks only where the output is positive, so it may read what
dropout leaves: what is kept is multiplied by a positive number, and where nothing is kept there is
no gradient.

Backward, a view such as flatten's gradient stands between the kernel that makes a gradient and the
mask, or a rectifier's. Elements have the same index on either side of it, so masks are applied
before, where all that they read has such a view as well.

Changes no value and no mask. Fuses nothing itself; see fuse.
"""

from __future__ import annotations

from dataclasses import replace

from cnnc.ir.graph import Graph, Node
from cnnc.ops.dropout_mask import DropoutMask
from cnnc.ops.op import Gradient, Input, Op, Trait
from cnnc.ops.shapes import Shape


def prepare_dropout(step: Graph) -> Graph:
    """The step with masks where fuse finds them."""
    return _before_views(_by_sign(step))


def _by_sign(graph: Graph) -> Graph:
    """Gradients that read what dropout leaves of an output instead of the output."""
    return replace(graph, nodes=tuple(_reading_dropped(node, graph) for node in graph.nodes))


def _reading_dropped(node: Node, graph: Graph) -> Node:
    if not isinstance(node.op, Gradient) or Trait.BY_SIGN not in node.op.of.TRAITS:
        return node
    # Where others read the output, too, its gradient is a sum and no mask.
    mask = graph.node(node.inputs[0])
    masked = isinstance(mask.op, Gradient) and isinstance(mask.op.of, DropoutMask)
    if not masked or node.op.of.gradient_reads(node.op.wrt) != ("output",):
        return node
    return replace(node, inputs=(mask.name, mask.layer))


def _before_views(graph: Graph) -> Graph:
    """Masks of gradients before the views that they read."""
    nodes = {node.name: node for node in graph.nodes}
    for node in graph.nodes:
        view = nodes.get(node.inputs[0]) if node.inputs else None
        if view is None or not _by_index(node) or not _is_view(view):
            continue
        shape = nodes[view.inputs[0]].shape
        others = [_viewed(name, shape, graph) for name in node.inputs[1:]]
        alone = [reader.name for reader in graph.consumers(view.name)] == [node.name]
        if not alone or None in others:
            continue
        # Each takes the other's place and name: whatever read the second reads the view now.
        inputs = (view.inputs[0], *(name for name in others if name))
        nodes[view.name] = replace(node, name=view.name, inputs=inputs, shape=shape)
        nodes[node.name] = replace(view, name=node.name, inputs=(view.name,), shape=node.shape)
    return replace(graph, nodes=tuple(nodes.values()))


def _viewed(name: str, shape: Shape, graph: Graph) -> str | None:
    """What has a tensor's elements in that shape; a number a sample is itself."""
    if graph.node(name).shape in ((), shape):
        return name
    views = (node.name for node in graph.consumers(name) if _is_view(node) and node.shape == shape)
    return next(views, None)


def _by_index(node: Node) -> bool:
    """Whether it is an element-wise gradient that depends on no place, or on the index alone."""
    if node.parameters:
        return False
    match node.op:
        case Gradient(of=DropoutMask(channels=channels)):
            return not channels
        case Gradient(of=Op(TRAITS=traits) as op, wrt=wrt) if Trait.ELEMENTWISE in traits:
            return Trait.PLACED not in traits and op.inputs_read == 1 and wrt == "input"
    return False


def _is_view(node: Node) -> bool:
    op = node.op.of if isinstance(node.op, Gradient) else node.op
    return not isinstance(op, Input) and Trait.VIEW in op.TRAITS and len(node.inputs) == 1
