"""Graph -> Graph: reverse-mode differentiation of the losses by every trained parameter.

One walk from the losses backwards; each op says what its gradients read. Gradients that no
parameter needs (of the inputs, say) are never made. Does not choose how anything is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cnnc.ir.graph import Graph, Node, OutputLoss
from cnnc.ir.interpret import operand_names
from cnnc.ops.add import Add
from cnnc.ops.batch_statistics import (
    BatchAffine,
    BatchBiasGradient,
    BatchSlope,
    BatchSums,
    BatchWeightGradient,
    ChannelSlope,
)
from cnnc.ops.op import Gradient, Input, Op, Trait
from cnnc.passes.dropped import prepare_dropout
from cnnc.passes.expand import expand


def differentiate(graph: Graph) -> Graph:
    """The graph with its losses and its training step; without a train block, as inference has it.

    Layers that are several ops are taken apart in both.
    """
    inference = expand(graph, training=False)
    if graph.training is None:
        return inference
    judged = _Builder(inference)
    judged.add_losses()
    walk = _Walk(expand(graph, training=True))
    return replace(judged.result(), step=prepare_dropout(walk.run()))


@dataclass(slots=True)
class _Builder:
    """A graph that nodes are appended to."""

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    losses: list[Node] = field(default_factory=list)
    shares: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = list(self.graph.nodes)
        self.taken = {node.name for node in self.nodes}

    def result(self) -> Graph:
        """What it has become."""
        names = tuple(node.name for node in self.losses)
        return replace(self.graph, nodes=tuple(self.nodes), losses=names, shares=tuple(self.shares))

    def add_losses(self) -> None:
        """Each loss with its target and the share that a sample has in the mean."""
        if self.graph.training is None:
            raise TypeError(f"{self.graph.name} has no training")
        judges = self.graph.training.losses
        for judge in judges:
            self.losses.append(self.loss(judge, f"{judge.output}_" if len(judges) > 1 else ""))

    def loss(self, judge: OutputLoss, prefix: str) -> Node:
        """One loss, after the two inputs that it needs."""
        tensor = next(o.tensor for o in self.graph.outputs if o.name == judge.output)
        output = self.graph.node(tensor)
        target = self.add(f"{prefix}target", judge.loss.target(output.shape), (), (), ())
        self.shares.append(self.add(f"{prefix}loss_grad", Input((), "weight"), (), (), ()).name)
        return self.add(f"{prefix}loss", judge.loss, (output.name, target.name), (), ())

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
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        if isinstance(op, Input):
            shape = op.shape
        span, layer = (of.span, of.name) if of else (None, "")
        node = Node(name, op, inputs, parameters, shape, span, layer)
        self.nodes.append(node)
        return node


@dataclass(slots=True)
class _Walk(_Builder):
    """The reverse walk."""

    pending: dict[str, list[str]] = field(default_factory=dict)
    """Tensor -> the gradients that its consumers, walked so far, contribute."""
    gradients: dict[str, str] = field(default_factory=dict)
    """Parameter -> the node of its gradient."""
    live: str = ""
    """The tensor that is 1 for every sample of the batch, once something reads it."""

    def run(self) -> Graph:
        """The training step."""
        self.add_losses()
        for loss, share in zip(self.losses, self.shares, strict=True):
            self.seed(loss, share)
        self.walk()
        pairs = tuple(
            (p.name, self.gradients[p.name])
            for p in self.graph.parameters
            if p.name in self.gradients
        )
        return replace(self.result(), gradients=pairs, outputs=(), training=None)

    def seed(self, loss: Node, share: str) -> None:
        """The gradient of a loss by the output that it judges."""
        if isinstance(loss.op, (Input, Gradient)):
            raise TypeError(f"{loss.name} is no loss")
        bound = operand_names(loss)
        reads = tuple(bound[name] for name in loss.op.gradient_reads("input"))
        output = self.graph.node(loss.inputs[0])
        op = Gradient(loss.op, "input")
        node = self.add(f"{output.name}_grad", op, (share, *reads), (), output.shape, loss)
        self.pending.setdefault(output.name, []).append(node.name)

    def walk(self) -> None:
        """From the last node to the first: gradients by parameters, and by what they depend on."""
        wanted = _depends_on_parameters(self.graph)
        for node in reversed(self.graph.nodes):
            if isinstance(node.op, Input) or node.name not in self.pending:
                continue
            grad = self.total(node)
            if len(node.inputs) == 2 and isinstance(self.op_of(node.inputs[1]), BatchAffine):
                self.batch_norm(node, grad, node.inputs[0] in wanted)
                continue
            for operand, name in operand_names(node).items():
                if name in node.parameters:
                    made = self.gradient(node, operand, grad, f"{name}_grad")
                    self.gradients[name] = made.name
                elif name in wanted:
                    passed = self.through(node, operand, name, grad)
                    self.pending.setdefault(name, []).append(passed)

    def op_of(self, name: str) -> Op | Gradient | Input:
        """The op of a forward node."""
        return self.graph.node(name).op

    def batch_norm(self, node: Node, grad: str, passes: bool) -> None:
        """The gradients of a batch norm by its input and parameters, from two sums a channel."""
        affine = self.graph.node(node.inputs[1])
        x, statistics = node.inputs[0], affine.inputs[0]
        channels = node.shape[0]
        if not isinstance(affine.op, BatchAffine):
            raise TypeError(f"{affine.name} is no affine form of statistics")
        eps = affine.op.eps
        name = f"{node.name}_sums"
        sums = self.add(name, BatchSums(), (grad, x, statistics), (), (3, channels), node).name
        for parameter in affine.parameters:
            by_weight = parameter.endswith(".weight")
            op: Op = BatchWeightGradient(eps) if by_weight else BatchBiasGradient()
            reads: tuple[str, ...] = (sums, statistics) if by_weight else (sums,)
            made = self.add(f"{parameter}_grad", op, reads, (), (channels,), node)
            self.gradients[parameter] = made.name
        if passes:
            weights = tuple(p for p in affine.parameters if p.endswith(".weight"))
            slope = self.add(
                f"{node.name}_slope",
                BatchSlope(eps, bool(weights)),
                (sums, statistics),
                weights,
                (3, channels),
                node,
            )
            label = self.label(node, x)
            self.live = self.live or self.add("live", Input((), "live"), (), (), ()).name
            reads = (grad, x, slope.name, self.live)
            made = self.add(label, ChannelSlope(channels), reads, (), node.shape, node)
            self.pending.setdefault(x, []).append(made.name)

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
        return self.gradient(node, operand, grad, self.label(node, name)).name

    def label(self, node: Node, name: str) -> str:
        """What the gradient by a tensor is called; it says whose it is where there are several."""
        readers = (reader.op for reader in self.graph.consumers(name))
        shared = sum(Trait.BATCH not in op.TRAITS for op in readers if isinstance(op, Op)) > 1
        return f"{name}_grad_from_{node.name}" if shared else f"{name}_grad"

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


def _depends_on_parameters(graph: Graph) -> set[str]:
    """The tensors of samples that some trained parameter has a part in."""
    trained = {parameter.name for parameter in graph.parameters if parameter.trained}
    reached: set[str] = set()
    for node in graph.nodes:
        if trained & set(node.parameters) or any(name in reached for name in node.inputs):
            reached.add(node.name)
    return reached
