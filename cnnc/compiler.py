"""The table of contents: a spec's text goes in, a Python extension module comes out.

    text --parse--> Spec --resolve--> Graph --differentiate--> Graph --fuse--> Graph
         --plan--> Program --render--> .pyx --build--> module

Each stage is one call here; `emit` prints any form. Nothing is done here that a stage could do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnc.codegen.build import build_targets
from cnnc.codegen.toolchain import chosen_targets
from cnnc.compiled import Compiled, Lowered
from cnnc.diagnostics import CompileError, Diagnostic, Source
from cnnc.ir.target import Target
from cnnc.options import Options
from cnnc.request import Answer, Request
from cnnc.sources import read_source, split_model

if TYPE_CHECKING:
    # The stages are imported by `lower`: what the cache has needs none of them.
    from cnnc.codegen.render import Origin
    from cnnc.ir.graph import Graph
    from cnnc.ir.program import Program
    from cnnc.passes.choice import Choice

__all__ = [
    "STAGES",
    "TARGET_STAGES",
    "Options",
    "compile_spec",
    "emit",
    "lower",
    "open_spec",
]

STAGES = ("spec", "graph", "grad", "fused", "program", "pyx")
TARGET_STAGES = ("program", "pyx")
"""Those of which there is one for each target."""


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
    looked: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Every (stage, form) in order; CompileError as soon as a stage cannot go on.

    The TARGET_STAGES come once for each target, the most capable first. `warn` is told what is
    suspicious but no error, `looked` each path where an imported file is looked for, before that.
    The stages are imported before the first of them runs.
    """
    from cnnc.codegen.render import render
    from cnnc.frontend import parse, resolve
    from cnnc.ir.graph import graph_digest
    from cnnc.ir.verify import verify_graph, verify_program
    from cnnc.passes.differentiate import differentiate
    from cnnc.passes.fuse import fuse
    from cnnc.passes.plan import plan
    from cnnc.passes.recompute import recompute

    asked = options or Options()

    def stages() -> Iterator[tuple[str, Any]]:
        spec = parse(source, asked.limits)
        yield "spec", spec
        graph = resolve(
            spec,
            asked.model,
            asked.parameters,
            limits=asked.limits,
            search=asked.search,
            warn=warn,
            looked=looked,
        )
        graph = replace(graph, digest=graph_digest(graph))
        yield "graph", verify_graph(graph)
        grad = differentiate(graph)
        yield "grad", verify_graph(grad)
        fused = recompute(fuse(grad))
        yield "fused", verify_graph(fused)
        targets = chosen_targets(asked.target)
        if asked.tuning is not None:
            asked.tuning.check_targets(targets)
        name, origins = Path(source.name).name, _origins(graph, source)
        for target in targets:
            program = plan(fused, target, *_choices(asked, target, graph.digest))
            if asked.tuning is not None:
                asked.tuning.check_program(program)
            yield "program", verify_program(program)
            yield "pyx", render(program, name, origins, profile=asked.profile)

    return stages()


def emit(source: Source, stage: str, options: Options | None = None) -> str:
    """The text of one stage's form, of each target's; ValueError for a stage that there is not."""
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage}; there are {', '.join(STAGES)}")
    options = options or Options()
    forms = (form for name, form in lower(source, options) if name == stage)
    count = len(chosen_targets(options.target)) if stage in TARGET_STAGES else 1
    return "\n\n".join(map(_text, islice(forms, count)))


def compile_spec(
    path: str | Path,
    *,
    output: Path | None = None,
    options: Options | None = None,
    on_stage: Callable[[str, float], None] | None = None,
    on_compile: Callable[[str], None] | None = None,
    warn: Callable[[Diagnostic], None] | None = None,
) -> Compiled:
    """Compile a spec, `file.cnn` or `file.cnn:model`. `output` is where to leave the files.

    `on_stage` is told each stage's name and seconds, `on_compile` the module's name before the C
    compiler runs, which the cache may spare, `warn` what is suspicious. What the cache knows to
    answer the same request goes through no stage, unless `on_stage` wants to hear of them. Raises
    CompileError, also for a file that cannot be read.
    """
    source, options = open_spec(path, options)
    request = Request.of(source, options)
    if request is not None and on_stage is None:
        answer = request.find(output)
        if answer is not None:
            targets = ",".join(target.name for target in answer.targets)
            same = replace(options, target=targets)  # whatever the environment names by then
            return _compiled(answer, cache(lambda: _lowered(source, same)))
    from cnnc.codegen.render import render_stub

    tell = on_stage or _say_nothing
    looked = None if request is None else request.looked
    warnings: list[Diagnostic] = []
    made = _Made()
    stages = lower(source, options, warnings.append, looked)
    start = time.perf_counter()
    for stage, form in stages:
        made.take(stage, form)
        tell(stage, time.perf_counter() - start)
        start = time.perf_counter()
    if warn is not None:
        for warning in warnings:
            warn(warning)
    program = made.programs[0]
    stub = render_stub(program, Path(source.name).name, profile=options.profile)
    texts = {each.target.name: text for each, text in zip(made.programs, made.texts, strict=True)}
    built = build_targets(program.name, texts, stub, output, on_compile)
    tell("build", time.perf_counter() - start)
    answer = Answer(program.name, tuple(each.target for each in made.programs), built)
    if request is not None and not warnings:  # which are to be heard every time
        request.note(answer)
    return _compiled(answer, made.lowered)


def _compiled(answer: Answer, lowered: Callable[[], Lowered]) -> Compiled:
    built = answer.built
    return Compiled(
        answer.name,
        built.extension,
        built.sources,
        built.stub,
        built.cached,
        answer.targets,
        built.loadable,
        lowered,
    )


class _Made:
    """What stages have made so far."""

    def __init__(self) -> None:
        self._graphs: dict[str, Graph] = {}
        self.programs: list[Program] = []
        self.texts: list[str] = []

    def take(self, stage: str, form: Any) -> None:
        """The form of a stage, in the order of `lower`."""
        if stage == "program":
            self.programs.append(form)
        elif stage == "pyx":
            self.texts.append(form)
        else:
            self._graphs[stage] = form

    def lowered(self) -> Lowered:
        """The forms that a module comes from."""
        return Lowered(self._graphs["graph"], self._graphs["fused"], tuple(self.programs))


def _lowered(source: Source, options: Options) -> Lowered:
    """The forms, without the text of the last stage that nobody waits for."""
    count = len(chosen_targets(options.target))
    made = _Made()
    stages = lower(source, options)
    while len(made.programs) < count:
        made.take(*next(stages))
    return made.lowered()


def _say_nothing(stage: str, seconds: float) -> None:
    """For callers who do not want to know."""
    del stage, seconds


def _choices(options: Options, target: Target, digest: str) -> tuple[Choice, int | None]:
    """What takes the kernels' forms, and up to how many samples go one by one."""
    from cnnc.passes.choice import best_guess, prefer

    choose, alone = options.choose or best_guess, options.alone
    if options.algorithm:
        choose = prefer(options.algorithm)
    outcome = None if options.tuning is None else options.tuning.of(target)
    if outcome is not None:
        choose = outcome.choose()
        alone = outcome.alone.get(digest) if alone is None else alone
    return choose, alone


def _origins(graph: Graph, source: Source) -> dict[str, Origin]:
    """Where each layer stands, for the banners of the generated code."""
    from cnnc.codegen.render import Origin

    origins = {}
    for node in graph.nodes:
        if node.span is not None:
            line = node.span.line_text.split("#")[0].strip()
            if node.span.source.name != source.name:
                line += f" (in {Path(node.span.source.name).name})"
            origins[node.name] = Origin(node.span.line, line)
    return origins


def _text(form: Any) -> str:
    from cnnc.frontend import format_spec
    from cnnc.ir.graph import Graph
    from cnnc.ir.program import Program
    from cnnc.ir.text import format_graph, format_program

    if isinstance(form, str):
        return form
    if isinstance(form, Graph):
        return format_graph(form)
    if isinstance(form, Program):
        return format_program(form)
    return format_spec(form)
