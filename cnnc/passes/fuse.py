"""Graph -> Graph: element-wise ops move into the kernel that makes their input.

Forward: conv -> relu stores the rectified value. Backward: the gradient kernel of whatever reads a
relu's output applies relu's mask as it stores. A fused node keeps the producer's name. Does not
fuse across a tensor that anything else reads, and changes no value.
"""

from __future__ import annotations

from dataclasses import replace

from cnnc.ir.graph import Graph, Node
from cnnc.ops.op import Gradient, Input, Op, Trait


def fuse(graph: Graph) -> Graph:
    """Fuse until nothing more fits."""
    while True:
        fused = _fuse_one(graph)
        if fused is None:
            return graph
        graph = fused


def _fuse_one(graph: Graph) -> Graph | None:
    kept = {graph.loss, *(output.tensor for output in graph.outputs)}
    kept |= {name for _, name in graph.gradients}
    for node in graph.nodes:
        if not _elementwise(node.op) or node.epilogue:
            continue
        producer = graph.node(node.inputs[0])
        reads_only_here = graph.consumers(producer.name) == (node,)
        # Arrays are brought in before anything is computed, so a loader can read no other tensor.
        too_early = isinstance(producer.op, Input) and len(node.inputs) > 1
        if reads_only_here and not too_early and producer.name not in kept and _stores(producer):
            return _merge(graph, producer, node)
    return None


def _elementwise(op: object) -> bool:
    of = op.of if isinstance(op, Gradient) else op
    if not isinstance(of, Op):
        return False
    return Trait.ELEMENTWISE in of.TRAITS and of.INPUTS == 1


def _stores(producer: Node) -> bool:
    """Whether the producer has a kernel of its own that writes float lanes."""
    op = producer.op.of if isinstance(producer.op, Gradient) else producer.op
    if isinstance(op, Op):
        return not op.TRAITS & {Trait.VIEW, Trait.LOSS}
    return op.dtype in ("uint8", "float32")


def _merge(graph: Graph, producer: Node, node: Node) -> Graph:
    """One node for two; whatever read the second reads the first's name now."""
    if not isinstance(node.op, (Op, Gradient)):
        raise TypeError("only an op can be an epilogue")
    merged = replace(
        producer,
        epilogue=(*producer.epilogue, node.op),
        epilogue_inputs=(*producer.epilogue_inputs, *node.inputs[1:]),
    )
    # The merged node stands where the second stood: what its epilogue reads exists by then. An
    # input stays, so that the caller's arrays keep the order of the spec.
    place, gone = (producer, node) if isinstance(producer.op, Input) else (node, producer)
    nodes = tuple(
        _renamed(merged if n is place else n, node.name, producer.name)
        for n in graph.nodes
        if n is not gone
    )
    outputs = tuple(
        replace(output, tensor=producer.name) if output.tensor == node.name else output
        for output in graph.outputs
    )
    return replace(graph, nodes=nodes, outputs=outputs)


def _renamed(node: Node, old: str, new: str) -> Node:
    swap = {old: new}
    return replace(
        node,
        inputs=tuple(swap.get(name, name) for name in node.inputs),
        epilogue_inputs=tuple(swap.get(name, name) for name in node.epilogue_inputs),
    )
