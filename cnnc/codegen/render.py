"""Program -> .pyx and .pyi text, through templates/.

Everything is computed here and in the forms; templates only place it. The same program gives the
same bytes anywhere: no dates, paths or hashes of this run. Does not build anything.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnnc.codegen.blocks import batches
from cnnc.codegen.calls import comment, wrapped
from cnnc.codegen.clock import Clock
from cnnc.codegen.ending import ending
from cnnc.codegen.formulas import Place, declare_table, element, expression, simple, unfolded
from cnnc.codegen.interface import interface
from cnnc.codegen.lanes import lanes_header
from cnnc.codegen.templates import macro, template
from cnnc.codegen.text import WIDTH, fold, unbracket
from cnnc.ir.calls import Kernel
from cnnc.ir.program import Program
from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import Elementwise, ElementwiseSum, reads_besides
from cnnc.ops.input import InputLoad, OutputStore
from cnnc.ops.layout import Layout
from cnnc.ops.op import Gradient, Op
from cnnc.ops.pool_kernels import Pool
from cnnc.ops.pool_windows import PoolWindows
from cnnc.ops.single import PlainLoad
from cnnc.ops.single_copies import LaneCopy
from cnnc.version import __version__


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a layer stands in its spec: the line's number and text."""

    line: int
    text: str


def render(
    program: Program, source: str, origins: Mapping[str, Origin], *, profile: bool = False
) -> str:
    """The extension's .pyx. `source` names the spec; `origins` maps layers to their lines.

    One to `profile` reads a clock after every call.
    """
    clock = Clock() if profile else None
    functions = [_function(kernel, origins) for kernel in program.kernels]
    schedules = batches(program, clock)
    optimizer = program.training.optimizer if program.training else None
    update = macro(optimizer.NAME, "update")(optimizer) if optimizer else ""
    return _tidy(
        template("module.pyx.j2").render(
            program=program,
            source=source,
            version=__version__,
            lanes=lanes_header(program.target),
            kernels=functions,
            batches=schedules,
            ahead=max(block.ahead for each in schedules for block in each.blocks),
            clock=clock,
            optimizer=optimizer,
            update=textwrap.indent(update.strip("\n"), "    "),
            saving=_saving(program),
            **ending(program, clock),
            **interface(program),
        )
    )


def render_stub(program: Program, source: str, *, profile: bool = False) -> str:
    """The extension's .pyi, of a module to `profile` or of an ordinary one."""
    page = template("module.pyi.j2").render(
        program=program,
        source=source,
        version=__version__,
        profile=profile,
        **interface(program),
    )
    return _tidy("\n".join(unbracket(line, WIDTH) for line in page.splitlines()))


@dataclass(frozen=True, slots=True)
class KernelText:
    """A kernel as its template sees it; `tables` are the constants that it must declare."""

    kernel: Kernel
    tables: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def form(self) -> Any:
        """The loops."""
        return self.kernel.form

    @property
    def fused(self) -> bool:
        """Whether element-wise ops are applied to what it stores."""
        return bool(self.kernel.epilogue)

    @property
    def reads(self) -> dict[str, Layout | None]:
        """What the fused ops read besides, by pointer; a parameter has no layout."""
        return {f"epilogue{i}": layout for i, layout in enumerate(self.kernel.epilogue_layouts)}

    @property
    def extra(self) -> dict[str, Layout]:
        """Those of them that lie as the result does: a window walks them by pointers."""
        result = self.form.result
        return {
            name: layout
            for name, layout in self.reads.items()
            if layout is not None
            and (layout.channels, layout.extents) == (result.channels, result.extents)
        }

    def finish(self, value: str, *at: Affine) -> str:
        """The value to store at these coordinates: with the fused ops applied."""
        result = self.kernel.result
        if result is not None and result.extents and len(at) == 1:
            at = unfolded(result, at[0])
        return self._fused(value, self._beside(at), at)

    def window(
        self, pool: PoolWindows, values: Sequence[str], places: Sequence[tuple[Affine, ...]]
    ) -> str:
        """Values of a window joined, at these coordinates: with what applies to each of them."""
        ops = self.kernel.epilogue[: pool.before]
        each = [
            self._applied(ops, value, self._beside(at), at)
            for value, at in zip(values, places, strict=True)
        ]
        return pool.joined(each)

    def pooled(self, pool: PoolWindows, value: str, *at: Affine) -> str:
        """As `finish`, for all values of a window joined: with what applies to what they give."""
        before, after = self.kernel.epilogue[: pool.before], self.kernel.epilogue[pool.before :]
        beside = self._beside(at)[sum(self._count(op) for op in before) :]
        return self._applied(after, pool.finished(value), beside, at)

    def finish_of(self, block: Affine, value: str, *at: Affine) -> str:
        """As `finish`, for one of the blocks side by side: what it reads besides is its own."""
        reads = [
            element(f"({name} + ({block}) * {name}_step)" if layout else name, layout, at)
            for name, layout in self.reads.items()
        ]
        return self._fused(value, reads, at)

    def finish_step(self, value: str, form: Pool) -> str:
        """As `finish`, for a tap of a window that every pointer stands at the start of."""
        taps = zip(form.starts, form.taps, strict=True)
        at = (form.channel.at, *(start + tap.at for start, tap in taps))
        walked = self.extra
        reads = [
            f"{name}_at[{form.step(walked[name])}]" if name in walked else element(name, layout, at)
            for name, layout in self.reads.items()
        ]
        return self._fused(value, reads, at)

    def _fused(self, value: str, extra: list[str], at: tuple[Affine, ...]) -> str:
        return self._applied(self.kernel.epilogue, value, extra, at)

    def _applied(
        self,
        ops: Sequence[Op | Gradient],
        value: str,
        extra: list[str],
        at: tuple[Affine, ...],
    ) -> str:
        place = Place(at, self.kernel.result, self.tables)
        for op in ops:
            count = self._count(op)
            operands, extra = extra[:count], extra[count:]
            value = expression(op, place, value if simple(value) else f"({value})", *operands)
        return value

    def _beside(self, at: tuple[Affine, ...]) -> list[str]:
        """What the fused ops read besides, at a place."""
        return [element(name, layout, at) for name, layout in self.reads.items()]

    def _count(self, op: Op | Gradient) -> int:
        """How many operands an op reads besides its first."""
        result = self.kernel.result
        return len(reads_besides(op, (result.channels, *result.extents) if result else (1,)))

    def formula(self, at: tuple[Affine, ...]) -> str:
        """An element-wise kernel's own value at these coordinates."""
        form = self.kernel.form
        if not isinstance(form, (Elementwise, ElementwiseSum)):
            raise TypeError(f"{self.kernel.name} is not element-wise")
        pairs = zip(form.reads, form.layouts, strict=True)
        operands = [element(name, layout, at) for name, layout in pairs]
        return expression(form.op, Place(at, form.layouts[0], self.tables), *operands)


def _function(kernel: Kernel, origins: Mapping[str, Origin]) -> str:
    """One kernel: banner, signature, declared loop variables, body."""
    text = KernelText(kernel)
    body = _used(str(macro(*kernel.form.writer())(text)))
    variables = sorted(set(re.findall(r"^\s*for (\w+) in ", body, re.MULTILINE)))
    declared = set(re.findall(r"^cdef [\w ]*?(\w+)$", body, re.MULTILINE))
    counters = [name for name in variables if name not in declared]
    declared_at_once = textwrap.wrap(", ".join(counters), WIDTH - 24)
    lines = [f"cdef Py_ssize_t {names.rstrip(',')}" for names in declared_at_once]
    lines += [declare_table(index, values) for index, values in enumerate(text.tables)]
    body = textwrap.indent("\n".join([*lines, body]), "    ")
    body = "\n".join(fold(line, WIDTH) for line in body.splitlines())
    return f"{_banner(kernel, origins)}\n{_signature(kernel)}\n{body}\n"


def _used(body: str) -> str:
    """A kernel's body without empty lines, and without what is declared and never used."""
    lines = [line for line in body.splitlines() if line.strip()]
    words = Counter(re.findall(r"\w+", "\n".join(lines)))
    declared = (re.match(r"cdef [^=(,]*?(\w+)(\[\w+\])*$", line) for line in lines)
    pairs = zip(lines, declared, strict=True)
    return "\n".join(line for line, name in pairs if name is None or words[name[1]] > 1)


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
    return "\n".join(comment(line) for line in lines)


def _signature(kernel: Kernel) -> str:
    pointers = [f"{_ctype(kernel, name)} {name}" for name in kernel.pointers()]
    if kernel.returns_gradient:
        pointers.append("bint accumulate")
    return wrapped(f"cdef void {kernel.name}", pointers, " noexcept nogil:")


def _ctype(kernel: Kernel, pointer: str) -> str:
    if pointer == "result":
        floats = kernel.returns_gradient or kernel.returns_floats
        floats = floats or pointer in kernel.form.floats()
        stores = isinstance(kernel.form, (OutputStore, LaneCopy)) and kernel.form.hands_back
        return "float*" if floats or stores else "vec*"
    if pointer in ("running_mean", "running_var") and pointer not in kernel.form.floats():
        return "float*"
    if pointer == "source" and isinstance(kernel.form, (InputLoad, PlainLoad)):
        return "const unsigned char*" if kernel.form.dtype == "uint8" else "const float*"
    if pointer in kernel.form.labels():
        return "const int*"
    extra = [n for n, layout in KernelText(kernel).reads.items() if layout is None]
    if pointer in (*kernel.form.floats(), *extra):
        return "const float*"
    if pointer.endswith("_step"):
        return "Py_ssize_t"
    return _CTYPES.get(pointer, "const vec*")


_CTYPES = {
    "weight": "const float*",
    "bias": "const float*",
    "parts": "const float*",
    "prepared": "const float*",
    "statistics": "const float*",
    "tally": "float*",
    "bias_result": "float*",
    "scratch": "vec*",
    "moved": "vec*",
    "samples": "int",
    "channels": "Py_ssize_t",
    "space": "Py_ssize_t",
    "stride": "Py_ssize_t",
    "block_stride": "Py_ssize_t",
    "tile": "int",
    "ending": "const Ending*",
    "cold": "int",
    "ahead": "Ahead*",
    "array": "const void*",
    "of_bytes": "bint",
    "blocks": "int",
    "strips": "Py_ssize_t",
    "update": "bint",
    "beyond": "bint",
    "first": "Py_ssize_t",
    "last": "Py_ssize_t",
    "begin": "Py_ssize_t",
    "end": "Py_ssize_t",
}


def _saving(program: Program) -> tuple[tuple[str, int, int], ...]:
    """(schedule, bytes planned, bytes without sharing) for the header."""
    size = program.target.lanes * 4
    return tuple((s.name, s.size * size, s.unplanned * size) for s in program.schedules())


def _tidy(rendered: str) -> str:
    """No trailing blanks, no more than two empty lines, one newline at the end."""
    lines = "\n".join(line.rstrip() for line in rendered.splitlines())
    return re.sub(r"\n{4,}", "\n\n\n", lines).strip("\n") + "\n"
