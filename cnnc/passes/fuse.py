"""Graph -> Graph: element-wise ops move into the kernel that makes their input.

Forward: conv -> relu stores the rectified value. Backward: the gradient kernel of whatever reads a
relu's output applies relu's mask as it stores. What the op reads besides its first operand, tensors
and parameters, its producer's kernel reads too. A fused node keeps the producer's name. Does not
fuse across a tensor that anything else reads, and changes no value.
"""

from __future__ import annotations

from dataclasses import replace

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ops.elementwise import reads_besides
from cnnc.ops.op import Gradient, Input, Op, Trait


def fuse(graph: Graph) -> Graph:
    """Fuse until nothing more fits, in the training step too."""
    if graph.step is not None:
        graph = replace(graph, step=fuse(graph.step))
    while True:
        fused = _fuse_one(graph)
        if fused is None:
            return graph
        graph = fused


def _fuse_one(graph: Graph) -> Graph | None:
    kept = {*graph.losses, *(output.tensor for output in graph.outputs)}
    kept |= {name for _, name in graph.gradients}
    for node in graph.nodes:
        if not _elementwise(node) or node.epilogue:
            continue
        producer = graph.node(node.inputs[0])
        reads_only_here = graph.consumers(producer.name) == (node,)
        reads_only_here &= producer.name not in node.inputs[1:]
        # Arrays are brought in before anything is computed, so a loader can read no other operand.
        too_early = isinstance(producer.op, Input) and (*node.inputs[1:], *node.parameters) != ()
        if reads_only_here and not too_early and producer.name not in kept and _stores(producer):
            return _merge(graph, producer, node)
    return None


def _elementwise(node: Node) -> bool:
    """Whether a node maps its first operand element by element.

    A gradient by any other operand may be a sum.
    """
    op = node.op.of if isinstance(node.op, Gradient) else node.op
    if not isinstance(op, Op) or Trait.ELEMENTWISE not in op.TRAITS:
        return False
    return not isinstance(node.op, Gradient) or node.op.wrt == op.input_names(op.INPUTS or 1)[0]


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
    bound = operand_names(node)
    reads = (bound[name] for name in reads_besides(node.op, node.shape))
    merged = replace(
        producer,
        epilogue=(*producer.epilogue, node.op),
        epilogue_inputs=(*producer.epilogue_inputs, *reads),
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
