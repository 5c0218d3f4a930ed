"""Which tensors are made in the place of one that their kernel reads for the last time.

A kernel that reads an element only before it stores the result's at the same place may store it
there: no other memory is touched, and the line that is written is cached already. Forms say of
which operands that holds (`Form.in_place`, `Form.stores_once`); here it is known what is read
later, by whom, and which layouts are alike. Offsets are not decided here; see workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from cnnc.ir.graph import Node
from cnnc.ir.interpret import operand_names
from cnnc.ops.layout import Form
from cnnc.ops.op import Input
from cnnc.passes.room import Room, names_by_operand
from cnnc.passes.workspace import Step


def find_in_place(
    steps: Sequence[Step],
    room: Room,
    form_of: Callable[[Node, Room], Form],
    ends: Collection[str],
    late: Sequence[Step] = (),
) -> dict[str, str]:
    """Each tensor that may take another's place, by the name of that memory's owner.

    In the order of the steps. `ends` are read when their segment is over, what `late` steps read
    when every block has been through it: these keep their places.
    """
    places = room.places
    held = {places.root(name) for name in ends}
    for step in late:
        held |= {places.root(name) for name in operand_names(step.node).values()}
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        for name in (*step.node.inputs, *step.node.epilogue_inputs):
            last[places.root(name)] = index
    found: dict[str, str] = {}
    for index, node in enumerate(step.node for step in steps):
        if isinstance(node.op, Input) or node.name not in places.layouts:
            continue
        # What is moved to where it is kept is stored elsewhere first.
        if node.name in room.moves or places.root(node.name) != node.name:
            continue
        for root in _overwritable(node, room, form_of(node, room)):
            if last[root] == index and root not in held:
                found[node.name] = root
                break
    return found


def _overwritable(node: Node, room: Room, form: Form) -> Iterator[str]:
    """The owners of memory that a node's kernel reads only before it writes there, if at all.

    Every pointer into that memory must be one of which the form says so, and walk it alike.
    """
    places, seen, bound = room.places, room.layouts(node), names_by_operand(node)
    allowed = set(form.in_place())
    if form.stores_once():
        allowed |= {f"epilogue{i}" for i in range(len(node.epilogue_inputs))}
    pointers: dict[str, list[str]] = {}
    for pointer, name in bound.items():
        if pointer != "result" and name in places.layouts:
            pointers.setdefault(places.root(name), []).append(pointer)
    for root, reading in pointers.items():
        alike = all(p in allowed and seen[p] == seen["result"] for p in reading)
        if alike and places.layouts[root].size == places.layouts[node.name].size:
            yield root
