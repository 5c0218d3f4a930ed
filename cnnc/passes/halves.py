"""The layer of a training step that two threads compute by halves of its inputs, if there is one.

At the end of a step each of two threads changes a half of a large weight, and in the next one's
forward pass reads all of it: the other's half is fetched from the other core, and is taken back
when it is changed. Of the first layer, whose inputs are the caller's array, no thread need read
more than the half that it changes: first it adds up that half's inputs for the blocks of the other
thread, then each thread goes through its blocks and adds the rest. What changes places are sums.
"""

from __future__ import annotations

from cnnc.ir.graph import Node
from cnnc.ir.interpret import operand_names
from cnnc.ops.layout import Machine
from cnnc.ops.op import Gradient
from cnnc.passes.cost import node_cost
from cnnc.passes.kernels import Kernels
from cnnc.passes.room import Room

_LEAST = 4
"""Weights of at least the second-level cache's part in this are worth a barrier of their own."""

_INPUTS = 4
"""Inputs of the layer for each sample of a batch, at the least. What changes places instead of a
weight is a sum of each output and sample, which also is stored and read once more."""


def find_halved(room: Room, machine: Machine) -> dict[str, int]:
    """The name of that layer's node in a step's graph, and how many inputs the first half has.

    Its weight is the one that takes most of what ends the step, so that what a thread does there
    can end with either half. Nothing else reads the array by blocks, and no segment follows.
    """
    graph, places = room.graph, room.places
    if room.segments.count > 1 or room.abreast or not room.again:
        return {}
    costs = {name: node_cost(graph.node(name), graph) for name in room.late}
    (name, most), *others = sorted(costs.items(), key=lambda pair: -pair[1])
    gradient = graph.node(name)
    if name not in room.again or most in [cost for _, cost in others]:
        return {}
    if not isinstance(gradient.op, Gradient) or not graph.has(gradient.layer):
        return {}
    layer = graph.node(gradient.layer)
    source = places.root(operand_names(gradient)["input"])
    if _readers(room, source) != {layer.name, name} or layer.epilogue_inputs:
        return {}
    size = 4 * gradient.op.of.multiply_adds(tuple(graph.node(n).shape for n in layer.inputs))
    form = gradient.op.of.batch_form(gradient.op.wrt, places.of(gradient), machine)
    fits = machine.level2 <= _LEAST * size and size <= machine.level2
    return {layer.name: form.middle()} if form and form.middle() and fits else {}


def most_blocks(inputs: int, lanes: int) -> int:
    """Of how many blocks a batch may consist for a layer of so many inputs to be computed so."""
    return inputs // (_INPUTS * lanes)


def half_of(tensor: str) -> str:
    """What is called the sums over one half of the inputs of what makes a tensor."""
    return f"half of {tensor}"


def halved_in(room: Room, kernels: Kernels) -> tuple[Node, ...]:
    """The node of that layer, if this is a training step and its kernel can be halved."""
    nodes = (room.graph.node(name) for name in room.halved) if room.trains else ()
    return tuple(node for node in nodes if kernels.form(node, room).half())


def halved_sources(room: Room, kernels: Kernels) -> set[str]:
    """The array that it reads, of which a part comes in at a time."""
    return {room.places.root(node.inputs[0]) for node in halved_in(room, kernels)}


def _readers(room: Room, source: str) -> set[str]:
    """The nodes that read an array, or what is only a view of it."""
    graph, places = room.graph, room.places
    return {
        node.name
        for node in graph.nodes
        if places.computes(node)
        and source in map(places.root, (*node.inputs, *node.epilogue_inputs))
    }
