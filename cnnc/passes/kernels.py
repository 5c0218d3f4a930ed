"""Nodes -> kernels: every op chooses its own loops, and equal ones share one function."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isinf

from cnnc.ir.calls import Kernel
from cnnc.ir.graph import Node
from cnnc.ir.interpret import operand_names
from cnnc.ir.program import Schedule
from cnnc.ir.target import Target
from cnnc.ops.batch_statistics import BatchStatistics, BatchSums
from cnnc.ops.elementwise import in_a_row
from cnnc.ops.layout import Form
from cnnc.ops.op import Gradient, Input
from cnnc.passes.choice import Asked, Choice, Chosen, best_guess
from cnnc.passes.cost import shared_cost
from cnnc.passes.room import LINE, Room


@dataclass(frozen=True, slots=True)
class _Loops:
    """What was chosen for a node; `node` has what is fused into it. See Kernels.share.

    The room is held, so that no other gets its identity.
    """

    form: Form
    node: Node
    room: Room
    asked: str
    why: str


@dataclass(slots=True)
class Kernels:
    """The kernels so far."""

    target: Target
    choose: Choice = best_guess
    known: dict[object, Kernel] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    made: dict[tuple[int, int], Kernel] = field(default_factory=dict)
    """By the identities of the node and the room: layouts differ where graphs share a node."""
    chosen: dict[tuple[int, int], _Loops] = field(default_factory=dict)
    """The same."""

    def of(self, node: Node, room: Room) -> Kernel | None:
        """The function for a node, made or shared; inputs have loaders instead."""
        if isinstance(node.op, Input):
            return None
        asked_for = id(node), id(room)
        if asked_for in self.made:
            return self.made[asked_for]
        loops = self.loops(node, room)
        wrt = node.op.wrt if isinstance(node.op, Gradient) else None
        name = f"{node.layer or node.name}_{f'{wrt}_gradient' if wrt else 'forward'}"
        if node.name in room.segments.batch or (node.layer and wrt is None):
            name = node.name
        name += room.suffix
        self.made[asked_for] = self.share(
            name, loops.form, loops.node, room, loops.asked, loops.why
        )
        return self.made[asked_for]

    def form(self, node: Node, room: Room) -> Form:
        """The loops of a node's kernel, chosen once. TypeError for an input, which has none."""
        return self.loops(node, room).form

    def loops(self, node: Node, room: Room) -> _Loops:
        """The same with what it was chosen for."""
        asked_for = id(node), id(room)
        if asked_for in self.chosen:
            return self.chosen[asked_for]
        if isinstance(node.op, Input):
            raise TypeError(f"{node.name} has no kernel")
        layouts = room.layouts(node)
        strip = room.strips.get(node.name)
        wrt = node.op.wrt if isinstance(node.op, Gradient) else None
        op = node.op.of if isinstance(node.op, Gradient) else node.op
        op = strip.part(op) if strip else op
        asked = Asked(op, wrt, layouts, self.target, trains=room.trains)
        late = op.batch_form(wrt, layouts, self.target) if wrt and node.name in room.late else None
        abreast = op.abreast_form(wrt, layouts, self.target) if node.name in room.abreast else None
        fixed = late or abreast
        chosen = Chosen(fixed) if fixed else self.choose(asked)
        if strip is not None and chosen.form.prepared() is not None:
            # A strip has a part of a weight, and what is prepared of the weight is not cut.
            form = next(each for each in asked.forms if each.prepared() is None)
            chosen = Chosen(form, f"{form.candidate()}: of strips, whose weights are parts of one")
        form = chosen.form
        if node.name in room.again and (array := form.from_array()) is not None:
            source = room.graph.node(room.places.root(operand_names(node)["input"]))
            form, node = array, replace(node, epilogue=source.epilogue)
        if self.is_shared(form, node, room):
            parts = form.divided()
            form = parts if parts.units() > 1 else form
        form = form.in_halves(room.halved.get(node.name, 0))
        form = form.fetching() if strip is not None else form
        form = self._tallying(form, node, room)
        form = form.with_bias() if node.name in room.biases else form
        why = "\n".join(filter(None, (room.why.get(node.name), chosen.why)))
        self.chosen[asked_for] = _Loops(form, node, room, "" if fixed else asked.key, why)
        return self.chosen[asked_for]

    def is_shared(self, form: Form, node: Node, room: Room) -> bool:
        """Whether threads share the calls of a kernel, if it can be."""
        if isinf(room.divided_from) or node.name in room.segments.batch:
            return False
        return shared_cost(node, form, room.graph, self.target.lanes) >= room.divided_from

    def _tallying(self, form: Form, node: Node, room: Room) -> Form:
        """The form, adding up what a batch norm needs of what it makes, if it can.

        Only where a register fills a cache line: what goes past the caches in parts of lines, a
        tile's width at a time, takes longer than a pass that stores whole rows.
        """
        mover = room.mover(node) if self.target.lanes >= LINE else None
        layouts = room.layouts(mover) if mover else {}
        match mover.op if mover else None:
            case BatchStatistics():
                return form.tallying(layouts["moved"])
            case BatchSums():
                return form.tallying(layouts["moved"], layouts["input"])
        return form

    def preparing(self, node: Node, room: Room) -> Kernel:
        """The function that makes what the node's kernel reads in place of its weight.

        TypeError where that is the weight itself.
        """
        kernel = self.of(node, room)
        prepared = kernel.form.prepared() if kernel else None
        if kernel is None or prepared is None:
            raise TypeError(f"{node.name} has nothing to prepare")
        bare = replace(node, epilogue=(), epilogue_inputs=())
        return self.share(f"{kernel.name}_windows", prepared.form, bare, room, *kernel.asked[:1])

    def forms(self, schedule: Schedule) -> dict[str, Form]:
        """Of the kernels of a schedule's calls, by what they compute."""
        by_name = {kernel.name: kernel.form for kernel in self.known.values()}
        return {call.computes: by_name[call.kernel] for call in schedule.calls}

    def share(
        self, name: str, form: Form, node: Node, room: Room, asked: str = "", why: str = ""
    ) -> Kernel:
        """The kernel of this form, fused ops and layouts: a known one, or a new one.

        `asked` and `why` are the choice's key and reason, where there was a choice.
        """
        seen = room.layouts(node)
        layouts = tuple(seen.get(f"epilogue{i}") for i in range(len(node.epilogue_inputs)))
        result = seen.get("result")
        if in_a_row(node.epilogue, layouts, result):
            form, result = form.flat(), None
        key = (form, node.epilogue, layouts, result if node.epilogue else None)
        layer = node.layer or node.name
        known = self.known.get(key)
        if known is None:
            name = name.replace(".", "_")
            if name in self.names:
                name = name.removesuffix("_forward") + "_training"
            while name in self.names:
                name += "_"
            self.names.add(name)
            floats = node.name in room.segments.batch or node.name in room.late
            gradient = node.name in room.places.gradient_of and not floats
            known = Kernel(name, form, node.epilogue, layouts, (layer,), gradient, floats, result)
        elif layer not in known.layers:
            known = replace(known, layers=(*known.layers, layer))
        if asked and asked not in known.asked:
            known = replace(known, asked=(*known.asked, asked), why=known.why or why)
        self.known[key] = known
        return known
