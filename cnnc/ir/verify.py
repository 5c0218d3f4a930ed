"""Checks that a form is well made; a failure is a fault of the compiler, never of a spec."""

from __future__ import annotations

from cnnc.ir.graph import Graph
from cnnc.ir.program import Buffer, Program, Schedule
from cnnc.ops.op import Gradient, Input


class VerifyError(Exception):
    """A pass broke a rule that the next one relies on."""


def verify_graph(graph: Graph) -> Graph:
    """The graph, if every tensor is made once and before it is read, with the op's own shape."""
    made: dict[str, tuple[int, ...]] = {}
    parameters = {p.name: p.shape for p in graph.parameters}
    _require(len(parameters) == len(graph.parameters), "two parameters of one name")
    for node in graph.nodes:
        _require(node.name not in made, f"{node.name} is made twice")
        for name in (*node.inputs, *node.epilogue_inputs):
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
    return graph


def verify_program(program: Program) -> Program:
    """The program, if no call reads or writes memory that another tensor holds at the time."""
    for schedule in program.schedules():
        for index, buffer in enumerate(schedule.buffers):
            _require(buffer.offset + buffer.layout.size <= schedule.size, "workspace too small")
            for other in schedule.buffers[:index]:
                _require(
                    not (_at_once(buffer, other) and _overlap(buffer, other)),
                    f"{schedule.name}: {buffer.tensor} and {other.tensor} share memory",
                )
        _verify_calls(program, schedule)
    end = 0
    for slot in program.slots:
        _require(slot.offset >= end and slot.offset % 16 == 0, f"{slot.name} is misplaced")
        end = slot.offset
    return program


def _verify_calls(program: Program, schedule: Schedule) -> None:
    kernels = {kernel.name: kernel for kernel in program.kernels}
    for call in schedule.calls:
        _require(call.kernel in kernels, f"{call.kernel} is no kernel")
        pointers = tuple(operand.pointer for operand in call.operands)
        _require(pointers == kernels[call.kernel].pointers(), f"{call.kernel}: wrong operands")


def _at_once(a: Buffer, b: Buffer) -> bool:
    return a.pinned or b.pinned or (a.first <= b.last and b.first <= a.last)


def _overlap(a: Buffer, b: Buffer) -> bool:
    return a.offset < b.offset + b.layout.size and b.offset < a.offset + a.layout.size


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise VerifyError(message)
