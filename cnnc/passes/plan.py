"""Graph -> Program: layouts, segments, lifetimes, kernels and the order of their calls.

Ties together what the modules beside it decide: room and places (layouts), segments, workspace
(memory), kernels (functions that equal nodes share) and calls. Does not write any text.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from math import prod

from cnnc.ir.graph import Graph, Node
from cnnc.ir.program import Judge, Program, Result, Schedule, Slot
from cnnc.ir.target import Target
from cnnc.ops.input import output_store
from cnnc.passes.calls import Caller
from cnnc.passes.kernels import Kernels
from cnnc.passes.room import Room, floats_of, make_room, on_line
from cnnc.passes.segments import BEFORE
from cnnc.passes.workspace import Pins, Step, Workspace, lay_out

_GRADIENT_MEMORY = 256 * 1024 * 1024
"""Bytes that all partial gradients together may take, before there are fewer of them."""

_MOST_GROUPS = 16


def plan(graph: Graph, target: Target) -> Program:
    """Lay out a fused graph for a target."""
    slots, trained, arena = _arena(graph)
    main = make_room(graph, 0)
    step = make_room(graph.step, floats_of(main, main.shared)) if graph.step else None
    parts = floats_of(step, step.parts) if step else 0
    planner = _Planner({slot.name: slot for slot in slots}, parts, Kernels(target))
    wanted: list[tuple[str, Room, set[str]]] = [
        ("infer", main, {output.tensor for output in graph.outputs})
    ]
    if step:
        wanted.append(("loss", main, set(graph.losses)))
        wanted.append(("train", step, planner.results_of_step(step)))
    # A halo keeps its place in all schedules: once all are known, no schedule puts anything else
    # where another has its zeros.
    for _, room, tensors in wanted:
        planner.memory(room, planner.steps(room, tensors))
    schedules = [planner.schedule(*each) for each in wanted]
    results = planner.results(main, schedules[0])
    infer, loss, train = [*schedules, None, None][:3]
    if infer is None:
        raise TypeError("a program infers")
    return Program(
        graph.name,
        target,
        slots,
        arena,
        results,
        tuple(planner.kernels.known.values()),
        infer,
        loss,
        train,
        graph.training,
        max(1, min(_MOST_GROUPS, _GRADIENT_MEMORY // max(1, 4 * arena))),
        graph.digest,
        trained,
        max([0, *(floats_of(room, room.shared) for room in (main, step) if room)]),
        parts,
        _judges(graph),
    )


def _arena(graph: Graph) -> tuple[tuple[Slot, ...], int, int]:
    """Every parameter's slot, those that are trained first; the floats of these, and of all."""
    slots, offset, trained = [], 0, 0
    for p in sorted(graph.parameters, key=lambda p: not p.trained):
        slots.append(Slot(p.name, p.shape, offset, p.initializer, p.fan_in, p.fan_out, p.trained))
        offset += on_line(prod(p.shape))
        trained = offset if p.trained else trained
    return tuple(slots), trained, offset


def _judges(graph: Graph) -> tuple[Judge, ...]:
    if graph.training is None:
        return ()
    found = []
    for judge, name in zip(graph.training.losses, graph.losses, strict=True):
        node = graph.node(name)
        place = graph.nodes.index(node)
        share, target = graph.nodes[place - 1], graph.nodes[place - 2]
        output = graph.node(node.inputs[0]).shape
        classes = judge.loss.classes(output)
        found.append(
            Judge(judge.output, target.name, share.name, judge.loss, judge.weight, classes)
        )
    return tuple(found)


@dataclass(slots=True)
class _Planner:
    """Makes schedules that share kernels and the places of halos. `parts` are a block's floats."""

    slots: dict[str, Slot]
    parts: int
    kernels: Kernels
    pins: Pins = field(default_factory=Pins)

    def results_of_step(self, room: Room) -> set[str]:
        """What a training step is for: losses, gradients and statistics."""
        statistics = {
            node.name
            for node in room.graph.nodes
            if any(not self.slots[name].trained for name in node.parameters)
        }
        gradients = {name for _, name in room.graph.gradients}
        return statistics | gradients | set(room.graph.losses)

    def steps(self, room: Room, wanted: Collection[str]) -> list[Node]:
        """The nodes to compute, segment by segment."""
        nodes = [node for node in _needed(room.graph, wanted) if room.places.computes(node)]
        return sorted(nodes, key=lambda node: room.segments.at[node.name])

    def memory(self, room: Room, nodes: list[Node], *, scratch: bool = False) -> Workspace:
        """Memory for what the nodes make; kernels' scratch only where it is asked for."""
        steps = []
        for node in nodes:
            if node.name not in room.segments.once:
                kernel = self.kernels.of(node, room) if scratch else None
                needs = kernel.form.scratch() if kernel else 0
                steps.append(Step(node, room.segments.at[node.name], needs))
        ends = {output.tensor for output in room.graph.outputs} | set(room.graph.losses)
        return lay_out(steps, room.places, room.segments.batch, ends, self.pins)

    def schedule(self, name: str, room: Room, wanted: Collection[str]) -> Schedule:
        """The calls that the wanted tensors need, with memory for what they make."""
        nodes = self.steps(room, wanted)
        memory = self.memory(room, nodes, scratch=True)
        caller = Caller(self.kernels, self.slots, self.parts, room, memory)
        last = max((room.segments.at[node.name] for node in nodes), default=0)
        return Schedule(
            name,
            caller.calls_at(BEFORE, nodes),
            tuple(caller.segment(number, nodes) for number in range(last + 1)),
            memory.buffers,
            memory.size,
            memory.unplanned,
            memory.kept,
            memory.kept_size,
        )

    def results(self, room: Room, infer: Schedule | None) -> tuple[Result, ...]:
        """The outputs, each with the kernel that hands it back."""
        found = []
        for output in room.graph.outputs:
            node = room.graph.node(output.tensor)
            form = output_store(room.places.layouts[output.tensor])
            plain = replace(node, epilogue=(), epilogue_inputs=())
            kernel = self.kernels.share(f"{output.name}_store", form, plain, room)
            offset = infer.offset(room.places.root(output.tensor)) if infer else 0
            found.append(Result(output.name, node.shape, offset, kernel.name))
        return tuple(found)


def _needed(graph: Graph, wanted: Collection[str]) -> list[Node]:
    """The nodes that the wanted tensors depend on, in order."""
    needed = set(wanted)
    chosen: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= {*node.inputs, *node.epilogue_inputs}
            chosen.append(node)
    return chosen[::-1]
