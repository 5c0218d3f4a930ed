"""The Graph: what to compute. Every node yields one tensor, so a node's name is its tensor's name.

Knows nothing of the language it came from (but for spans, which point back) nor of lanes, memory
or order of execution beyond the data flow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, fields

from cnnc.diagnostics import Span
from cnnc.ops.initializers import Initializer
from cnnc.ops.loss import LossOp
from cnnc.ops.op import Gradient, Input, Op
from cnnc.ops.optimizers import Optimizer
from cnnc.ops.shapes import Shape


@dataclass(frozen=True, slots=True)
class Parameter:
    """A tensor of the model, in its canonical layout, e.g. `conv1.weight` (out, in, kh, kw).

    One that is not `trained` is a statistic that training keeps, such as a running mean.
    """

    name: str
    shape: Shape
    initializer: Initializer
    fan_in: int
    fan_out: int
    trained: bool = True
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """An op applied. Operands are the tensors `inputs`, then the parameters `parameters`.

    `layer` names the forward node that a gradient belongs to; it is empty elsewhere. `epilogue`
    holds element-wise ops applied, in order, to each value before it is stored (fuse fills it),
    `epilogue_inputs` the tensors and parameters that they read besides.
    """

    name: str
    op: Op | Gradient | Input
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    shape: Shape
    span: Span | None = None
    layer: str = ""
    epilogue: tuple[Op | Gradient, ...] = ()
    epilogue_inputs: tuple[str, ...] = ()
    late: bool = False
    """It runs between the same barriers as the first that reads it, not as early as it can."""


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor that the caller gets, under the name that the spec gives it."""

    name: str
    tensor: str


SCHEDULES = ("constant", "linear", "cosine")
"""How the learning rate may go through a training; see cnnc.runtime.schedule."""


@dataclass(frozen=True, slots=True)
class OutputLoss:
    """A loss that judges the output of that name, and its weight in the sum that is trained."""

    output: str
    loss: LossOp
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Training:
    """The `train` block. `data`, a name or a path, and `schedule` are the runtime's business.

    `losses` has one entry or more, no two for the same output.
    """

    losses: tuple[OutputLoss, ...]
    optimizer: Optimizer
    batch: int
    epochs: int
    data: str | None
    seed: int = 0
    schedule: str = "constant"


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which every tensor is made before it is read.

    The nodes are what inference computes. After differentiation they also make the per-sample
    tensors `losses`, one for each loss of the training, and `step` is the graph of a training step:
    its forward direction, losses and gradients. There, `gradients` maps, pairwise and in parameter
    order, each trained parameter to the node that computes its gradient.
    """

    name: str
    nodes: tuple[Node, ...]
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    training: Training | None = None
    losses: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    """For each loss the input that holds what a sample counts in its mean."""
    gradients: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    """A hash of what the resolved network computes; see `graph_digest`."""
    step: Graph | None = None
    _by_name: dict[str, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {node.name: node for node in self.nodes})

    def node(self, name: str) -> Node:
        """The node of that name; KeyError where there is none."""
        return self._by_name[name]

    def has(self, name: str) -> bool:
        """Whether there is a node of that name."""
        return name in self._by_name

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name; KeyError where there is none."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)

    def inputs(self) -> Iterator[Node]:
        """The nodes at which the caller's arrays enter, targets of the loss included."""
        return (node for node in self.nodes if isinstance(node.op, Input))

    def whole(self) -> Iterator[Graph]:
        """This graph, and that of its training step if it has one."""
        yield self
        if self.step is not None:
            yield self.step

    def needed(self, wanted: Collection[str]) -> list[Node]:
        """The nodes that the wanted tensors depend on, in order."""
        needed = set(wanted)
        chosen: list[Node] = []
        for node in reversed(self.nodes):
            if node.name in needed:
                needed |= {*node.inputs, *node.epilogue_inputs}
                chosen.append(node)
        return chosen[::-1]

    def consumers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read a tensor, in order."""
        return tuple(n for n in self.nodes if name in n.inputs or name in n.epilogue_inputs)


def graph_digest(graph: Graph) -> str:
    """A short hash of a resolved network: its ops, shapes and parameters, and how they connect.

    Independent of layer names without parameters, initialisers, training, target and machine, so
    that weights of one compilation fit another of the same network.
    """
    place = {node.name: index for index, node in enumerate(graph.nodes)}
    parts = [f"{p.name}{p.shape}" for p in graph.parameters]
    for node in graph.nodes:
        reads = [*(str(place[name]) for name in node.inputs), *node.parameters]
        parts.append(f"{_describe(node.op)}{node.shape}({', '.join(reads)})")
    parts += [str(place[output.tensor]) for output in graph.outputs]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _describe(op: Op | Gradient | Input) -> str:
    attributes = [getattr(op, f.name) for f in fields(op)]  # type: ignore[arg-type]
    shown = [repr(a) for a in attributes if not isinstance(a, Initializer)]
    return f"{op.NAME}[{', '.join(shown)}]"
