"""Graph -> Graph: reverse-mode differentiation of the loss by every parameter.

One walk from the loss backwards; each op says what its gradients read. Gradients that no parameter
needs (of the inputs, say) are never made. Does not choose how anything is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ops.add import Add
from cnnc.ops.op import Gradient, Input, LossOp, Op, Trait


def differentiate(graph: Graph) -> Graph:
    """Add the target, the loss and the gradients; without a train block, the graph as it is."""
    if graph.training is None:
        return graph
    return _Walk(graph).run(graph.training.losses[0].loss)


@dataclass(slots=True)
class _Walk:
    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    pending: dict[str, list[str]] = field(default_factory=dict)
    """Tensor -> the gradients that its consumers, walked so far, contribute."""

    def run(self, loss: LossOp) -> Graph:
        graph = self.graph
        (output,) = graph.outputs
        logits = graph.node(output.tensor)
        self.nodes = list(graph.nodes)
        target = self.add("target", loss.target(logits.shape), (), (), ())
        share = self.add("loss_grad", Input((), "weight"), (), (), ())
        inputs = (logits.name, target.name)
        value = self.add("loss", loss, inputs, (), ())
        reads = loss.gradient_reads("input")
        bound = dict(zip(loss.input_names(2), inputs, strict=True))
        seed = self.add(
            f"{logits.name}_grad",
            Gradient(loss, "input"),
            (share.name, *(bound[name] for name in reads)),
            (),
            logits.shape,
            value,
        )
        self.pending[logits.name] = [seed.name]
        gradients = self.walk()
        pairs = tuple((p.name, gradients[p.name]) for p in graph.parameters if p.name in gradients)
        return replace(graph, nodes=tuple(self.nodes), loss=value.name, gradients=pairs)

    def walk(self) -> dict[str, str]:
        wanted = _depends_on_parameters(self.graph)
        gradients: dict[str, str] = {}
        for node in reversed(self.graph.nodes):
            if isinstance(node.op, Input) or node.name not in self.pending:
                continue
            grad = self.total(node)
            for operand, name in operand_names(node).items():
                if name in node.parameters:
                    gradients[name] = self.gradient(node, operand, grad, f"{name}_grad").name
                elif name in wanted:
                    passed = self.through(node, operand, name, grad)
                    self.pending.setdefault(name, []).append(passed)
        return gradients

    def total(self, node: Node) -> str:
        """The name of a tensor's whole gradient: the sum over its consumers."""
        parts = self.pending[node.name]
        if len(parts) == 1:
            return parts[0]
        add = Add(len(parts))
        name = f"{node.name}_grad"
        return self.add(name, add, tuple(parts), (), node.shape, node).name

    def through(self, node: Node, operand: str, name: str, grad: str) -> str:
        """The gradient that a node hands on to one of its inputs."""
        if not isinstance(node.op, (Input, Gradient)) and Trait.PASSES_GRADIENT in node.op.TRAITS:
            return grad
        shared = len(self.graph.consumers(name)) > 1
        label = f"{name}_grad_from_{node.name}" if shared else f"{name}_grad"
        return self.gradient(node, operand, grad, label).name

    def gradient(self, node: Node, operand: str, grad: str, label: str) -> Node:
        """A node for the gradient by one operand."""
        if isinstance(node.op, (Input, Gradient)):
            raise TypeError("only an op of the network has gradients")
        bound = {**operand_names(node), "output": node.name}
        names = [bound[read] for read in node.op.gradient_reads(operand)]
        inputs = (grad, *(name for name in names if name not in node.parameters))
        parameters = tuple(name for name in names if name in node.parameters)
        of = bound[operand]
        shape = (
            self.graph.parameter(of).shape if of in node.parameters else self.graph.node(of).shape
        )
        return self.add(label, Gradient(node.op, operand), inputs, parameters, shape, node)

    def add(
        self,
        name: str,
        op: Op | Gradient | Input,
        inputs: tuple[str, ...],
        parameters: tuple[str, ...],
        shape: tuple[int, ...],
        of: Node | None = None,
    ) -> Node:
        """Append a node under a name that the spec has not taken."""
        taken = {node.name for node in self.nodes}
        while name in taken:
            name += "_"
        if isinstance(op, Input):
            shape = op.shape
        span, layer = (of.span, of.name) if of else (None, "")
        node = Node(name, op, inputs, parameters, shape, span, layer)
        self.nodes.append(node)
        return node


def _depends_on_parameters(graph: Graph) -> set[str]:
    """The tensors that some parameter has a part in."""
    reached: set[str] = set()
    for node in graph.nodes:
        if node.parameters or any(name in reached for name in node.inputs):
            reached.add(node.name)
    return reached
