"""Checks that a form is well made; a failure is a fault of the compiler, never of a spec."""

from __future__ import annotations

from cnnc.ir.graph import Graph
from cnnc.ir.program import Buffer, Program, Schedule
from cnnc.ops.op import Gradient, Input


class VerifyError(Exception):
    """A pass broke a rule that the next one relies on."""


def verify_graph(graph: Graph) -> Graph:
    """The graph, if every tensor is made once and before it is read, with the op's own shape."""
    for part in graph.whole():
        _verify_part(part)
    return graph


def _verify_part(graph: Graph) -> None:
    made: dict[str, tuple[int, ...]] = {}
    parameters = {p.name: p.shape for p in graph.parameters}
    _require(len(parameters) == len(graph.parameters), "two parameters of one name")
    for node in graph.nodes:
        _require(node.name not in made, f"{node.name} is made twice")
        read = (name for name in node.epilogue_inputs if name not in parameters)
        for name in (*node.inputs, *read):
            _require(name in made, f"{node.name} reads {name} before it is made")
        for name in node.parameters:
            _require(name in parameters, f"{node.name} reads {name}, which is no parameter")
        if not isinstance(node.op, (Gradient, Input)):
            shape = node.op.output_shape(tuple(made[name] for name in node.inputs))
            _require(shape == node.shape, f"{node.name} has {node.shape}, its op gives {shape}")
        made[node.name] = node.shape
    for output in graph.outputs:
        _require(output.tensor in made, f"output {output.name} is never made")
    for parameter, name in graph.gradients:
        _require(parameter in parameters, f"a gradient by {parameter}, which is no parameter")
        _require(made.get(name) == parameters[parameter], f"{name} has not {parameter}'s shape")
    for name in graph.losses:
        _require(made.get(name) == (), f"{name} is not a number a sample")


def verify_program(program: Program) -> Program:
    """The program, if no call reads or writes memory that another tensor holds at the time."""
    for schedule in program.schedules():
        _verify_memory(schedule.buffers, schedule.size, schedule.name)
        _verify_memory(schedule.kept, schedule.kept_size, f"{schedule.name}, kept")
        _verify_calls(program, schedule)
    end = 0
    for slot in sorted(program.slots, key=lambda slot: slot.offset):
        _require(slot.offset >= end and slot.offset % 16 == 0, f"{slot.name} is misplaced")
        end = slot.offset
    filled = {operand.offset for call in program.ending for operand in call.operands[-1:]}
    last = {s.offset for s in program.slots if program.pieced <= s.offset < program.trained}
    _require(filled == last, "what the ending computes is not what is changed with it")
    return program


def _verify_memory(buffers: tuple[Buffer, ...], size: int, where: str) -> None:
    # Sorted by place, a buffer can only overlap those after it that start before its end.
    ordered = sorted(buffers, key=lambda buffer: buffer.offset)
    for index, buffer in enumerate(ordered):
        end = buffer.offset + buffer.layout.size
        _require(end <= size, f"{where}: too small for {buffer.tensor}")
        for other in ordered[index + 1 :]:
            if other.offset >= end:
                break
            _require(
                not _at_once(buffer, other),
                f"{where}: {buffer.tensor} and {other.tensor} share memory",
            )


def _verify_calls(program: Program, schedule: Schedule) -> None:
    kernels = {kernel.name: kernel for kernel in program.kernels}
    for call in schedule.calls:
        _require(call.kernel in kernels, f"{call.kernel} is no kernel")
        pointers = tuple(operand.pointer for operand in call.operands)
        _require(pointers == kernels[call.kernel].pointers(), f"{call.kernel}: wrong operands")


def _at_once(a: Buffer, b: Buffer) -> bool:
    return a.pinned or b.pinned or (a.first <= b.last and b.first <= a.last)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise VerifyError(message)
