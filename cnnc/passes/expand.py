"""Graph -> Graph: layers that are several ops, in training or in inference, become these ops.

A layer's last op keeps its name, so that whatever reads the layer reads that. Chooses nothing: the
ops say what they are made of (`Op.training_steps`, `Op.inference_steps`).
"""

from __future__ import annotations

from dataclasses import replace

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ops.op import Gradient, Input, TrainingStep

RANDOM = "random"
"""The tensor of random words that training ops read."""


def expand(graph: Graph, *, training: bool) -> Graph:
    """The graph as inference or as training computes it."""
    taken = {node.name for node in graph.nodes}
    random = Node(_free(RANDOM, taken), Input((), "random"), (), (), ())
    nodes: list[Node] = []
    for stream, node in enumerate(graph.nodes):
        steps: tuple[TrainingStep, ...] = ()
        if not isinstance(node.op, (Gradient, Input)):
            steps = node.op.training_steps(stream) if training else ()
            steps = steps or node.op.inference_steps()
        nodes += _parts(node, steps, graph, random.name, taken) if steps else [node]
    if tuple(nodes) == graph.nodes:
        return graph
    if any(random.name in node.inputs for node in nodes):
        nodes.insert(0, random)
    return replace(graph, nodes=tuple(nodes))


def _parts(
    node: Node, steps: tuple[TrainingStep, ...], graph: Graph, random: str, taken: set[str]
) -> list[Node]:
    """The nodes that a layer is made of."""
    shapes = {other.name: other.shape for other in graph.nodes} | {random: ()}
    known = {**operand_names(node), "random": random}
    made: list[Node] = []
    for step in steps:
        last = step is steps[-1]
        name = node.name if last else _free(f"{node.name}_{step.suffix}", taken)
        reads = [known[read] for read in step.reads]
        inputs = tuple(read for read in reads if read not in node.parameters)
        shape = step.op.output_shape(tuple(shapes[read] for read in inputs))
        parameters = tuple(read for read in reads if read in node.parameters)
        layer = "" if last else node.name
        made.append(Node(name, step.op, inputs, parameters, shape, node.span, layer))
        known[step.suffix] = name
        shapes[name] = shape
        taken.add(name)
    return made


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
