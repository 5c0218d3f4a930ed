"""Graph -> Program: layouts, halos, lifetimes, kernels and the order of their calls.

Every op chooses its own loops (`kernel_form`); this pass gives its tensors their memory and lets
equal kernels share one function. Does not write any text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ir.program import (
    Buffer,
    Call,
    Kernel,
    Load,
    Operand,
    Program,
    Result,
    Schedule,
    Slot,
)
from cnnc.ir.target import Target
from cnnc.ops.input import input_load, output_store
from cnnc.ops.layout import Form, Layout
from cnnc.ops.op import Gradient, Input
from cnnc.passes.memory import Lifetime, place
from cnnc.passes.places import Places, find_places

_LINE = 16
"""Floats in a cache line, on which every parameter starts."""

_GRADIENT_MEMORY = 256 * 1024 * 1024
"""Bytes that all partial gradients together may take, before there are fewer of them."""

_MOST_GROUPS = 16


def plan(graph: Graph, target: Target) -> Program:
    """Lay out a fused graph for a target."""
    slots, arena = _arena(graph)
    planner = _Planner(graph, target, find_places(graph), {slot.name: slot for slot in slots})
    schedules = planner.schedules()
    results = planner.results(schedules[0])
    groups = max(1, min(_MOST_GROUPS, _GRADIENT_MEMORY // max(1, 4 * arena)))
    return Program(
        graph.name,
        target,
        slots,
        arena,
        results,
        tuple(planner.kernels.values()),
        *schedules,
        graph.training,
        groups,
        graph.digest,
    )


def _arena(graph: Graph) -> tuple[tuple[Slot, ...], int]:
    slots, offset = [], 0
    for p in graph.parameters:
        slots.append(Slot(p.name, p.shape, offset, p.initializer, p.fan_in, p.fan_out))
        offset += -(-prod(p.shape) // _LINE) * _LINE
    return tuple(slots), offset


@dataclass(slots=True)
class _Planner:
    graph: Graph
    target: Target
    places: Places
    slots: dict[str, Slot]
    kernels: dict[object, Kernel] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def schedules(self) -> tuple[Schedule, Schedule | None, Schedule | None]:
        graph = self.graph
        infer = self.schedule("infer", _needed(graph, {o.tensor for o in graph.outputs}))
        if graph.loss is None:
            return infer, None, None
        loss = self.schedule("loss", _needed(graph, {graph.loss}))
        wanted = {graph.loss, *(name for _, name in graph.gradients)}
        return infer, loss, self.schedule("train", _needed(graph, wanted))

    def schedule(self, name: str, nodes: list[Node]) -> Schedule:
        """Order the calls of these nodes, then give their tensors memory."""
        steps = [(node, self.kernel(node)) for node in nodes if self.places.computes(node)]
        scratch = [
            Lifetime(f"scratch {node.name}", Layout(kernel.form.scratch()), i, i)
            for i, (node, kernel) in enumerate(steps)
            if kernel is not None and kernel.form.scratch()
        ]
        lifetimes = self.lifetimes([node for node, _ in steps])
        pinned, base = self.pinned()
        moving = [life for life in lifetimes if life.tensor not in pinned]
        offsets, size = place([*moving, *scratch], base)
        offsets |= pinned
        buffers = tuple(
            Buffer(
                life.tensor,
                life.layout,
                offsets[life.tensor],
                life.first,
                life.last,
                life.tensor in pinned,
            )
            for life in [*lifetimes, *scratch]
        )
        loads = tuple(self.load(n, offsets) for n, k in steps if isinstance(n.op, Input))
        calls = tuple(self.call(n, k, offsets) for n, k in steps if k is not None)
        total = base + sum(life.layout.size for life in [*moving, *scratch])
        return Schedule(name, loads, calls, buffers, size, total)

    def results(self, infer: Schedule) -> tuple[Result, ...]:
        """The outputs, each with the kernel that hands it back."""
        found = []
        for output in self.graph.outputs:
            node = self.graph.node(output.tensor)
            form = output_store(self.places.layouts[output.tensor])
            kernel = self.share(f"{output.name}_store", form, replace(node, epilogue=()))
            offset = infer.offset(self.places.root(output.tensor))
            found.append(Result(output.name, node.shape, offset, kernel.name))
        return tuple(found)

    def lifetimes(self, nodes: list[Node]) -> list[Lifetime]:
        """When each buffer is first written and last read; outputs hold to the end."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for index, node in enumerate(nodes):
            if node.name not in self.places.gradient_of:
                # Arrays are brought in before the first call.
                start = 0 if isinstance(node.op, Input) else index
                first.setdefault(self.places.root(node.name), start)
            reads = [self.places.root(n) for n in (*node.inputs, *node.epilogue_inputs)]
            for tensor in (*reads, self.places.root(node.name)):
                last[tensor] = index
        for output in (*(o.tensor for o in self.graph.outputs), self.graph.loss):
            if output is not None and self.places.root(output) in first:
                last[self.places.root(output)] = len(nodes)
        return [Lifetime(t, self.places.layouts[t], first[t], last[t]) for t in first]

    def pinned(self) -> tuple[dict[str, int], int]:
        """Tensors with a halo come first, at the same place in every schedule."""
        offsets, top = {}, 0
        for node in self.graph.nodes:
            layout = self.places.layouts.get(node.name)
            root = self.places.root(node.name) == node.name
            if layout is not None and root and not layout.dense:
                offsets[node.name] = top
                top += layout.size
        return offsets, top

    def kernel(self, node: Node) -> Kernel | None:
        """The function for a node, made or shared; inputs have loaders instead."""
        if isinstance(node.op, Input):
            return None
        layouts = self.places.of(node)
        wrt = node.op.wrt if isinstance(node.op, Gradient) else None
        op = node.op.of if isinstance(node.op, Gradient) else node.op
        form = op.kernel_form(wrt, layouts, self.target)
        name = f"{node.layer or node.name}_{f'{wrt}_gradient' if wrt else 'forward'}"
        return self.share(name, form, node)

    def share(self, name: str, form: Form, node: Node) -> Kernel:
        layouts = tuple(self.places.layouts[t] for t in node.epilogue_inputs)
        key = (form, node.epilogue, layouts)
        layer = node.layer or node.name
        known = self.kernels.get(key)
        if known is None:
            while name in self.names:
                name += "_"
            self.names.add(name)
            is_gradient = node.name in self.places.gradient_of
            known = Kernel(name, form, node.epilogue, layouts, (layer,), is_gradient)
        elif layer not in known.layers:
            users = (*known.layers, layer)
            known = Kernel(known.name, form, node.epilogue, layouts, users, known.returns_gradient)
        self.kernels[key] = known
        return known

    def load(self, node: Node, offsets: dict[str, int]) -> Load:
        if not isinstance(node.op, Input):
            raise TypeError(f"{node.name} is no input")
        dtype, kernels = node.op.dtype, []
        accepted = {"uint8": ("uint8", "float32"), "float32": ("float32",)}.get(dtype, ())
        for kind in accepted:
            form = input_load(kind, self.places.layouts[node.name])
            kernels.append((kind, self.share(f"{node.name}_load_{kind}", form, node).name))
        return Load(node.name, dtype, node.op.shape, offsets[node.name], tuple(kernels))

    def call(self, node: Node, kernel: Kernel, offsets: dict[str, int]) -> Call:
        bound = operand_names(node)
        extra = {f"epilogue{i}": name for i, name in enumerate(node.epilogue_inputs)}
        operands = []
        for pointer in kernel.pointers():
            if pointer == "scratch":
                operands.append(
                    Operand(pointer, "work", "scratch", offsets[f"scratch {node.name}"])
                )
            elif pointer == "result":
                operands.append(self.result(node, offsets))
            else:
                operands.append(self.operand(pointer, {**bound, **extra}[pointer], offsets))
        return Call(kernel.name, tuple(operands), node.name)

    def operand(self, pointer: str, name: str, offsets: dict[str, int]) -> Operand:
        if name in self.slots:
            return Operand(pointer, "parameters", name, self.slots[name].offset)
        return Operand(pointer, "work", name, offsets[self.places.root(name)])

    def result(self, node: Node, offsets: dict[str, int]) -> Operand:
        parameter = self.places.gradient_of.get(node.name)
        if parameter is not None:
            return Operand("result", "gradients", node.name, self.slots[parameter].offset)
        return self.operand("result", node.name, offsets)


def _needed(graph: Graph, wanted: set[str]) -> list[Node]:
    """The nodes that the wanted tensors depend on, in order."""
    needed = set(wanted)
    chosen: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= {*node.inputs, *node.epilogue_inputs}
            chosen.append(node)
    return chosen[::-1]
