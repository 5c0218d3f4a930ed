"""Graph and Program as text, for `cnnc emit`, goldens and people. Nothing reads it back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cnnc.ir.calls import Call
from cnnc.ir.graph import Graph, Node
from cnnc.ir.program import Buffer, Program, Schedule
from cnnc.ops.initializers import Initializer
from cnnc.ops.layout import Layout
from cnnc.ops.op import Gradient, Input, Op


def format_graph(graph: Graph) -> str:
    """One line a parameter, a node and an output."""
    lines = [f"graph {graph.name}"]
    for p in graph.parameters:
        kind = "parameter" if p.trained else "statistic"
        lines.append(f"  {kind} {p.name} {_shape(p.shape)} {format_value(p.initializer)}")
    lines += _nodes(graph, "  ")
    lines += [f"  output {output.name} = {output.tensor}" for output in graph.outputs]
    if graph.training:
        t = graph.training
        losses = " + ".join(
            f"{format_value(each.loss)} of {each.output}"
            + (f" * {each.weight}" if each.weight != 1 else "")
            for each in t.losses
        )
        lines.append(
            f"  train {losses}, {format_value(t.optimizer)}, data {t.data}, "
            f"batch {t.batch}, epochs {t.epochs}, seed {t.seed}, schedule {t.schedule}"
        )
    if graph.step:
        lines += ["  training step", *_nodes(graph.step, "    ")]
    return "\n".join(lines) + "\n"


def _nodes(graph: Graph, indent: str) -> list[str]:
    lines = [f"{indent}{_node(node)}" for node in graph.nodes]
    lines += [f"{indent}loss {name}" for name in graph.losses]
    return lines + [f"{indent}gradient {parameter} = {node}" for parameter, node in graph.gradients]


def _node(node: Node) -> str:
    operands = ", ".join((*node.inputs, *node.parameters))
    text = f"{node.name} {_shape(node.shape)} = {format_value(node.op)}({operands})"
    if node.epilogue:
        text += " -> " + " -> ".join(format_value(op) for op in node.epilogue)
    if node.epilogue_inputs:
        text += f" with {', '.join(node.epilogue_inputs)}"
    return f"{text}, late" if node.late else text


def _shape(shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def between(layout: Layout) -> str:
    """What lies between a tensor's elements, behind a space; empty where nothing does."""
    halo = f" halo {layout.halo}" if layout.haloed else ""
    return f"{halo} gap {layout.gap}" if layout.gap else halo


def format_value(value: Any) -> str:
    """An op, an optimizer or an initialiser with its attributes."""
    if isinstance(value, Gradient):
        return f"gradient[{format_value(value.of)} by {value.wrt}]"
    if isinstance(value, Input):
        return f"input[{value.dtype}]"
    shown = []
    for f in fields(value):
        attribute = getattr(value, f.name)
        if not isinstance(attribute, Initializer):
            text = format_value(attribute) if isinstance(attribute, Op) else repr(attribute)
            shown.append(f"{f.name}={text}")
    return f"{value.NAME}[{', '.join(shown)}]" if shown else str(value.NAME)


def format_program(program: Program) -> str:
    """The arena, the kernels with their algorithms, and each schedule with its memory."""
    unit = program.target.lanes * 4
    lines = [
        f"program {program.name}, target {program.target.name}, {program.target.lanes} lanes",
        f"  digest {program.digest}",
        f"  arena {program.arena} floats, {program.groups} partial gradients at most",
    ]
    lines += [f"    {s.offset:>8}  {s.name} {_shape(s.shape)}" for s in program.slots]
    for kernel in program.kernels:
        fused = "".join(f" -> {format_value(op)}" for op in kernel.epilogue)
        lines.append(f"  kernel {kernel.name}{fused}")
        if kernel.form.reason():
            lines.append(f"      {kernel.form.reason()}")
        lines += [f"      {line}" for line in kernel.why.splitlines()]
        if len(kernel.layers) > 1:
            lines.append(f"      shared by {', '.join(kernel.layers)}")
    for schedule in program.schedules():
        lines += _schedule(schedule, unit)
    if program.single:
        most = program.single.most
        few = f"up to {most} samples beyond whole blocks"
        lines.append(f"  single {few if most < program.target.lanes else 'all samples'}")
        lines.append(f"      {program.single.why}")
    elif program.blocks_only:
        lines.append(f"  no schedule for single samples: {program.blocks_only}")
    return "\n".join(lines) + "\n"


def _schedule(schedule: Schedule, unit: int) -> list[str]:
    kept = f", {schedule.kept_size * unit} bytes kept" if schedule.kept else ""
    planned, separate = schedule.size * unit, schedule.unplanned * unit
    saved = 100 * (1 - schedule.size / schedule.unplanned) if schedule.unplanned else 0.0
    memory = f"{planned} bytes a block, {separate} unshared, {saved:.0f} % saved{kept}"
    lines = [f"  schedule {schedule.name}: {memory}"]
    for b in schedule.buffers:
        held = f"calls {b.first}-{b.last}" + (", pinned" if b.pinned else "")
        extent = f"{b.offset:>8} + {b.layout.size:<7}"
        lines.append(f"    buffer {extent} {_in_turn(b)}{between(b.layout)}, {held}")
    for b in schedule.kept:
        extent = f"{b.offset:>8} + {b.layout.size:<7}"
        held = f"segments {b.first}-{b.last}"
        lines.append(f"    keep   {extent} {_in_turn(b)}{between(b.layout)}, {held}")
    lines += [f"    prepare {_call(call)}" for call in schedule.prepare]
    if h := schedule.halves:
        halves = f"{h.first} and {h.inputs - h.first} of {h.inputs} inputs"
        lines.append(f"    of up to {h.most} blocks, by two threads: {halves}")
        lines += [f"      {_call(h.sums)}", f"      then {_call(h.rest)}"]
    for number, segment in enumerate(schedule.segments):
        if len(schedule.segments) > 1:
            lines.append(f"    segment {number}")
        loads = segment.loads
        lines += [f"    load {load.name} {load.dtype} {_shape(load.shape)}" for load in loads]
        lines += [f"    {_call(call)}" for call in segment.calls]
        lines += [f"    finish {_call(call)}" for call in segment.finish]
    return lines


def _in_turn(buffer: Buffer) -> str:
    """The tensor that lies there, and those that are made in its place."""
    return ", then ".join(buffer.names)


def _call(call: Call) -> str:
    reads = ", ".join(
        o.name
        for o in call.operands[:-1]
        if not o.is_number and o.pointer not in ("moved", "bias_result")
    )
    beside = "".join(f", {o.name}" for o in call.operands if o.pointer == "bias_result")
    moved = [o.name for o in call.operands if o.pointer == "moved"]
    turns = f"{call.turns.count} strips of {call.turns.by}: " if call.turns else ""
    kept = f", stores {moved[0]}" if moved else ""
    abreast = "abreast: " if call.abreast else ""
    return f"{turns}{abreast}{call.computes}{beside} = {call.kernel}({reads}){kept}"
