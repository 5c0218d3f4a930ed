"""The calls that compute a step's first layer by halves of its inputs; see halves."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from cnnc.ir.calls import Call, Kernel, Operand
from cnnc.ir.graph import Node
from cnnc.ir.interpret import operand_names
from cnnc.ir.program import Halves
from cnnc.passes.calls import Caller
from cnnc.passes.halves import half_of, halved_in, most_blocks

_OF_BLOCK = ("begin", "end")
"""What a block is told of the half."""


def half_calls(caller: Caller) -> Halves | None:
    """Of the schedule whose calls these are; None where it has no such layer."""
    room, kernels = caller.room, caller.kernels
    for node in halved_in(room, kernels):
        form = kernels.form(node, room).half()
        if form is None:
            continue
        kernel = kernels.share(f"{node.name}_half", form, node, room)
        source = room.places.root(node.inputs[0])
        (gradient,) = (name for name in room.again if room.graph.node(name).layer == node.name)
        inputs = prod(room.graph.node(source).shape)
        at = caller.memory.kept_offsets[half_of(node.name)]
        sums = Operand("result", "kept", half_of(node.name), at)
        none = Operand("other", "NULL", "other", 0)
        return Halves(
            layer=node.name,
            source=source,
            gradient=gradient,
            first=room.halved[node.name],
            inputs=inputs,
            most=most_blocks(inputs, kernels.target.lanes),
            sums=_call(caller, kernel, node, none, sums),
            rest=_call(caller, kernel, node, replace(sums, pointer="other"), caller.result(node)),
        )
    return None


def _call(caller: Caller, kernel: Kernel, node: Node, other: Operand, result: Operand) -> Call:
    """The sums over a half of the inputs, by themselves or added to the other's."""
    bound = operand_names(node)
    places = {"other": other, "result": result}
    operands = tuple(
        Operand(pointer, "units", pointer, 0)
        if pointer in _OF_BLOCK
        else places.get(pointer) or caller.operand(pointer, bound[pointer])
        for pointer in kernel.pointers()
    )
    return Call(kernel.name, operands, result.name)
