"""Graph and Program -> how much there is to do: floating-point operations, and bytes to move.

A multiply-add is two operations; biases, activations, pooling and normalisation count none. The
gradient by a layer's weights, and that by its input, take as many as its forward direction;
gradients that nothing needs, such as the one by the first layer's input, are not in the graph. What
a clever algorithm saves is counted all the same, so that rates compare. Measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from cnnc.ir.calls import Call, Load, Operand
from cnnc.ir.graph import Graph, Node
from cnnc.ir.program import Program, Result, Schedule
from cnnc.ops.op import Gradient, Input

FLOAT_BYTES = 4


def node_flops(node: Node, graph: Graph) -> int:
    """Operations of one node, a sample."""
    match node.op:
        case Input() | Gradient(wrt="bias"):
            return 0
        case Gradient(of=op):
            reads = graph.node(node.layer).inputs
        case op:
            reads = node.inputs
    return 2 * op.multiply_adds(tuple(graph.node(name).shape for name in reads))


def forward_flops(graph: Graph) -> int:
    """Operations of inference, a sample."""
    nodes = (node for node in graph.nodes if not isinstance(node.op, Gradient))
    return sum(node_flops(node, graph) for node in nodes)


def training_flops(graph: Graph) -> int:
    """Operations of forward and backward, a sample, from the graph of a training step."""
    return sum(node_flops(node, graph) for node in graph.nodes)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Counts the bytes that a call has to read and to write in a batch of `samples`.

    Each operand once a call: tensors without their halos, parameters and sums as often as there are
    calls. Where a block's data stay in a cache, they never reach memory.
    """

    program: Program
    graph: Graph
    samples: int
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(
        cls,
        program: Program,
        schedule: Schedule,
        graph: Graph,
        samples: int,
        lowered: Graph | None = None,
    ) -> Traffic:
        """For the graph, fused, that a schedule of the program computes, perhaps `lowered`."""
        nodes = (*(lowered.nodes if lowered else ()), *graph.nodes)
        shapes = {node.name: node.shape for node in nodes}
        shapes |= {slot.name: slot.shape for slot in program.slots}
        if schedule is program.infer:
            # A convolution that pools stores less than the graph's does.
            lies = ((name, b.layout) for b in schedule.buffers for name in b.names)
            stored = {name: (layout.channels, *layout.extents) for name, layout in lies}
            shapes |= {name: shape for name, shape in stored.items() if name in shapes}
        return cls(program, graph, samples, shapes)

    @property
    def blocks(self) -> int:
        """Blocks of the batch."""
        return -(-self.samples // self.program.target.lanes)

    def call(self, call: Call, calls: float, *, finish: bool = False) -> int:
        """Of all calls of a batch; one that finishes a segment reads the parts of all blocks."""
        parts = calls * (self.blocks if finish else 1)
        total = 0.0
        for operand in call.operands:
            if operand.space == "ending":
                total += self.step(prod(self.shapes[call.computes]))
            if operand.is_number or operand.pointer == "scratch":
                continue
            size = prod(self.shapes[operand.name]) * FLOAT_BYTES
            total += size * self._times(operand, calls, parts)
        return round(total)

    def _times(self, operand: Operand, calls: float, parts: float) -> float:
        match operand.space:
            case "work" | "kept":
                return self.samples
            case "gradients":
                return 2 * calls  # added to
            case "parts":
                return parts
            case _:
                return calls

    def load(self, load: Load) -> int:
        """Of a caller's array that is brought into lanes."""
        size = 1 if load.dtype == "uint8" else FLOAT_BYTES
        return self.samples * load.features * (size + FLOAT_BYTES)

    def store(self, result: Result) -> int:
        """Of an output that is handed back."""
        return 2 * self.samples * result.features * FLOAT_BYTES

    def step(self, floats: int) -> int:
        """Of the step of so many parameters: weights and the optimizer's state, in and out."""
        training = self.program.training
        slots = len(training.optimizer.SLOTS) if training else 0
        return 2 * (1 + slots) * floats * FLOAT_BYTES

    def update(self) -> int:
        """Of what all groups have gradients of: these in, their sum out, and the step.

        Other parameters take their step along with the call that computes their gradient.
        """
        groups = min(self.program.groups, self.blocks)
        floats = self.program.pieced
        return (groups + 1) * floats * FLOAT_BYTES + self.step(floats)
