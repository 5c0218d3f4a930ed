"""Graph -> Program: layouts, halos, lifetimes, kernels and the order of their calls.

Every op chooses its own loops (`kernel_form`); this pass lets equal kernels share one function and
gives each schedule its segments. Does not write any text; for memory see workspace.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ir.program import (
    Call,
    Judge,
    Kernel,
    Load,
    Operand,
    Program,
    Result,
    Schedule,
    Segment,
    Slot,
)
from cnnc.ir.target import Target
from cnnc.ops.elementwise import in_a_row
from cnnc.ops.input import input_load, output_store
from cnnc.ops.layout import Form
from cnnc.ops.op import Gradient, Input, Op
from cnnc.passes.places import Places, find_places
from cnnc.passes.segments import BEFORE, Segments, find_segments
from cnnc.passes.workspace import Pins, Step, Workspace, lay_out

_LINE = 16
"""Floats in a cache line, on which every parameter starts."""

_GRADIENT_MEMORY = 256 * 1024 * 1024
"""Bytes that all partial gradients together may take, before there are fewer of them."""

_MOST_GROUPS = 16

_PASSED = ("channels", "space", "stride", "blocks", "samples", "update")
"""Pointers of a kernel that are integers."""


def plan(graph: Graph, target: Target) -> Program:
    """Lay out a fused graph for a target."""
    slots, trained, arena = _arena(graph)
    planner = _Planner(target, {slot.name: slot for slot in slots})
    rooms = planner.room(graph), planner.room(graph.step) if graph.step else None
    # A halo keeps its place in all schedules: the first round finds all that there are, so that in
    # the second no schedule puts anything else where another has its zeros.
    planner.schedules(*rooms)
    infer, results, loss, train = planner.schedules(*rooms)
    groups = max(1, min(_MOST_GROUPS, _GRADIENT_MEMORY // max(1, 4 * arena)))
    return Program(
        graph.name,
        target,
        slots,
        arena,
        results,
        tuple(planner.kernels.values()),
        infer,
        loss,
        train,
        graph.training,
        groups,
        graph.digest,
        trained,
        planner.shared,
        planner.parts,
        _judges(graph),
    )


def _arena(graph: Graph) -> tuple[tuple[Slot, ...], int, int]:
    """Every parameter's slot, those that are trained first; the floats of these, and of all."""
    slots, offset, trained = [], 0, 0
    for p in sorted(graph.parameters, key=lambda p: not p.trained):
        slots.append(Slot(p.name, p.shape, offset, p.initializer, p.fan_in, p.fan_out, p.trained))
        offset += -(-prod(p.shape) // _LINE) * _LINE
        trained = offset if p.trained else trained
    return tuple(slots), trained, offset


def _updates(node: Node) -> bool:
    """Whether a node changes parameters that are not trained."""
    return any(name.endswith(".running_mean") for name in node.parameters)


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


@dataclass(frozen=True, slots=True)
class _Room:
    """A graph with what was decided of its memory. `shared` and `parts` give offsets by tensor."""

    graph: Graph
    places: Places
    segments: Segments
    shared: dict[str, int]
    parts: dict[str, int]


@dataclass(slots=True)
class _Planner:
    target: Target
    slots: dict[str, Slot]
    kernels: dict[object, Kernel] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    pins: Pins = field(default_factory=Pins)
    shared: int = 0
    parts: int = 0

    def room(self, graph: Graph) -> _Room:
        """Layouts and segments of a graph, and the floats of what is one for the batch."""
        segments = find_segments(graph.nodes)
        gradients = {node for _, node in graph.gradients}
        shared: dict[str, int] = {}
        parts: dict[str, int] = {}
        for node in graph.nodes:
            if node.name not in segments.batch or node.name in gradients:
                continue
            size = -(-prod(node.shape) // _LINE) * _LINE
            shared[node.name] = self.shared
            self.shared += size
            if segments.reduced(node.name):
                parts[node.name] = self.parts
                self.parts += size
        return _Room(graph, find_places(graph), segments, shared, parts)

    def schedules(
        self, main: _Room, step: _Room | None
    ) -> tuple[Schedule, tuple[Result, ...], Schedule | None, Schedule | None]:
        """Inference and what it hands back, the loss, the training step."""
        infer = self.schedule("infer", main, {o.tensor for o in main.graph.outputs})
        results = self.results(main, infer)
        if step is None:
            return infer, results, None, None
        loss = self.schedule("loss", main, set(main.graph.losses))
        wanted = {*step.graph.losses, *(name for _, name in step.graph.gradients)}
        wanted |= {node.name for node in step.graph.nodes if _updates(node)}
        return infer, results, loss, self.schedule("train", step, wanted)

    def schedule(self, name: str, room: _Room, wanted: set[str]) -> Schedule:
        """Order the calls that the wanted tensors need, then give their tensors memory."""
        nodes = [node for node in _needed(room.graph, wanted) if room.places.computes(node)]
        kernels = {node.name: self.kernel(node, room) for node in nodes}
        steps = []
        for node in sorted(nodes, key=lambda node: room.segments.at[node.name]):
            if node.name not in room.segments.once:
                kernel = kernels[node.name]
                scratch = kernel.form.scratch() if kernel else 0
                steps.append(Step(node, room.segments.at[node.name], scratch))
        ends = {o.tensor for o in room.graph.outputs} | set(room.graph.losses)
        memory = lay_out(steps, room.places, room.segments.batch, ends, self.pins)
        caller = _Caller(self, room, memory)
        once = [node for node in nodes if node.name in room.segments.once]
        prepare = [caller.call(n, kernels[n.name]) for n in once if _at(room, n) == BEFORE]
        segments = tuple(
            caller.segment(number, steps, once, kernels)
            for number in range(max((step.segment for step in steps), default=0) + 1)
        )
        return Schedule(
            name,
            tuple(prepare),
            segments,
            memory.buffers,
            memory.size,
            memory.unplanned,
            memory.kept,
            memory.kept_size,
        )

    def results(self, room: _Room, infer: Schedule) -> tuple[Result, ...]:
        """The outputs, each with the kernel that hands it back."""
        found = []
        for output in room.graph.outputs:
            node = room.graph.node(output.tensor)
            form = output_store(room.places.layouts[output.tensor])
            plain = replace(node, epilogue=(), epilogue_inputs=())
            kernel = self.share(f"{output.name}_store", form, plain, room)
            offset = infer.offset(room.places.root(output.tensor))
            found.append(Result(output.name, node.shape, offset, kernel.name))
        return tuple(found)

    def kernel(self, node: Node, room: _Room) -> Kernel | None:
        """The function for a node, made or shared; inputs have loaders instead."""
        if isinstance(node.op, Input):
            return None
        layouts = room.places.of(node)
        wrt = node.op.wrt if isinstance(node.op, Gradient) else None
        op = node.op.of if isinstance(node.op, Gradient) else node.op
        form = op.kernel_form(wrt, layouts, self.target)
        name = f"{node.layer or node.name}_{f'{wrt}_gradient' if wrt else 'forward'}"
        if node.name in room.segments.batch or (node.layer and wrt is None):
            name = node.name
        return self.share(name, form, node, room)

    def share(self, name: str, form: Form, node: Node, room: _Room) -> Kernel:
        """The kernel of this form, fused ops and layouts: a known one, or a new one."""
        layouts = tuple(room.places.layouts.get(t) for t in node.epilogue_inputs)
        result = room.places.layouts.get(node.name)
        if in_a_row(node.epilogue, layouts, result):
            form, result = form.flat(), None
        key = (form, node.epilogue, layouts, result if node.epilogue else None)
        layer = node.layer or node.name
        known = self.kernels.get(key)
        if known is None:
            name = name.replace(".", "_")
            if name in self.names:
                name = name.removesuffix("_forward") + "_training"
            while name in self.names:
                name += "_"
            self.names.add(name)
            floats = node.name in room.segments.batch
            gradient = node.name in room.places.gradient_of and not floats
            known = Kernel(name, form, node.epilogue, layouts, (layer,), gradient, floats, result)
        elif layer not in known.layers:
            known = replace(known, layers=(*known.layers, layer))
        self.kernels[key] = known
        return known


@dataclass(frozen=True, slots=True)
class _Caller:
    """Makes the calls of a schedule whose memory is laid out."""

    planner: _Planner
    room: _Room
    memory: Workspace

    def segment(
        self,
        number: int,
        steps: list[Step],
        once: list[Node],
        kernels: dict[str, Kernel | None],
    ) -> Segment:
        """What runs in one segment, and what follows when every block has been through it."""
        nodes = [step.node for step in steps if step.segment == number]
        calls = [self.call(n, kernels[n.name]) for n in nodes if kernels[n.name] is not None]
        finish = [self.finish(n) for n in nodes if n.name in self.room.parts]
        finish += [self.call(n, kernels[n.name]) for n in once if _at(self.room, n) == number]
        losses = [name for name in self.room.graph.losses if any(n.name == name for n in nodes)]
        return Segment(
            tuple(self.load(node) for node in nodes if isinstance(node.op, Input)),
            tuple(calls),
            tuple(finish),
            tuple(self.loss(name) for name in losses),
        )

    def loss(self, name: str) -> tuple[Operand, str]:
        """Where a loss lies, and the tensor that holds each sample's share in the mean."""
        nodes = self.room.graph.nodes
        place = next(i for i, node in enumerate(nodes) if node.name == name)
        return self.operand("loss", name), nodes[place - 1].name

    def load(self, node: Node) -> Load:
        """How an array of the caller's comes in."""
        if not isinstance(node.op, Input):
            raise TypeError(f"{node.name} is no input")
        dtype, kernels = node.op.dtype, []
        accepted = {"uint8": ("uint8", "float32"), "float32": ("float32",)}.get(dtype, ())
        for kind in accepted:
            form = input_load(kind, self.room.places.layouts[node.name])
            kernel = self.planner.share(f"{node.name}_load_{kind}", form, node, self.room)
            kernels.append((kind, kernel.name))
        at = self.operand("result", node.name)
        return Load(node.name, dtype, node.op.shape, at.space, at.offset, tuple(kernels))

    def call(self, node: Node, kernel: Kernel | None) -> Call:
        """A node's kernel with what it reads and writes."""
        if kernel is None:
            raise TypeError(f"{node.name} has no kernel")
        bound = operand_names(node)
        bound |= {f"epilogue{i}": name for i, name in enumerate(node.epilogue_inputs)}
        operands = []
        for pointer in kernel.pointers():
            if pointer == "scratch":
                at = self.memory.offsets[f"scratch {node.name}"]
                operands.append(Operand(pointer, "work", "scratch", at))
            elif pointer == "result":
                operands.append(self.result(node))
            elif pointer in _PASSED:
                operands.append(self.number(pointer, node))
            else:
                operands.append(self.operand(pointer, bound[pointer]))
        return Call(kernel.name, tuple(operands), node.name)

    def finish(self, node: Node) -> Call:
        """What makes the parts of all blocks one."""
        if not isinstance(node.op, Op):
            raise TypeError(f"{node.name} is not summed over the batch")
        form = node.op.finish_form(self.room.places.of(node))
        bare = replace(node, epilogue=(), epilogue_inputs=())
        kernel = self.planner.share(f"{node.name}_finish", form, bare, self.room)
        bound = operand_names(node)
        operands = []
        for pointer in kernel.pointers():
            if pointer == "parts":
                at = self.room.parts[node.name]
                operands.append(Operand(pointer, "parts", node.name, at))
            elif pointer == "result":
                operands.append(self.operand(pointer, node.name))
            elif pointer in _PASSED:
                operands.append(self.number(pointer, node))
            else:
                operands.append(self.operand(pointer, bound[pointer]))
        return Call(kernel.name, tuple(operands), node.name)

    def number(self, pointer: str, node: Node) -> Operand:
        """An integer that a kernel takes."""
        if pointer in ("blocks", "samples", "update"):
            return Operand(pointer, pointer, pointer, 0)
        if pointer == "stride":
            return Operand(pointer, "number", pointer, self.planner.parts)
        space = self.room.graph.node(node.inputs[0]).shape[1:] if node.inputs else ()
        value = node.shape[-1] if pointer == "channels" else prod(space)
        return Operand(pointer, "number", pointer, value)

    def operand(self, pointer: str, name: str) -> Operand:
        """Where a tensor or a parameter lies."""
        room, slots = self.room, self.planner.slots
        if name in slots:
            return Operand(pointer, "parameters", name, slots[name].offset)
        if name in room.shared:
            return Operand(pointer, "shared", name, room.shared[name])
        root = room.places.root(name)
        if root in self.memory.kept_offsets:
            return Operand(pointer, "kept", name, self.memory.kept_offsets[root])
        return Operand(pointer, "work", name, self.memory.offsets[root])

    def result(self, node: Node) -> Operand:
        """Where a node writes."""
        parameter = self.room.places.gradient_of.get(node.name)
        if parameter is not None:
            slot = self.planner.slots[parameter]
            return Operand("result", "gradients", node.name, slot.offset)
        if node.name in self.room.parts:
            return Operand("result", "parts", node.name, self.room.parts[node.name])
        return self.operand("result", node.name)


def _at(room: _Room, node: Node) -> int:
    return room.segments.at[node.name]


def _needed(graph: Graph, wanted: set[str]) -> list[Node]:
    """The nodes that the wanted tensors depend on, in order."""
    needed = set(wanted)
    chosen: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= {*node.inputs, *node.epilogue_inputs}
            chosen.append(node)
    return chosen[::-1]
