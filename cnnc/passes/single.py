"""Graph -> Graph: inference of one sample, lanes along the channels.

Every op says what computes it so (`Op.for_single`); what treats channels alike stays as it is, over
fewer of them. A tensor is in lanes or a plain row; copies stand between where a reader wants the
other. Few channels may stay in planes (cnnc.passes.planes). A network with an op that has no such
form is left to blocks of samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod

from cnnc.ir.graph import Graph, Node, Output
from cnnc.ir.target import Target
from cnnc.ops.op import Gradient, Input, Op, Trait
from cnnc.ops.shapes import Shape
from cnnc.ops.single import PlainInput, Single, grouped, groups_of
from cnnc.ops.single_copies import ToEveryLane, ToLanes, ToRow
from cnnc.ops.window import Pads
from cnnc.passes.algorithms import Algorithms
from cnnc.passes.choice import Choice, best_guess
from cnnc.passes.planes import Planes, no_halo

_SCALARS = 4
"""Channels of an input up to which a convolution reads it in its own order."""


class NotSingleError(Exception):
    """Some op has no form for one sample; the text says which."""


@dataclass(frozen=True, slots=True)
class OneSample:
    """A lowered graph, and of its nodes what was decided.

    Where there were several algorithms, `asked` is what the choices are called (`Asked.key`), and
    `why` the reasons. The results of `planes` lie so, and `offered` could read one that does.
    """

    graph: Graph
    asked: Mapping[str, tuple[str, ...]]
    why: Mapping[str, str]
    planes: frozenset[str]
    offered: frozenset[str]


def one_sample(graph: Graph, target: Target, choose: Choice = best_guess) -> OneSample:
    """Lower a fused graph's inference; `choose` takes an algorithm. Raises NotSingleError."""
    walk = _Lowering(graph, target, choose)
    for node in graph.needed(_wanted(graph)):
        walk.lower(node)
    outputs = tuple(Output(o.name, walk.in_lanes(o.tensor)) for o in graph.outputs)
    lowered = replace(
        graph,
        nodes=tuple(walk.nodes),
        outputs=outputs,
        training=None,
        losses=(),
        shares=(),
        gradients=(),
        step=None,
    )
    planes, offered = frozenset(walk.in_planes), frozenset(walk.offered)
    return OneSample(lowered, walk.asked, walk.why, planes, offered)


def _wanted(graph: Graph) -> set[str]:
    """What inference gives, and what the caller passes to it."""
    callers = {
        node.name
        for node in graph.inputs()
        if isinstance(node.op, Input) and node.op.dtype in ("uint8", "float32")
    }
    return {output.tensor for output in graph.outputs} | (callers - _targets(graph))


def _targets(graph: Graph) -> set[str]:
    """Inputs that only a loss reads."""
    return {graph.node(name).inputs[1] for name in graph.losses}


@dataclass(slots=True)
class _Lowering:
    """A walk in the graph's order; `rows` and `lanes_of` give the lowered tensors by form."""

    graph: Graph
    target: Target
    choose: Choice
    nodes: list[Node] = field(default_factory=list)
    rows: dict[str, str] = field(default_factory=dict)
    lanes_of: dict[str, str] = field(default_factory=dict)
    everywhere: dict[str, str] = field(default_factory=dict)
    """Tensors of one channel that lie in every lane, too."""
    halos: dict[str, Pads] = field(default_factory=dict)
    """Tensors that are plain rows, each plane with a halo: images, and what lies in planes."""
    asked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    in_planes: set[str] = field(default_factory=set)
    offered: set[str] = field(default_factory=set)

    @property
    def lanes(self) -> int:
        """Channels of a register."""
        return self.target.lanes

    @property
    def planes(self) -> Planes:
        """What knows who makes and reads planes."""
        return Planes(self.graph, self.lanes, self.algorithms)

    @property
    def algorithms(self) -> Algorithms:
        """What takes one of several."""
        return Algorithms(self.target, self.choose)

    def lower(self, node: Node) -> None:
        """Append what computes a node."""
        if isinstance(node.op, Input):
            self.input(node)
        elif isinstance(node.op, Gradient):
            raise NotSingleError(f"{node.name} is a gradient")
        elif Trait.BATCH in node.op.TRAITS:
            self.nodes.append(node)
            self.lanes_of[node.name] = node.name
        elif Trait.VIEW in node.op.TRAITS:
            self.view(node)
        else:
            self.op(node, node.op)

    def input(self, node: Node) -> None:
        """The caller's array, in its own order."""
        if not isinstance(node.op, Input):
            raise TypeError(f"{node.name} is no input")
        if not node.shape:
            raise NotSingleError(f"{node.name} is one number a sample")
        pads = self.scalar_pads(node)
        row = tuple(n + b + a for n, (b, a) in zip(node.shape[1:], pads or (), strict=False))
        floats = node.shape[0] * prod(row or node.shape[1:])
        op = PlainInput(node.op.shape, node.op.dtype, pads or ())
        self.nodes.append(replace(node, op=op, shape=(groups_of(floats, self.lanes),)))
        self.rows[node.name] = node.name
        if pads is not None:
            self.halos[node.name] = pads
        elif len(node.shape) == 1:
            self.lanes_of[node.name] = node.name

    def scalar_pads(self, node: Node) -> Pads | None:
        """The halo that the readers of an image need, where all are convolutions over it."""
        readers = self.graph.consumers(node.name)
        if len(node.shape) < 2 or node.shape[0] > _SCALARS or not readers:
            return None
        if any(output.tensor == node.name for output in self.graph.outputs):
            return None
        halo = tuple((0, 0) for _ in node.shape[1:])
        for reader in readers:
            if not isinstance(reader.op, Op) or node.name in reader.epilogue_inputs:
                return None
            step = reader.op.for_single((node.shape,), self.lanes, halo)
            if step is None or not step.plain or step.packed is None:
                return None
            halo = tuple(
                (max(a, c), max(b, d))
                for (a, b), (c, d) in zip(halo, reader.op.halo(None), strict=True)
            )
        return halo

    def view(self, node: Node) -> None:
        """A tensor under another shape: another name, or a copy where channels change."""
        (source,) = node.inputs
        before = self.graph.node(source).shape
        if before == node.shape:
            self.same(node.name, source)
            return
        row = self.in_row(source)
        self.rows[node.name] = row
        if len(node.shape) == 1:
            self.lanes_of[node.name] = row

    def same(self, name: str, source: str) -> None:
        """Another name of a tensor."""
        if source in self.rows:
            self.rows[name] = self.rows[source]
        if source in self.lanes_of:
            self.lanes_of[name] = self.lanes_of[source]
        if source in self.halos:
            self.halos[name] = self.halos[source]

    def op(self, node: Node, op: Op) -> None:
        """Any other op, with what is applied to its result."""
        halo = self.halo_of(node)
        step = self.step(node, op, halo)
        inputs, parameters = self.read(node, op, step, halo)
        shape = grouped(node.shape, self.lanes)
        epilogue = tuple(each for each in node.epilogue if isinstance(each, Op))
        if step.planes:
            # To what lies in planes a channel's parameter is a scalar, as it is to a block.
            shape = step.op.output_shape(())
        else:
            epilogue = tuple(self.applied(node, each) for each in epilogue)
        reads = tuple(self.operand(name, node.shape) for name in node.epilogue_inputs)
        self.add(
            replace(
                node,
                op=step.op,
                inputs=inputs,
                parameters=parameters,
                shape=shape,
                epilogue=epilogue,
                epilogue_inputs=reads,
            )
        )
        if step.planes:
            self.in_planes.add(node.name)
            self.halos[node.name] = no_halo(node.shape)
        else:
            self.lanes_of[node.name] = node.name
        if step.planes or len(node.shape) == 1:
            self.rows[node.name] = node.name

    def read(
        self, node: Node, op: Op, step: Single, halo: Pads | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tensors that the op which stands in reads, packed ones last, and its parameters."""
        if step.plain:
            first = node.inputs[0]
            inputs = [self.rows[first] if halo is not None else self.in_row(first)]
        elif Trait.ELEMENTWISE in op.TRAITS:
            inputs = [self.beside(name, node.shape) for name in node.inputs]
        else:
            inputs = [self.in_lanes(name) for name in node.inputs]
        parameters = node.parameters
        for made, suffix in ((step.packed, ".weight"), (step.packed_bias, ".bias")):
            if made is not None:
                weight = next(p for p in parameters if p.endswith(suffix))
                inputs.append(self.pack(weight, made))
                parameters = tuple(p for p in parameters if p != weight)
        return tuple(inputs), parameters

    def halo_of(self, node: Node) -> Pads | None:
        """The halo of a node's first input, where it reads that as a plain row."""
        first = node.inputs[0] if node.inputs else ""
        halo = self.halos.get(first)
        if halo is None or isinstance(self.graph.node(first).op, Input):
            return halo
        return halo if self.planes.reads(node, first) else None

    def step(self, node: Node, op: Op, halo: Pads | None) -> Single:
        """What stands in for a node's op."""
        shapes = tuple(self.graph.node(name).shape for name in node.inputs)
        found = self.planes.found(node, op, halo)
        if found is None:
            return Single(self.alike(node.name, op, shapes, node.shape))
        first = node.inputs[0]
        decided = []
        if first in self.in_planes and (offer := self.planes.copying(node, first)) is not None:
            self.offered.add(node.name)
            decided.append(self.algorithms.decide(offer, shapes, node.shape, planes=True))
        if found.others and (not decided or halo is not None):
            decided.append(self.algorithms.decide(found, shapes, node.shape))
        if decided:
            self.asked[node.name] = tuple(each.key for each in decided)
            self.why[node.name] = "\n".join(each.why for each in decided if each.why)
        return decided[-1].way if found.others else found

    def applied(self, node: Node, op: Op) -> Op:
        """What stands in for an op that is applied to a node's result."""
        found = op.for_single((node.shape,), self.lanes, None)
        return self.alike(node.name, op, (node.shape,), node.shape) if found is None else found.op

    def alike(self, name: str, op: Op, shapes: tuple[Shape, ...], result: Shape) -> Op:
        """The op, which treats channels alike."""
        alike = {Trait.ELEMENTWISE, Trait.BY_CHANNEL} & op.TRAITS and Trait.PLACED not in op.TRAITS
        if not alike or any(shape[0] not in (1, result[0]) for shape in shapes):
            raise NotSingleError(f"{name}: {op.NAME} has no form for one sample")
        return op

    def pack(self, weight: str, op: Op) -> str:
        """The packed weight, made once for all that read it."""
        name = f"{weight}_{op.NAME.removesuffix('_weight')}"
        if not any(node.name == name for node in self.nodes):
            self.nodes.append(Node(name, op, (), (weight,), op.output_shape(()), layer=""))
        return name

    def operand(self, name: str, result: Shape) -> str:
        """What an epilogue reads: a parameter, or a tensor in lanes."""
        return self.beside(name, result) if self.graph.has(name) else name

    def beside(self, name: str, result: Shape) -> str:
        """The tensor in lanes; in every lane, if it has one channel and the result has more."""
        there = self.in_lanes(name)
        node = self.graph.node(name)
        if isinstance(node.op, Op) and Trait.BATCH in node.op.TRAITS:
            return there
        if node.shape[0] != 1 or result[0] == 1:
            return there
        if name not in self.everywhere:
            op, shape = ToEveryLane(self.lanes), grouped(node.shape, self.lanes)
            self.everywhere[name] = self.copy(f"{name}_spread", op, there, shape)
        return self.everywhere[name]

    def in_lanes(self, name: str) -> str:
        """The tensor with its channels in lanes."""
        if name not in self.lanes_of:
            op = ToLanes(self.graph.node(name).shape, self.lanes)
            made = self.copy(f"{name}_lanes", op, self.in_row(name), grouped(op.shape, self.lanes))
            self.lanes_of[name] = made
        return self.lanes_of[name]

    def in_row(self, name: str) -> str:
        """The tensor as a plain row without a halo."""
        if any(map(any, self.halos.get(name, ()))):
            raise NotSingleError(f"{name} has a halo")
        if name not in self.rows:
            shape = self.graph.node(name).shape
            op = ToRow(shape[0], self.lanes)
            row = (groups_of(prod(shape), self.lanes),)
            self.rows[name] = self.copy(f"{name}_row", op, self.lanes_of[name], row)
        return self.rows[name]

    def copy(self, name: str, op: Op, source: str, shape: Shape) -> str:
        """A node for a copy."""
        while self.graph.has(name) or any(node.name == name for node in self.nodes):
            name += "_"
        self.add(Node(name, op, (source,), (), shape))
        return name

    def add(self, node: Node) -> None:
        """Append a node."""
        self.nodes.append(node)
