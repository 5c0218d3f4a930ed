"""Checks that a form is well made; a failure is a fault of the compiler, never of a spec."""

from __future__ import annotations

from cnnc.ir.graph import Graph
from cnnc.ir.program import Buffer, Program, Schedule
from cnnc.ops.layout import Layout
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
    """The program, if no call reads or writes memory that another tensor holds at the time.

    Nor may one write where another has the zeros of a halo.
    """
    for schedule in program.schedules():
        _verify_memory(schedule.buffers, schedule.size, schedule.name)
        _verify_memory(schedule.kept, schedule.kept_size, f"{schedule.name}, kept")
        _verify_calls(program, schedule)
        _verify_turns(schedule)
    _verify_zeros(program.by_blocks())
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
            apart = buffer.first > other.last or other.first > buffer.last
            _require(
                apart and _zeros_agree(buffer, other),
                f"{where}: {buffer.tensor} and {other.tensor} share memory",
            )


def _verify_zeros(schedules: tuple[Schedule, ...]) -> None:
    """No schedule stores anything where one that works on the same memory has a halo's zeros."""
    found: dict[tuple[int, Layout], tuple[str, Buffer]] = {}
    for schedule in schedules:
        for buffer in schedule.buffers:
            if buffer.pinned:
                found.setdefault((buffer.offset, buffer.layout), (schedule.name, buffer))
    for schedule in schedules:
        for buffer in schedule.buffers:
            for where, halo in found.values():
                _require(
                    _apart(buffer, halo) or _zeros_agree(buffer, halo),
                    f"{schedule.name}: {buffer.tensor} lies in {halo.tensor}'s halo, {where}",
                )


def _verify_turns(schedule: Schedule) -> None:
    """What is made in the place of a tensor is made when nothing reads that one any more."""
    spaces = {"work": schedule.buffers, "kept": schedule.kept}
    in_turn = {
        (space, name): buffer
        for space, buffers in spaces.items()
        for buffer in buffers
        if buffer.also
        for name in buffer.names
    }
    turn: dict[tuple[str, str], int] = {}
    for call in (call for segment in schedule.segments for call in segment.calls):
        for operand in call.operands[:-1]:
            buffer = in_turn.get((operand.space, operand.name))
            if buffer is not None:
                at = buffer.names.index(operand.name)
                later = turn.get((operand.space, buffer.tensor), 0)
                _require(
                    at == later,
                    f"{schedule.name}: {call.computes} reads {operand.name} where another lies",
                )
        operand = call.operands[-1]
        buffer = in_turn.get((operand.space, operand.name))
        if buffer is not None:
            turn[operand.space, buffer.tensor] = buffer.names.index(operand.name)


def _verify_calls(program: Program, schedule: Schedule) -> None:
    kernels = {kernel.name: kernel for kernel in program.kernels}
    halves = (schedule.halves.sums, schedule.halves.rest) if schedule.halves else ()
    for call in (*schedule.calls, *halves):
        _require(call.kernel in kernels, f"{call.kernel} is no kernel")
        pointers = tuple(operand.pointer for operand in call.operands)
        _require(pointers == kernels[call.kernel].pointers(), f"{call.kernel}: wrong operands")


def _apart(a: Buffer, b: Buffer) -> bool:
    return a.offset + a.layout.size <= b.offset or b.offset + b.layout.size <= a.offset


def _zeros_agree(a: Buffer, b: Buffer) -> bool:
    """Whether neither stores anything where the other, in the same memory, has a halo."""
    if not (a.pinned or b.pinned):
        return True
    planes = {(x.layout.extents, x.layout.halo) for x in (a, b)}
    return len(planes) == 1 and (a.offset - b.offset) % a.layout.strides()[0] == 0


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise VerifyError(message)
