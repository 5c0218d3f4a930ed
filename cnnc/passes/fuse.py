"""Graph -> Graph: element-wise ops move into the kernel that makes their input.

Forward: conv -> relu stores the rectified value. Backward: the gradient kernel of whatever reads a
relu's output applies relu's mask as it stores. What the op reads besides its first operand, tensors
and parameters, its producer's kernel reads too. A fused node keeps the producer's name. Does not
fuse across a tensor that anything else reads, nor a costly formula into a kernel that needs all
registers, and changes no value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ops.elementwise import reads_besides
from cnnc.ops.op import Gradient, Input, Op, Trait


def fuse(graph: Graph) -> Graph:
    """Fuse whatever fits, in the training step too."""
    step = fuse(graph.step) if graph.step is not None else None
    return _Fuser(graph).run(step)


@dataclass(slots=True)
class _Fuser:
    """One walk in the graph's order; `places` maps each node that is left to its place."""

    graph: Graph
    readers: dict[str, list[str]] = field(default_factory=dict)
    """Tensor -> the nodes that read it, each as often as it does."""
    nodes: list[Node | None] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    fused: dict[str, str] = field(default_factory=dict)
    """A node that is gone -> the one that makes its tensor now."""

    def run(self, step: Graph | None) -> Graph:
        """The graph with everything fused, and the step that belongs to it."""
        graph = self.graph
        for node in graph.nodes:
            for name in (*node.inputs, *node.epilogue_inputs):
                self.readers.setdefault(name, []).append(node.name)
        kept = {*graph.losses, *(output.tensor for output in graph.outputs)}
        kept |= {name for _, name in graph.gradients}
        for node in graph.nodes:
            turned = next((n for n in _orders(node) if self.fits(n, self.renamed(n), kept)), None)
            if turned is not None:
                self.merge(self.renamed(turned))
            else:
                read = self.renamed(node)
                self.places[read.name] = len(self.nodes)
                self.nodes.append(read)
        outputs = tuple(
            replace(output, tensor=self.fused.get(output.tensor, output.tensor))
            for output in graph.outputs
        )
        nodes = tuple(node for node in self.nodes if node is not None)
        return replace(graph, nodes=nodes, outputs=outputs, step=step)

    def renamed(self, node: Node) -> Node:
        """The node as it reads what the tensors are called now."""
        if not any(name in self.fused for name in (*node.inputs, *node.epilogue_inputs)):
            return node
        return replace(
            node,
            inputs=tuple(self.fused.get(name, name) for name in node.inputs),
            epilogue_inputs=tuple(self.fused.get(name, name) for name in node.epilogue_inputs),
        )

    def fits(self, node: Node, read: Node, kept: Collection[str]) -> bool:
        """Whether a node can go into the one that makes its first operand."""
        if not _elementwise(node) or node.epilogue:
            return False
        producer = self.producer(read)
        reads_only_here = self.readers[node.inputs[0]] == [node.name]
        # Arrays are brought in before anything is computed, so a loader can read no other operand.
        too_early = isinstance(producer.op, Input) and (*node.inputs[1:], *node.parameters) != ()
        if not reads_only_here or too_early or node.inputs[0] in kept or not _stores(producer):
            return False
        if isinstance(node.op, Op) and _by_windows(producer):
            return False
        return not (_heavy(node.op) and _multiplies(self.graph, producer))

    def producer(self, read: Node) -> Node:
        """What makes a node's first operand now."""
        found = self.nodes[self.places[read.inputs[0]]]
        if found is None:
            raise KeyError(read.inputs[0])
        return found

    def merge(self, node: Node) -> None:
        """One node for two; whatever read the second reads the first's name now."""
        if not isinstance(node.op, (Op, Gradient)):
            raise TypeError("only an op can be an epilogue")
        producer = self.producer(node)
        bound = operand_names(node)
        reads = (bound[name] for name in reads_besides(node.op, node.shape))
        merged = replace(
            producer,
            epilogue=(*producer.epilogue, node.op),
            epilogue_inputs=(*producer.epilogue_inputs, *reads),
        )
        place = self.places[producer.name]
        self.fused[node.name] = producer.name
        # The merged node stands where the second stood: what its epilogue reads exists by then. An
        # input stays, so that the caller's arrays keep the order of the spec.
        if isinstance(producer.op, Input):
            self.nodes[place] = merged
        else:
            self.nodes[place] = None
            self.places[producer.name] = len(self.nodes)
            self.nodes.append(merged)


def _orders(node: Node) -> Iterator[Node]:
    """The node, and where its inputs may change places with each of the others first."""
    yield node
    if isinstance(node.op, Op) and Trait.COMMUTES in node.op.TRAITS:
        for name in node.inputs[1:]:
            yield replace(node, inputs=(name, *(other for other in node.inputs if other != name)))


def _elementwise(node: Node) -> bool:
    """Whether a node maps its first operand element by element.

    A gradient by any other operand may be a sum.
    """
    op = node.op.of if isinstance(node.op, Gradient) else node.op
    if not isinstance(op, Op) or Trait.ELEMENTWISE not in op.TRAITS:
        return False
    return not isinstance(node.op, Gradient) or node.op.wrt == op.input_names(op.inputs_read)[0]


def _by_windows(producer: Node) -> bool:
    """Whether the producer adds up what it stores: to each part only a factor may be applied."""
    return isinstance(producer.op, Gradient) and Trait.BY_WINDOWS in producer.op.of.TRAITS


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
        if not graph.has(producer.layer):
            return False
        forward = graph.node(producer.layer)
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
