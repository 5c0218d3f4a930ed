"""What must become of any text: a network or diagnostics, soon and in little memory.

As a program, tries the cases of some seeds in a process of its own with bounded memory, and prints
each failure as a line of JSON: `python -m tests.property.ill_formed FOLDER FIRST COUNT`.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnnc.codegen.render import render as render_module
from cnnc.codegen.render import render_stub
from cnnc.diagnostics import CODES, CompileError, Diagnostic, Source, render, render_json
from cnnc.frontend import format_spec, parse, resolve
from cnnc.ir.graph import Graph
from cnnc.ir.target import TARGETS
from cnnc.ir.verify import verify_graph, verify_program
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from cnnc.passes.plan import plan
from tests.property.mutations import case

SECONDS = 3.0
"""Of the processor, for a case; one takes milliseconds."""
PATIENCE = 60.0
"""By the clock, for one that waits."""
MEMORY = 1 << 30
"""Address space that the cases may take, besides what Python and NumPy have from the start."""
SMALL = 40
"""Nodes of a network that is taken through all passes."""


def survive(text: str, name: str = "hostile.cnn") -> Graph | tuple[Diagnostic, ...]:
    """The network or the diagnostics; AssertionError where neither is as it should be."""
    warnings: list[Diagnostic] = []
    try:
        spec = parse(Source(name, text))
        assert parse(Source("printed.cnn", format_spec(spec))) == spec, "printed, it is another"
        model = spec.models[0].name.text if len(spec.models) > 1 else None
        graph = resolve(spec, model, warn=warnings.append)
    except CompileError as error:
        _rendered(error.diagnostics, "error")
        return error.diagnostics
    if warnings:
        _rendered(tuple(warnings), "warning")
    verify_graph(graph)
    if len(graph.nodes) <= SMALL:
        fused = verify_graph(fuse(verify_graph(differentiate(graph))))
        targets = list(TARGETS.values())
        program = verify_program(plan(fused, targets[len(text) % len(targets)]))
        render_module(program, "hostile.cnn", {})
        render_stub(program, "hostile.cnn")
    return graph


def _rendered(diagnostics: tuple[Diagnostic, ...], severity: str) -> None:
    """Check that they can be shown, and that there are some of that severity."""
    assert severity in {d.severity for d in diagnostics}, f"no {severity}"
    assert {d.code for d in diagnostics} <= set(CODES), "a code that is not declared"
    for color in (False, True):
        text = render(diagnostics, color=color)
        assert len(text) < 1_000_000, "a message that nobody can read"
    assert len(json.loads(render_json(diagnostics))) == len(diagnostics)
    assert all(d.message for d in diagnostics)


class TooLong(BaseException):
    """A case that does not end."""


@contextmanager
def _bounded() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGPROF, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def main(folder: str, first: int, count: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    well = 0
    for seed in range(first, first + count):
        text = case(seed)
        try:
            with _bounded():
                well += isinstance(survive(text, f"{folder}/hostile.cnn"), Graph)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            trace = traceback.format_exc(limit=-6) if not isinstance(error, MemoryError) else ""
            print(json.dumps([seed, repr(error), trace]), flush=True)  # noqa: T201
    print(json.dumps(["well-formed", well, count]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
