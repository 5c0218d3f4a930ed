"""The table of contents: a spec's text goes in, a Python extension module comes out.

    text --parse--> Spec --resolve--> Graph --differentiate--> Graph --fuse--> Graph
         --plan--> Program --render--> .pyx --build--> module

Each stage is one call here; `emit` prints any form. Nothing is done here that a stage could do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from cnnc.codegen.build import build, check_runs_here, load_extension
from cnnc.codegen.render import Origin, render, render_stub
from cnnc.codegen.toolchain import host_target
from cnnc.diagnostics import CompileError, Diagnostic, Source
from cnnc.frontend import (
    DEFAULT_LIMITS,
    Limits,
    format_spec,
    parse,
    read_source,
    resolve,
    split_model,
)
from cnnc.ir.graph import Graph, graph_digest
from cnnc.ir.program import Program
from cnnc.ir.target import TARGETS, Target
from cnnc.ir.text import format_graph, format_program
from cnnc.ir.verify import verify_graph, verify_program
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from cnnc.passes.plan import plan
from cnnc.passes.recompute import recompute

STAGES = ("spec", "graph", "grad", "fused", "program", "pyx")


@dataclass(frozen=True, slots=True)
class Options:
    """What shapes a compilation besides the text.

    target: a name of cnnc.ir.target.TARGETS; None is the build machine's. model: which model of
    the file. parameters: values for the model's parameters. search: directories, besides the
    spec's own, from which it may import. limits: how large spec and network may be.
    """

    target: str | None = None
    model: str | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    search: tuple[str | Path, ...] = ()
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Compiled:
    """A built extension, the source and stub beside it, and the graph it came from."""

    name: str
    extension: Path
    pyx: Path
    stub: Path
    cached: bool
    graph: Graph
    target: Target
    loadable: Path
    """The cache's copy of the extension, whose contents never change under a running process."""

    def load(self) -> ModuleType:
        """Import the extension; CompileError where this machine cannot run its target."""
        check_runs_here(self.target)
        return load_extension(self.name, self.loadable)


def open_spec(spec: str | Path, options: Options | None = None) -> tuple[Source, Options]:
    """The file that `file.cnn` or `file.cnn:model` names, and the options with that model."""
    options = options or Options()
    path, model = split_model(spec)
    if model is None:
        return read_source(path), options
    if options.model not in (None, model):
        message = f"two models are chosen: {model} in {spec}, and {options.model}"
        raise CompileError([Diagnostic("ambiguous-model", message, None, file=path)])
    return read_source(path), replace(options, model=model)


def lower(
    source: Source,
    options: Options | None = None,
    warn: Callable[[Diagnostic], None] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Every (stage, form) in order; CompileError as soon as a stage cannot go on.

    `warn` is told what is suspicious but no error.
    """
    options = options or Options()
    spec = parse(source, options.limits)
    yield "spec", spec
    graph = resolve(
        spec,
        options.model,
        options.parameters,
        limits=options.limits,
        search=options.search,
        warn=warn,
    )
    graph = replace(graph, digest=graph_digest(graph))
    yield "graph", verify_graph(graph)
    grad = differentiate(graph)
    yield "grad", verify_graph(grad)
    fused = recompute(fuse(grad))
    yield "fused", verify_graph(fused)
    program = plan(fused, _target(options.target))
    yield "program", verify_program(program)
    yield "pyx", render(program, Path(source.name).name, _origins(graph, source))


def emit(source: Source, stage: str, options: Options | None = None) -> str:
    """The text of one stage's form; ValueError for a stage that there is not."""
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage}; there are {', '.join(STAGES)}")
    form = next(form for name, form in lower(source, options) if name == stage)
    return _text(form)


def compile_spec(
    path: str | Path,
    *,
    output: Path | None = None,
    options: Options | None = None,
    on_stage: Callable[[str, float], None] | None = None,
    on_compile: Callable[[str], None] | None = None,
    warn: Callable[[Diagnostic], None] | None = None,
) -> Compiled:
    """Compile a spec, `file.cnn` or `file.cnn:model`. `output` is where to leave the three files.

    `on_stage` is told each stage's name and seconds, `on_compile` the module's name before the C
    compiler runs, which the cache may spare, `warn` what is suspicious. Raises CompileError, also
    for a file that cannot be read.
    """
    source, options = open_spec(path, options)
    tell = on_stage or _say_nothing
    forms: dict[str, Any] = {}
    start = time.perf_counter()
    for stage, form in lower(source, options, warn):
        forms[stage] = form
        tell(stage, time.perf_counter() - start)
        start = time.perf_counter()
    program: Program = forms["program"]
    stub = render_stub(program, Path(source.name).name)
    built = build(program.name, forms["pyx"], stub, program.target, output, on_compile)
    tell("build", time.perf_counter() - start)
    graph: Graph = forms["graph"]
    return Compiled(
        program.name,
        built.extension,
        built.pyx,
        built.stub,
        built.cached,
        graph,
        program.target,
        built.loadable,
    )


def _say_nothing(stage: str, seconds: float) -> None:
    """For callers who do not want to know."""
    del stage, seconds


def _target(name: str | None) -> Target:
    if name is None:
        return host_target()
    if name not in TARGETS:
        message = f"unknown target {name}; there are {', '.join(TARGETS)}"
        raise CompileError([Diagnostic("build-target", message, None)])
    return TARGETS[name]


def _origins(graph: Graph, source: Source) -> dict[str, Origin]:
    """Where each layer stands, for the banners of the generated code."""
    origins = {}
    for node in graph.nodes:
        if node.span is not None:
            line = node.span.line_text.split("#")[0].strip()
            if node.span.source.name != source.name:
                line += f" (in {Path(node.span.source.name).name})"
            origins[node.name] = Origin(node.span.line, line)
    return origins


def _text(form: Any) -> str:
    if isinstance(form, str):
        return form
    if isinstance(form, Graph):
        return format_graph(form)
    if isinstance(form, Program):
        return format_program(form)
    return format_spec(form)
