"""Nodes -> calls: each kernel with the places of what it reads and writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from cnnc.ir.calls import Call, Load, Operand, Turns
from cnnc.ir.graph import Node
from cnnc.ir.interpret import operand_names
from cnnc.ir.program import Segment, Slot
from cnnc.ops.input import InputLoad, input_load
from cnnc.ops.layout import Form, Layout
from cnnc.ops.op import Cut, Input, Op
from cnnc.ops.single import PlainInput, PlainLoad
from cnnc.ops.units import UNITS
from cnnc.passes.ahead import look_ahead
from cnnc.passes.cost import node_cost, shared_cost
from cnnc.passes.halves import halved_sources
from cnnc.passes.kernels import Kernels
from cnnc.passes.room import Room, names_by_operand
from cnnc.passes.strips import Strip
from cnnc.passes.workspace import Workspace

_PASSED = (
    *("channels", "space", "stride", "block_stride", "blocks", "strips", "samples", "update"),
    "tile",
    "ending",
    "cold",
    "ahead",
    "array",
    "of_bytes",
    "beyond",
    *UNITS,
)
"""Operands of a kernel that are no tensors: integers, and what a whole batch knows by this name."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes the calls of a schedule whose memory is laid out."""

    kernels: Kernels
    slots: Mapping[str, Slot]
    parts: int
    """Floats that a block's parts take in all."""
    room: Room
    memory: Workspace
    trains: bool
    """Whether it is a training step, before which parameters have changed."""
    windows: Mapping[str, int]
    """Where what is prepared of a node's weight begins in the shared floats."""

    def segment(self, number: int, nodes: Sequence[Node]) -> Segment:
        """What runs in one segment, and what follows when every block has been through it."""
        segments = self.room.segments
        after = segments.once | self.room.late
        here = [n for n in nodes if segments.at[n.name] == number and n.name not in after]
        moves = self.room.moves
        tallied = {moves[n.name] for n in here if n.name in moves and self.tallies(n)}
        finish = tuple(self.finish(node) for node in here if node.name in self.room.parts)
        names = {node.name for node in here}
        return Segment(
            tuple(self.load(node) for node in here if isinstance(node.op, Input)),
            self.looking_ahead(
                self.call(node)
                for node in here
                if not isinstance(node.op, Input) and node.name not in tallied
            ),
            (*finish, *self.calls_at(number, nodes)),
            tuple(self.loss(name) for name in self.room.graph.losses if name in names),
        )

    def looking_ahead(self, calls: Iterable[Call]) -> tuple[Call, ...]:
        """The calls of a block, which ask for what their strips read next."""
        forms = {kernel.name: kernel.form for kernel in self.kernels.known.values()}
        size, lanes = self.memory.kept_size, self.kernels.target.lanes
        return look_ahead(tuple(calls), self.room, forms, size, lanes)

    def calls_at(self, number: int, nodes: Sequence[Node]) -> tuple[Call, ...]:
        """What is computed once, at the end of a segment."""
        segments = self.room.segments
        return tuple(
            self.call(node)
            for node in nodes
            if node.name in segments.once | self.room.late and segments.at[node.name] == number
        )

    def preparations(self, nodes: Sequence[Node]) -> tuple[Call, ...]:
        """What is made of weights before the first segment, each once."""
        found: dict[int, Call] = {}
        for node in nodes:
            if node.name not in self.windows or self.windows[node.name] in found:
                continue
            kernel = self.kernels.preparing(node, self.room)
            weight = self.operand("weight", operand_names(node)["weight"])
            operands = (weight, self.prepared("result", node))
            found[self.windows[node.name]] = Call(kernel.name, operands, node.name)
        return tuple(found.values())

    def prepared(self, pointer: str, node: Node) -> Operand:
        """Where what is prepared of a node's weight lies, under the weight's name."""
        weight = operand_names(node)["weight"]
        return Operand(pointer, "shared", weight, self.windows[node.name])

    def tallies(self, node: Node) -> bool:
        """Whether a node's kernel adds up what it makes, too."""
        kernel = self.kernels.of(node, self.room)
        return kernel is not None and kernel.form.tallies()

    def beside(self, pointer: str, node: Node) -> Operand | None:
        """What a kernel that makes something besides its result takes for a pointer of that."""
        if pointer == "bias_result":
            return self.bias_result(node)
        mover = self.room.mover(node)
        if mover is None or not self.tallies(node):
            return None
        bound = names_by_operand(mover)
        match pointer:
            case "result":
                return self.operand(pointer, node.name)
            case "tally":
                return Operand(pointer, "parts", mover.name, self.room.parts[mover.name])
            case "tally_input":
                return self.operand(pointer, bound["input"])
            case "statistics":
                return self.operand(pointer, bound[pointer])
        return None

    def loss(self, name: str) -> tuple[Operand, str]:
        """Where a loss lies, and the tensor that holds each sample's share in the mean."""
        graph = self.room.graph
        return self.operand("loss", name), graph.shares[graph.losses.index(name)]

    def load(self, node: Node) -> Load:
        """How an array of the caller's comes in."""
        if not isinstance(node.op, Input):
            raise TypeError(f"{node.name} is no input")
        dtype, kernels = node.op.dtype, []
        partly = node.name in halved_sources(self.room, self.kernels)
        accepted = {"uint8": ("uint8", "float32"), "float32": ("float32",)}.get(dtype, ())
        for kind in accepted:
            form = self.load_form(node.op, kind, self.room.places.layouts[node.name])
            name = f"{node.name}_load_{kind}{self.room.suffix}"
            part = form.partial() if isinstance(form, InputLoad) else None
            if partly and part:
                form, name = part, f"{name}_part"
            kernel = self.kernels.share(name, form, node, self.room)
            kernels.append((kind, kernel.name))
        at = self.operand("result", node.name)
        return Load(node.name, dtype, node.op.shape, at.space, at.offset, tuple(kernels))

    def load_form(self, op: Input, kind: str, layout: Layout) -> Form:
        """The loops that bring an array in."""
        if isinstance(op, PlainInput):
            return PlainLoad(kind, op.shape, op.pads, self.kernels.target.lanes)
        return input_load(kind, layout, self.kernels.target)

    def call(self, node: Node) -> Call:
        """A node's kernel with what it reads and writes."""
        kernel = self.kernels.of(node, self.room)
        if kernel is None:
            raise TypeError(f"{node.name} has no kernel")
        bound = names_by_operand(node)
        operands = []
        for pointer in kernel.pointers():
            beside = self.beside(pointer, node)
            if beside is not None:
                operands.append(beside)
            elif pointer == "scratch":
                at = self.memory.offsets[f"scratch {node.name}"]
                operands.append(Operand(pointer, "work", "scratch", at))
            elif pointer in _PASSED:
                operands.append(self.number(pointer, node))
            elif pointer.endswith("_step"):
                operands.append(self.block_step(pointer, bound[pointer.removesuffix("_step")]))
            elif pointer == "prepared":
                operands.append(self.prepared(pointer, node))
            elif pointer == "moved":
                operands.append(self.operand(pointer, node.inputs[0]))
            elif self.room.passes(bound[pointer], node):
                at = self.memory.offsets[f"{bound[pointer]} on its way"]
                operands.append(Operand(pointer, "work", bound[pointer], at))
            elif pointer == "result":
                operands.append(self.result(node))
            else:
                operands.append(self.operand(pointer, bound[pointer]))
        strip = self.room.strips.get(node.name)
        if strip is None:
            return Call(
                kernel.name,
                tuple(operands),
                node.name,
                pieces=kernel.form.pieces(),
                units=kernel.form.units(),
                cost=self.cost(kernel.form, node),
                abreast=kernel.form.abreast(),
            )
        stepping = tuple(self.stepping(operand, node, strip) for operand in operands)
        turns = Turns(strip.number, strip.count, strip.cut.value)
        adds = kernel.returns_gradient and strip.cut is Cut.ROWS
        return Call(kernel.name, stepping, node.name, turns, adds)

    def cost(self, form: Form, node: Node) -> int:
        """Nanoseconds of a call that threads share, 0 of any other."""
        if form.units() > 1:
            return shared_cost(node, form, self.room.graph, self.kernels.target.lanes)
        shared = form.pieces() > 1 or form.piece_sizes()
        return node_cost(node, self.room.graph) if shared else 0

    def stepping(self, operand: Operand, node: Node, strip: Strip) -> Operand:
        """The operand with what it moves by from strip to strip."""
        name, step = operand.name, 0
        by_channel = strip.cut is Cut.CHANNELS
        if operand.pointer == "channels" and by_channel:
            return replace(operand, offset=strip.size)
        passes = operand.space == "work" and self.room.passes(name, node)
        if operand.pointer == "scratch" or operand.is_number or passes:
            step = 0
        elif operand.space in ("work", "kept"):
            step = strip.step(name, self.room.whole(name))
        elif operand.space == "parts":
            step = 2 * (strip.size if by_channel else self.room.graph.node(name).shape[-1])
        elif by_channel and operand.space == "shared":
            step = strip.size
        elif by_channel:
            name = self.room.places.gradient_of.get(name, name)
            step = strip.size * prod(self.slots[name].shape[1:])
        return replace(operand, step=step)

    def finish(self, node: Node) -> Call:
        """What makes the parts of all blocks one."""
        if not isinstance(node.op, Op):
            raise TypeError(f"{node.name} is not summed over the batch")
        form = node.op.finish_form(self.room.places.of(node))
        bare = replace(node, epilogue=(), epilogue_inputs=())
        kernel = self.kernels.share(f"{node.name}_finish", form, bare, self.room)
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
        if pointer in UNITS:
            return Operand(pointer, "units", pointer, 0)
        if pointer in ("blocks", "samples", "update", "tile", "beyond", "ahead"):
            return Operand(pointer, pointer, pointer, 0)
        if pointer in ("array", "of_bytes"):
            source = self.room.places.root(operand_names(node)["input"])
            end = "data" if pointer == "array" else "bytes"
            return Operand(pointer, "arrays", f"whole.arrays.{source}_{end}", 0)
        if pointer == "cold" and self.trains:
            return Operand(pointer, pointer, pointer, 0)
        if pointer == "cold":
            return Operand(pointer, "number", pointer, 0)
        if pointer == "ending":
            # Before the last segment is through, the parameters are still read.
            ends = self.room.places.gradient_of[node.name] in self.room.ending
            return Operand(pointer, "ending" if ends else "NULL", pointer, 0)
        if pointer == "block_stride":
            return Operand(pointer, "number", pointer, self.memory.kept_size)
        if pointer == "stride":
            return Operand(pointer, "number", pointer, self.parts)
        strips = self.room.strips_of_parts(node.name)
        if pointer == "strips":
            return Operand(pointer, "number", pointer, strips)
        space = self.room.graph.node(node.inputs[0]).shape[1:] if node.inputs else ()
        value = node.shape[-1] if pointer == "channels" else prod(space) // strips
        return Operand(pointer, "number", pointer, value)

    def operand(self, pointer: str, name: str) -> Operand:
        """Where a tensor or a parameter lies."""
        room, slots = self.room, self.slots
        if name in slots:
            return Operand(pointer, "parameters", name, slots[name].offset)
        if name in room.shared:
            return Operand(pointer, "shared", name, room.shared[name])
        root = room.places.root(name)
        if root in self.memory.kept_offsets:
            return Operand(pointer, "kept", name, self.memory.kept_offsets[root])
        return Operand(pointer, "work", name, self.memory.offsets[root])

    def bias_result(self, node: Node) -> Operand:
        """Where the kernel of a weight's gradient puts that of the bias."""
        name = self.room.biases[node.name]
        slot = self.slots[self.room.places.gradient_of[name]]
        return Operand("bias_result", "gradients", name, slot.offset)

    def block_step(self, pointer: str, name: str) -> Operand:
        """How far a tensor lies from that of the next block, for blocks side by side."""
        if self.operand(pointer, name).space == "kept":
            return Operand(pointer, "number", name, self.memory.kept_size)
        return Operand(pointer, "workspace", name, 0)

    def result(self, node: Node) -> Operand:
        """Where a node writes."""
        parameter = self.room.places.gradient_of.get(node.name)
        if parameter is not None:
            slot = self.slots[parameter]
            return Operand("result", "gradients", node.name, slot.offset)
        if node.name in self.room.parts:
            return Operand("result", "parts", node.name, self.room.parts[node.name])
        return self.operand("result", node.name)
