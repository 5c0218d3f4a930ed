"""Program -> .pyx and .pyi text, through templates/.

Everything is computed here and in the forms; templates only place it. The same program gives the
same bytes anywhere: no dates, paths or hashes of this run. Does not build anything.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnc.codegen.interface import interface
from cnnc.codegen.lanes import lanes_header
from cnnc.codegen.templates import macro, template
from cnnc.codegen.text import fold
from cnnc.ir.program import Call, Kernel, Load, Program, Schedule
from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import Elementwise
from cnnc.ops.input import InputLoad, OutputStore
from cnnc.ops.layout import Layout
from cnnc.ops.op import Gradient, Op
from cnnc.ops.pool_kernels import Pool
from cnnc.version import __version__

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a layer stands in its spec: the line's number and text."""

    line: int
    text: str


def render(program: Program, source: str, origins: Mapping[str, Origin]) -> str:
    """The extension's .pyx. `source` names the spec; `origins` maps layers to their lines."""
    functions = [_function(kernel, origins) for kernel in program.kernels]
    optimizer = program.training.optimizer if program.training else None
    update = macro(optimizer.NAME, "update")(optimizer) if optimizer else ""
    return _tidy(
        template("module.pyx.j2").render(
            program=program,
            source=source,
            version=__version__,
            lanes=lanes_header(program.target),
            kernels=functions,
            blocks=[_block(program, schedule) for schedule in program.schedules()],
            optimizer=optimizer,
            update=textwrap.indent(update.strip("\n"), "    "),
            saving=_saving(program),
            **interface(program),
        )
    )


def render_stub(program: Program, source: str) -> str:
    """The extension's .pyi."""
    page = template("module.pyi.j2")
    return _tidy(
        page.render(program=program, source=source, version=__version__, **interface(program))
    )


@dataclass(frozen=True, slots=True)
class KernelText:
    """A kernel as its template sees it."""

    kernel: Kernel

    @property
    def form(self) -> Any:
        """The loops."""
        return self.kernel.form

    @property
    def fused(self) -> bool:
        """Whether element-wise ops are applied to what it stores."""
        return bool(self.kernel.epilogue)

    @property
    def extra(self) -> dict[str, Layout]:
        """What the fused ops read besides, by pointer."""
        return {f"epilogue{i}": layout for i, layout in enumerate(self.kernel.epilogue_layouts)}

    def finish(self, value: str, *at: Affine) -> str:
        """The value to store at these coordinates: with the fused ops applied."""
        reads = [f"{name}[{_offset(layout, at)}]" for name, layout in self.extra.items()]
        return self._fused(value, reads)

    def finish_step(self, value: str, form: Pool) -> str:
        """As `finish`, for a tap of a window that every pointer stands at the start of."""
        reads = [f"{name}_at[{form.step(layout)}]" for name, layout in self.extra.items()]
        return self._fused(value, reads)

    def _fused(self, value: str, extra: list[str]) -> str:
        for op in self.kernel.epilogue:
            count = len(op.of.gradient_reads(op.wrt)) if isinstance(op, Gradient) else 0
            operands, extra = extra[:count], extra[count:]
            value = expression(op, value if _simple(value) else f"({value})", *operands)
        return value

    def formula(self, at: tuple[Affine, ...]) -> str:
        """An element-wise kernel's own value at these coordinates."""
        form = self.kernel.form
        if not isinstance(form, Elementwise):
            raise TypeError(f"{self.kernel.name} is not element-wise")
        operands = [
            f"{name}[{_offset(layout, at)}]"
            for name, layout in zip(form.reads, form.layouts, strict=True)
        ]
        return expression(form.op, *operands)


def _offset(layout: Layout, at: tuple[Affine, ...]) -> Affine:
    flat = layout.flat() if len(at) == 1 and layout.extents else layout
    offset: Affine = flat.offset(*at)
    return offset


def _simple(value: str) -> bool:
    """Whether a value stands alone among operators: a name, an element or one call."""
    if re.fullmatch(r"\w+(\[[^\[\]]*\])*", value):
        return True
    depth, call = 0, re.match(r"\w+\(", value)
    for place, character in enumerate(value):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and character == ")":
            return call is not None and place == len(value) - 1
    return False


def expression(op: Op | Gradient, *operands: str) -> str:
    """An element-wise op's formula, from its own template."""
    of, direction = (op.of, "gradient") if isinstance(op, Gradient) else (op, "value")
    return str(macro(of.NAME, direction)(of, *operands)).strip()


def _function(kernel: Kernel, origins: Mapping[str, Origin]) -> str:
    """One kernel: banner, signature, declared loop variables, body."""
    body = str(macro(*kernel.form.writer())(KernelText(kernel))).strip("\n")
    variables = sorted(set(re.findall(r"^\s*for (\w+) in ", body, re.MULTILINE)))
    declared = set(re.findall(r"^cdef [\w ]*?(\w+)$", body, re.MULTILINE))
    counters = [name for name in variables if name not in declared]
    lines = [f"cdef Py_ssize_t {', '.join(counters)}"] if counters else []
    body = textwrap.indent("\n".join([*lines, body]), "    ")
    body = "\n".join(fold(line, _WIDTH) for line in body.splitlines())
    return f"{_banner(kernel, origins)}\n{_signature(kernel)}\n{body}\n"


def _banner(kernel: Kernel, origins: Mapping[str, Origin]) -> str:
    lines = []
    for layer in kernel.layers:
        origin = origins.get(layer)
        where = f"line {origin.line}: {origin.text}" if origin else "added by the compiler"
        lines.append(f"{layer}, {where}")
    if kernel.form.reason():
        lines.append(kernel.form.reason())
    for op in kernel.epilogue:
        what = f"{op.of.NAME}'s gradient" if isinstance(op, Gradient) else op.NAME
        lines.append(f"applies {what} to what it stores")
    return "\n".join(_comment(line) for line in lines)


def _comment(line: str) -> str:
    shown = re.sub(r"[^\x20-\x7e]", "?", line)
    return f"# {shown}"[:_WIDTH]


def _signature(kernel: Kernel) -> str:
    pointers = [f"{_ctype(kernel, name)} {name}" for name in kernel.pointers()]
    if kernel.returns_gradient:
        pointers.append("bint accumulate")
    return _wrapped(f"cdef void {kernel.name}", pointers, " noexcept nogil:")


def _wrapped(head: str, parts: Sequence[str], tail: str = "") -> str:
    """head(parts)tail on one line, or a line each where that is too long."""
    one = f"{head}({', '.join(parts)}){tail}"
    if len(one) <= _WIDTH - 4:
        return one
    inner = ",\n".join(f"    {part}" for part in parts)
    return f"{head}(\n{inner},\n){tail}"


def _ctype(kernel: Kernel, pointer: str) -> str:
    if pointer == "result" and isinstance(kernel.form, OutputStore):
        return "float*"
    if pointer == "result":
        return "float*" if kernel.returns_gradient else "vec*"
    if pointer == "source" and isinstance(kernel.form, InputLoad):
        return "const unsigned char*" if kernel.form.dtype == "uint8" else "const float*"
    if pointer in kernel.form.labels():
        return "const int*"
    fixed = {"weight": "const float*", "bias": "const float*", "scratch": "vec*", "samples": "int"}
    return fixed.get(pointer, "const vec*")


@dataclass(frozen=True, slots=True)
class Block:
    """What one block of samples goes through, as the module template places it."""

    name: str
    loads: tuple[Load, ...]
    calls: tuple[str, ...]
    share: int | None
    loss: int | None
    gradients: bool


def _block(program: Program, schedule: Schedule) -> Block:
    offsets = {buffer.tensor: buffer.offset for buffer in schedule.buffers}
    calls = (_call(program.kernel(call.kernel), call) for call in schedule.calls)
    return Block(
        schedule.name,
        tuple(load for load in schedule.loads if load.dtype != "weight"),
        tuple(calls),
        offsets.get("loss_grad"),
        offsets.get("loss"),
        schedule.name == "train",
    )


def _call(kernel: Kernel, call: Call) -> str:
    """One call, with a comment that says what goes in and out."""
    arguments = []
    for operand in call.operands:
        place = operand.space + (f" + {operand.offset}" if operand.offset else "")
        cast = operand.pointer in kernel.form.labels()
        arguments.append(f"<const int*>({place})" if cast else place)
    if kernel.returns_gradient:
        arguments.append("accumulate")
    reads = ", ".join(o.name for o in call.operands[:-1] if o.pointer != "scratch")
    note = _comment(f"{reads} -> {call.computes}")
    return textwrap.indent(f"{note}\n{_wrapped(kernel.name, arguments)}", "    ")


def _saving(program: Program) -> tuple[tuple[str, int, int], ...]:
    """(schedule, bytes planned, bytes without sharing) for the header."""
    size = program.target.lanes * 4
    return tuple((s.name, s.size * size, s.unplanned * size) for s in program.schedules())


def _tidy(rendered: str) -> str:
    """No trailing blanks, no more than two empty lines, one newline at the end."""
    lines = "\n".join(line.rstrip() for line in rendered.splitlines())
    return re.sub(r"\n{4,}", "\n\n\n", lines).strip("\n") + "\n"
