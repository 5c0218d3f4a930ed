"""Calls of kernels as text: what goes in and out, and where it lies."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from cnnc.codegen.text import WIDTH, plus
from cnnc.ir.calls import Call, Kernel, Operand


def statement(kernel: Kernel, call: Call) -> str:
    """A call, or what has threads share it."""
    if call.pieces > 1:
        return _shared_out(call)
    if call.units > 1:
        arguments = (part_name(call), "&sample", f"{call.units}", f"{call.cost}.0")
        return f"{_note(call)}\n{wrapped('share_units', arguments, width=WIDTH - 8)}"
    return call_text(kernel, call)


def call_text(kernel: Kernel, call: Call, size: int = 0) -> str:
    """One call, with a comment that says what goes in and out.

    Of a part of its units, `size` is how far the scratch memory of two threads lies apart.
    """
    arguments = [_argument(kernel, operand) for operand in call.operands]
    if call.units > 1:
        part = {
            "first": f"part * {call.units} // sample.parts",
            "last": f"(part + 1) * {call.units} // sample.parts",
        }
        scratch = f"work + <Py_ssize_t>worker * {size}"
        arguments = [
            plus(scratch, operand.offset)
            if operand.pointer == "scratch"
            else part.get(argument, argument)
            for operand, argument in zip(call.operands, arguments, strict=True)
        ]
    if call.pieces == 1:
        arguments = ["0" if argument == "tile" else argument for argument in arguments]
    if kernel.returns_gradient:
        arguments.append("accumulate or strip > 0" if call.adds else "accumulate")
    return f"{_note(call)}\n{wrapped(kernel.name, arguments, width=WIDTH - 8)}"


def _note(call: Call) -> str:
    """What goes in and out."""
    reads = ", ".join(
        o.name
        for o in call.operands[:-1]
        if o.pointer not in ("scratch", "moved", "bias_result") and not o.is_number
    )
    made = ", ".join(
        [call.computes, *(o.name for o in call.operands if o.pointer == "bias_result")]
    )
    note = textwrap.wrap(f"{reads} -> {made}", WIDTH - 10, break_on_hyphens=False)
    return "\n".join(comment(line) for line in note)


def _shared_out(call: Call) -> str:
    """A call in pieces, which threads share."""
    arguments = (
        tile_name(call),
        "&whole",
        f"{call.pieces}",
        "threads",
        f"blocks * {call.cost}.0",
    )
    return wrapped("run_parallel", arguments, width=WIDTH - 8)


def tile_name(call: Call) -> str:
    """The function that makes one piece of what a call computes."""
    return re.sub(r"\W", "_", call.computes) + "_tile"


def part_name(call: Call) -> str:
    """The function that makes a part of what a call computes."""
    return re.sub(r"\W", "_", call.computes) + "_single_part"


def _argument(kernel: Kernel, operand: Operand) -> str:
    if operand.space == "number":
        return str(operand.offset)
    if operand.space in ("units", "arrays"):
        return operand.name
    if operand.space == "workspace":
        return "WORKSPACE"
    if operand.space == "ahead":
        return "&ahead"
    if operand.space == "beyond":
        return "arrays.beyond"
    if operand.is_number:
        return operand.space
    place = plus(operand.space, operand.offset)
    if operand.step:
        place += " + strip" + (f" * {operand.step}" if operand.step > 1 else "")
    return f"<const int*>({place})" if operand.pointer in kernel.form.labels() else place


def comment(line: str) -> str:
    """A comment of one line that nothing in it can end."""
    shown = re.sub(r"[^\x20-\x7e]", "?", line)
    return f"# {shown}"[:WIDTH]


def wrapped(head: str, parts: Sequence[str], tail: str = "", width: int = WIDTH - 4) -> str:
    """head(parts)tail on one line, or a line each where that is too long."""
    one = f"{head}({', '.join(parts)}){tail}"
    if len(one) <= width:
        return one
    inner = ",\n".join(f"    {part}" for part in parts)
    return f"{head}(\n{inner},\n){tail}"
