"""What is decided of a graph's memory before its calls are made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from math import inf, prod

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ops.elementwise import is_placed
from cnnc.ops.layout import Form, Layout, Machine
from cnnc.ops.op import Cut, Gradient, Input
from cnnc.passes.moves import find_moves
from cnnc.passes.places import Places, find_places
from cnnc.passes.segments import Segments, find_segments
from cnnc.passes.strips import Strip, find_strips, spread

_TIMES = 4
"""What a block's tensors cost in an uncached workspace, against weights of their size."""

LINE = 16
"""Floats in a cache line, on which every parameter and every row of statistics starts."""


@dataclass(frozen=True, slots=True)
class Room:
    """A graph, its layouts and segments; `shared` and `parts` give offsets by tensor, in floats.

    Layouts are those of the memory: where only a strip is ever needed, of a strip.
    `late` are the parameter gradients that are computed for all blocks at once, at the end of their
    segment.
    """

    graph: Graph
    places: Places
    segments: Segments
    shared: dict[str, int]
    parts: dict[str, int]
    strips: dict[str, Strip]
    """By the name of the node that is computed strip by strip."""
    wholes: Places
    """Layouts as if there were no strips."""

    moves: dict[str, str]
    """Tensors that a sum over the batch moves to where they are kept, and the node of that sum."""

    late: frozenset[str] = frozenset()
    """Gradients of parameters that are computed for all blocks at once, after their segment."""

    again: frozenset[str] = frozenset()
    """Those among them that read a caller's array again instead of what blocks made of it."""

    biases: Mapping[str, str] = field(default_factory=dict)
    """Gradients of weights, and those of the biases beside them that are sums of what they read."""

    abreast: frozenset[str] = frozenset()
    """Nodes that several blocks go through side by side, which share the weights they read."""

    halved: Mapping[str, int] = field(default_factory=dict)
    """The node whose sums are those of two halves of its inputs, and the inputs of the first."""

    suffix: str = ""
    """Of the names of its kernels."""

    divided_from: float = inf
    """Nanoseconds from which several threads share a call."""

    trains: bool = False
    """Whether it is that of a training step."""

    why: Mapping[str, str] = field(default_factory=dict)
    """By node, why its algorithm was taken, where that was settled before."""

    def whole(self, tensor: str) -> Layout:
        """The layout of all of a tensor."""
        return self.wholes.layouts[tensor]

    def layouts(self, node: Node) -> dict[str, Layout]:
        """What a node's kernel sees: layouts by operand name, its result's and its epilogue's."""
        strip = self.strips.get(node.name)
        found = self.places.of(node)
        if strip is not None:
            names = names_by_operand(node)
            whole = self.wholes.of(node)
            found = {operand: strip.layout(names[operand], at) for operand, at in whole.items()}
        if node.name in self.moves:
            found["result"] = self.passing(node.name)
        if node.inputs and self.moves.get(node.inputs[0]) == node.name:
            first = next(o for o, name in operand_names(node).items() if name == node.inputs[0])
            found["moved"], found[first] = found[first], self.passing(node.inputs[0])
        return found

    def passing(self, tensor: str) -> Layout:
        """Where a tensor lies until it is moved."""
        strip, whole = self.strips.get(tensor), self.whole(tensor)
        return whole if strip is None else strip.layout(tensor, whole, local=True)

    def mover(self, node: Node) -> Node | None:
        """The node of the sum that moves what a node makes to where it is kept."""
        name = self.moves.get(node.name)
        return None if name is None else self.graph.node(name)

    def passes(self, tensor: str, node: Node) -> bool:
        """Whether a node makes or reads a tensor before it is moved."""
        return tensor in self.moves and node.name in (tensor, self.moves[tensor])

    def strips_of_parts(self, name: str) -> int:
        """Of how many strips a block's part of a sum consists."""
        strip = self.strips.get(name)
        return strip.count if strip and strip.cut is Cut.ROWS else 1

    @property
    def direct(self) -> frozenset[str]:
        """Parameters whose gradient is computed once, not summed over groups of blocks."""
        once = self.late | self.segments.once
        return frozenset(p for p, node in self.graph.gradients if node in once)

    @property
    def ending(self) -> frozenset[str]:
        """Those of them whose gradient is computed for all blocks when no segment is left."""
        last = self.segments.count - 1
        ends = {name for name in self.late if self.segments.at[name] == last}
        return frozenset(p for p, node in self.graph.gradients if node in ends)


def make_room(
    graph: Graph,
    shared_from: int,
    machine: Machine,
    suffix: str = "",
    divided_from: float = inf,
    *,
    trains: bool = False,
) -> Room:
    """The room of a graph whose shared floats start behind those of another."""
    segments = find_segments(graph.nodes)
    whole = find_places(graph)
    # Between no two barriers there is a cache to be gained that depth first does not.
    strips = find_strips(graph, whole, segments, machine) if segments.count > 1 else {}
    whole = spread(graph, whole, strips, machine) if strips else whole
    late = _find_late(graph, whole, machine)
    room = Room(
        graph,
        _in_strips(whole, strips),
        segments,
        {},
        {},
        strips,
        whole,
        {},
        frozenset(late),
        _find_again(graph, whole, segments, late),
        _find_biases(graph, strips, late),
        _find_abreast(graph, whole, segments, machine),
        suffix=suffix,
        divided_from=divided_from,
        trains=trains,
    )
    if segments.count > 1:
        room.moves.update(find_moves(graph, whole, segments, strips, machine))
    gradients = {node for _, node in graph.gradients}
    shared, parts = room.shared, room.parts
    top, parts_top = shared_from, 0
    for node in graph.nodes:
        if node.name not in segments.batch or node.name in gradients:
            continue
        shared[node.name], top = top, top + on_line(prod(node.shape))
        if segments.reduced(node.name):
            parts[node.name], parts_top = parts_top, parts_top + _part_floats(room, node)
    return room


def _find_late(graph: Graph, places: Places, machine: Machine) -> dict[str, Form]:
    """The parameter gradients whose op has a kernel for all blocks at once."""
    found = {}
    for _, name in graph.gradients:
        node = graph.node(name)
        if isinstance(node.op, Gradient) and not node.epilogue:
            form = node.op.of.batch_form(node.op.wrt, places.of(node), machine)
            if form is not None:
                found[name] = form
    return found


def _find_biases(
    graph: Graph, strips: Mapping[str, Strip], late: Collection[str]
) -> dict[str, str]:
    """The pairs of gradients by a layer's weight and bias that are made of the same, in turn."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for _, name in graph.gradients:
        node = graph.node(name)
        if isinstance(node.op, Gradient) and name not in late and not node.epilogue:
            found.setdefault((node.layer, node.inputs[0]), {})[node.op.wrt] = name
    pairs = [(made["weight"], made["bias"]) for made in found.values() if len(made) == 2]
    return {weight: bias for weight, bias in pairs if strips.get(weight) == strips.get(bias)}


def _find_again(
    graph: Graph, places: Places, segments: Segments, late: Mapping[str, Form]
) -> frozenset[str]:
    """The late gradients that read the caller's array.

    What is done to it must be the same for every element, and no segment may be left.
    """
    found = set()
    for name, form in late.items():
        source = graph.node(places.root(operand_names(graph.node(name))["input"]))
        if (
            form.from_array() is not None
            and segments.at[name] == segments.count - 1
            and type(source.op) is Input
            and source.op.dtype in ("uint8", "float32")
            and places.layouts[source.name].dense
            and not source.epilogue_inputs
            and not any(is_placed(op) for op in source.epilogue)
        ):
            found.add(name)
    return frozenset(found)


def _find_abreast(
    graph: Graph, places: Places, segments: Segments, machine: Machine
) -> frozenset[str]:
    """What blocks go through side by side, each with a workspace of its own.

    Only where the weights that they share are so large that reading them for each block takes
    longer than to write and read its tensors in a workspace that is not cached from the block
    before. Nor between barriers.
    """
    found, weights = set(), 0
    for node in graph.nodes if segments.count == 1 else ():
        op, wrt = (node.op.of, node.op.wrt) if isinstance(node.op, Gradient) else (node.op, None)
        if isinstance(op, Input) or not places.computes(node):
            continue
        if op.abreast_form(wrt, places.of(node), machine) is not None:
            found.add(node.name)
            weights += sum(prod(graph.parameter(name).shape) for name in node.parameters)
    tensors = {places.root(name) for name in places.layouts}
    each = sum(places.layouts[name].size for name in tensors if name in places.layouts)
    return frozenset(found if _TIMES * each * machine.lanes <= weights else ())


def _in_strips(places: Places, strips: dict[str, Strip]) -> Places:
    """The same with memory for only a strip of what is local to one."""
    layouts = {
        name: strips[name].layout(name, whole)
        if name in strips and name in strips[name].local
        else whole
        for name, whole in places.layouts.items()
    }
    return replace(places, layouts=layouts)


def names_by_operand(node: Node) -> dict[str, str]:
    """The tensor that a kernel's pointer stands for, its result's and its epilogue's too."""
    extra = {f"epilogue{i}": name for i, name in enumerate(node.epilogue_inputs)}
    return {**operand_names(node), **extra, "result": node.name}


def _part_floats(room: Room, node: Node) -> int:
    return on_line(prod(node.shape) * room.strips_of_parts(node.name))


def shared_end(room: Room) -> int:
    """Where the last of the shared floats ends; 0 where there is none."""
    ends = (at + on_line(prod(room.graph.node(n).shape)) for n, at in room.shared.items())
    return max(ends, default=0)


def parts_end(room: Room) -> int:
    """Where the last of a block's parts ends; 0 where there is none."""
    ends = (at + _part_floats(room, room.graph.node(n)) for n, at in room.parts.items())
    return max(ends, default=0)


def on_line(floats: int) -> int:
    """So many floats, up to a whole cache line."""
    return -(-floats // LINE) * LINE
