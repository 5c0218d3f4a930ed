"""Graph -> Graph: element-wise ops move into the kernel that makes their input.

Forward: conv -> relu stores the rectified value. Backward: the gradient kernel of whatever reads a
relu's output applies relu's mask as it stores. What the op reads besides its first operand, tensors
and parameters, its producer's kernel reads too. A fused node keeps the producer's name. Does not
fuse across a tensor that anything else reads, nor a costly formula into a kernel that needs all
registers, and changes no value.
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
    place = 0
    while True:
        fused = _fuse_one(graph, place)
        if fused is None:
            return graph
        # what stands before gained nothing by it: nothing there reads the two
        graph, place = fused


def _fuse_one(graph: Graph, start: int) -> tuple[Graph, int] | None:
    """The graph with the first two nodes fused that fit, from a place on, and where to go on."""
    kept = {*graph.losses, *(output.tensor for output in graph.outputs)}
    kept |= {name for _, name in graph.gradients}
    for place, node in enumerate(graph.nodes[start:], start):
        if not _elementwise(node) or node.epilogue:
            continue
        producer = graph.node(node.inputs[0])
        reads_only_here = graph.consumers(producer.name) == (node,)
        reads_only_here &= producer.name not in node.inputs[1:]
        # Arrays are brought in before anything is computed, so a loader can read no other operand.
        too_early = isinstance(producer.op, Input) and (*node.inputs[1:], *node.parameters) != ()
        if not reads_only_here or too_early or producer.name in kept or not _stores(producer):
            continue
        if not (_heavy(node.op) and _multiplies(graph, producer)):
            return _merge(graph, producer, node), place - 1
    return None


def _elementwise(node: Node) -> bool:
    """Whether a node maps its first operand element by element.

    A gradient by any other operand may be a sum.
    """
    op = node.op.of if isinstance(node.op, Gradient) else node.op
    if not isinstance(op, Op) or Trait.ELEMENTWISE not in op.TRAITS:
        return False
    return not isinstance(node.op, Gradient) or node.op.wrt == op.input_names(op.INPUTS or 1)[0]


def _heavy(op: object) -> bool:
    """Whether the formula takes dozens of operations."""
    if isinstance(op, Gradient):
        return Trait.HEAVY_GRADIENT in op.of.TRAITS
    return isinstance(op, Op) and Trait.HEAVY in op.TRAITS


def _multiplies(graph: Graph, producer: Node) -> bool:
    """Whether the producer's kernel keeps a tile of sums in registers, as products of weights do.

    With a heavy formula in it the compiler would no longer peel the tile's loops, and the sums
    would lie in memory; a pass of its own costs less.
    """
    forward = producer
    if isinstance(producer.op, Gradient):
        known = [node for node in graph.nodes if node.name == producer.layer]
        if not known:
            return False
        forward = known[0]
    if isinstance(forward.op, (Gradient, Input)):
        return False
    shapes = tuple(graph.node(name).shape for name in forward.inputs)
    return forward.op.multiply_adds(shapes) > 0


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
    if old not in node.inputs and old not in node.epilogue_inputs:
        return node
    swap = {old: new}
    return replace(
        node,
        inputs=tuple(swap.get(name, name) for name in node.inputs),
        epilogue_inputs=tuple(swap.get(name, name) for name in node.epilogue_inputs),
    )
