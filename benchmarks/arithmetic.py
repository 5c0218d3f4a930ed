"""A Graph -> floating-point operations a sample, two a multiply-add. Biases are not counted.

The gradient by a layer's weights, and that by its input, take as many as its forward direction.
Gradients that nothing needs, such as the one by the first layer's input, are not in the graph.
"""

from __future__ import annotations

from cnnc.ir.graph import Graph, Node
from cnnc.ops.op import Gradient, Input


def node_flops(node: Node, graph: Graph) -> int:
    """Operations of one node."""
    match node.op:
        case Input() | Gradient(wrt="bias"):
            return 0
        case Gradient(of=op):
            reads = graph.node(node.layer).inputs
        case op:
            reads = node.inputs
    shapes = {other.name: other.shape for other in graph.nodes}
    return 2 * op.multiply_adds(tuple(shapes[name] for name in reads))


def forward_flops(graph: Graph) -> int:
    """Operations of inference."""
    nodes = (node for node in graph.nodes if not isinstance(node.op, Gradient))
    return sum(node_flops(node, graph) for node in nodes)


def training_flops(graph: Graph) -> int:
    """Operations of forward and backward, from a differentiated graph; no optimizer step."""
    return sum(node_flops(node, graph) for node in graph.nodes)
