"""Graph -> Graph: in inference, a pool goes into the convolution whose output nothing else reads.

Its kernel stores only what becomes of the windows: the convolution's output is never in memory. In
training the gradients read that. A pool whose windows meet, leave gaps or reach beyond the input
stays a pass of its own, and so does one after a kernel that cannot hold a whole window.
"""

from __future__ import annotations

from dataclasses import replace

from cnnc.ir.graph import Graph, Node, Output
from cnnc.ir.target import Target
from cnnc.ops.avgpool import AvgPool
from cnnc.ops.conv import Conv
from cnnc.ops.maxpool import MaxPool
from cnnc.ops.op import Gradient, Op
from cnnc.ops.pooled_conv import PooledConv, pools
from cnnc.passes.places import Places, find_places


def pool_as_made(graph: Graph, target: Target) -> Graph:
    """The fused graph of inference with such pools in the kernels that make what they read."""
    places = find_places(graph)
    kept = {output.tensor for output in graph.outputs}
    merged: dict[str, Node] = {}
    """A pool -> what stands in its place."""
    for node in graph.nodes:
        match node.op:
            case MaxPool() | AvgPool() as pool:
                made = graph.node(node.inputs[0])
                if made.name not in kept and len(graph.consumers(made.name)) == 1:
                    found = _merged(made, node, pool, places, target)
                    if found is not None:
                        merged[node.name] = found
    return _with(graph, merged) if merged else graph


def _merged(
    made: Node, node: Node, pool: MaxPool | AvgPool, places: Places, target: Target
) -> Node | None:
    """One node for a convolution and the pool that reads it, under the convolution's name."""
    if not isinstance(made.op, Conv) or not pools(pool, made.shape[1:]):
        return None
    # What the fused ops read lies as the whole output does, or is a parameter.
    if any(name in places.layouts for name in made.epilogue_inputs):
        return None
    op = PooledConv(made.op, pool, _before(pool, made.epilogue))
    if not op.gains({**places.of(made), "result": places.layouts[node.name]}, target):
        return None
    return replace(
        made,
        op=op,
        shape=node.shape,
        epilogue=(*made.epilogue, *node.epilogue),
        epilogue_inputs=(*made.epilogue_inputs, *node.epilogue_inputs),
    )


def _before(pool: MaxPool | AvgPool, fused: tuple[Op | Gradient, ...]) -> int:
    """How many of the convolution's fused ops must be applied before its output is pooled.

    What rises may as well be applied to the largest value alone.
    """
    count = len(fused)
    while count and isinstance(pool, MaxPool):
        last = fused[count - 1]
        if not isinstance(last, Op) or not last.rises():
            break
        count -= 1
    return count


def _with(graph: Graph, merged: dict[str, Node]) -> Graph:
    """The graph with nodes in the place of pools; what read these reads the convolutions' names."""
    gone = {node.name for node in merged.values()}
    names = {pool: node.name for pool, node in merged.items()}
    nodes = []
    for node in graph.nodes:
        if node.name in gone:
            continue
        left = merged.get(node.name, node)
        inputs = _renamed(left.inputs, names)
        beside = _renamed(left.epilogue_inputs, names)
        nodes.append(replace(left, inputs=inputs, epilogue_inputs=beside))
    outputs = tuple(Output(o.name, names.get(o.tensor, o.tensor)) for o in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def _renamed(tensors: tuple[str, ...], names: dict[str, str]) -> tuple[str, ...]:
    return tuple(names.get(name, name) for name in tensors)
