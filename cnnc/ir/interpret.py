"""Runs a Graph with the ops' NumPy references: the compiler's second, slow, complete target.

Any floating dtype; float64 is what gradients are checked in. Knows nothing of lanes or memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnc.ir.graph import Graph, Node
from cnnc.ops.elementwise import reads_besides
from cnnc.ops.op import Gradient, Input, Op, as_float
from cnnc.ops.shapes import Array


def interpret(
    graph: Graph, feeds: Mapping[str, Array], parameters: Mapping[str, Array]
) -> dict[str, Array]:
    """Every tensor of the graph by name, from arrays (n, *shape) for its inputs.

    Works at every graph stage: resolved, differentiated, fused. KeyError where a feed is missing.
    """
    samples = max((len(feed) for feed in feeds.values()), default=0)
    known = {node.name: np.ones(samples) for node in graph.inputs() if node.op == Input((), "live")}
    feeds = {**known, **feeds}
    values: dict[str, Array] = {}
    for node in graph.nodes:
        value = feeds[node.name] if isinstance(node.op, Input) else _apply(node, values, parameters)
        extra = list(node.epilogue_inputs)
        for op in node.epilogue:
            value = _epilogue(op, value, extra, {**parameters, **values})
        values[node.name] = value
    return values


def operand_names(node: Node) -> dict[str, str]:
    """The op's operand names -> the tensors and parameters that a node binds to them."""
    if isinstance(node.op, Input):
        return {}
    parameters = {name.rsplit(".", 1)[1]: name for name in node.parameters}
    if not isinstance(node.op, Gradient):
        names = node.op.input_names(len(node.inputs))
        return {**dict(zip(names, node.inputs, strict=True)), **parameters}
    reads = [r for r in node.op.of.gradient_reads(node.op.wrt) if r not in parameters]
    tensors = dict(zip(("output_grad", *reads), node.inputs, strict=True))
    return {**tensors, **parameters}


def _apply(node: Node, values: Mapping[str, Array], parameters: Mapping[str, Array]) -> Array:
    bound = {
        operand: parameters[name] if name in node.parameters else values[name]
        for operand, name in operand_names(node).items()
    }
    if isinstance(node.op, Gradient):
        grad = bound.pop("output_grad")
        return node.op.of.backward(node.op.wrt, grad, bound, node.shape)
    if isinstance(node.op, Input):
        raise TypeError("an input has a value, it computes none")
    return node.op.forward(bound)


def _epilogue(
    op: Op | Gradient, value: Array, extra: list[str], values: Mapping[str, Array]
) -> Array:
    """Apply one fused element-wise op; it takes what it reads besides off the front of `extra`."""
    names = reads_besides(op, value.shape[1:])
    reads = {name: values[extra.pop(0)] for name in names}
    if not isinstance(op, Gradient):
        return op.forward({op.input_names(op.inputs_read)[0]: as_float(value), **reads})
    return op.of.backward(op.wrt, value, reads, value.shape[1:])
