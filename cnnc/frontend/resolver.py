"""Resolver: Spec -> Graph. Looks up every name, works out every number and shape.

A layer that fails poisons its value: what depends on it is checked as far as it does not need the
value, so that one run reports every independent error and none that merely follows from another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cnnc.diagnostics import CompileError, Diagnostic, Span
from cnnc.frontend import spec as s
from cnnc.frontend.body import Body
from cnnc.frontend.evaluator import Evaluator
from cnnc.frontend.library import Loader
from cnnc.frontend.names import check_name, suggest
from cnnc.frontend.report import ExhaustedError, RefusedError, Report
from cnnc.frontend.scope import Naming, Scope, open_scope
from cnnc.frontend.training import resolve_training
from cnnc.frontend.usage import check_unvisited, circles, warn_of_unused
from cnnc.frontend.values import Setting, show
from cnnc.ir.graph import Graph, Node, Output, Parameter
from cnnc.limits import DEFAULT_LIMITS, Limits
from cnnc.ops.initializers import Automatic, Glorot, He

Number = int | float


def resolve(
    spec: s.Spec,
    model: str | None = None,
    parameters: Mapping[str, float] | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    search: Sequence[str | Path] = (),
    warn: Callable[[Diagnostic], None] | None = None,
    looked: Callable[[str], None] | None = None,
) -> Graph:
    """The graph of a spec's model: the one called `model`, or the only one.

    `parameters` override the model's own defaults; `search` are directories, besides the spec's
    own, from which it may import. `looked` is told each path where an imported file is looked for,
    before that, whether there is one or not. Raises CompileError with every independent error;
    where there is none, `warn` gets the warnings.
    """
    report = Report(limits.diagnostics)
    loader = Loader(report, limits, search, looked or _say_nothing)
    try:
        return _resolve(spec, model, parameters or {}, limits, loader, report, warn)
    except ExhaustedError:
        raise CompileError(report.ordered()) from None


def _resolve(
    spec: s.Spec,
    model: str | None,
    parameters: Mapping[str, float],
    limits: Limits,
    loader: Loader,
    report: Report,
    warn: Callable[[Diagnostic], None] | None,
) -> Graph:
    library = loader.load(spec)
    definition = _select(spec, model, report)
    body = Body(report, limits)
    body.chains.recursive = circles(loader.blocks(), report)
    check_name(definition.name, "model", report, limits)
    scope = open_scope(report, limits, library, Naming(), 0)
    _set_parameters(definition, parameters, scope, report, limits)
    outputs = body.resolve(definition, scope)
    training = resolve_training(spec, definition, scope, outputs, report, limits)
    parts: list[s.Definition] = [definition, *spec.blocks]
    for part in parts:
        check_unvisited(part, library, body.chains.visited, report)
    report.close()
    nodes, kept = body.live(outputs)
    warn_of_unused(definition, library, body.chains.called.values(), report)
    report.close()
    if warn is not None:
        for diagnostic in report.ordered():
            warn(diagnostic)
    return Graph(
        definition.name.text,
        nodes,
        _initialized(kept, nodes),
        tuple(Output(name, tensor.node) for name, tensor in outputs if tensor is not None),
        training,
    )


def _say_nothing(path: str) -> None:
    """For callers who do not want to know."""
    del path


def _select(spec: s.Spec, wanted: str | None, report: Report) -> s.ModelDefinition:
    """The model to compile. Raises CompileError where there is no such one."""
    models: dict[str, s.ModelDefinition] = {}
    blocks = {block.name.text: block for block in spec.blocks}
    for model in spec.models:
        if (block := blocks.get(model.name.text)) is not None:
            note = f"the block is on line {block.span.line}"
            message = f"a model and a block are called {model.name}"
            report.error("duplicate-name", message, model.name.span, notes=(note,))
        first = models.setdefault(model.name.text, model)
        if first is not model:
            note = f"the first one is on line {first.span.line}"
            message = f"two models are called {model.name}"
            report.error("duplicate-name", message, model.name.span, notes=(note,))
    if wanted in models:
        return models[wanted]
    if wanted is None and len(models) == 1:
        return spec.models[0]
    names = ", ".join(models)
    place = spec.models[0].name.span if models else Span(spec.source, 0, 0)
    if not models:
        message = "there is no model in this file"
        report.error("no-model", message, place, help="write model name { ... }")
    elif wanted is not None:
        help = suggest(wanted, models, "models")
        report.error("unknown-model", f"no model is called {wanted}", place, help=help)
    else:
        message = "the file has several models, and none was chosen"
        help = f"choose one after a colon: {spec.source.name}:{spec.models[0].name}"
        report.error("ambiguous-model", message, place, notes=(f"they are {names}",), help=help)
    raise CompileError(report.ordered())


def _set_parameters(
    definition: s.ModelDefinition,
    given: Mapping[str, float],
    scope: Scope,
    report: Report,
    limits: Limits,
) -> None:
    """Put the model's parameters in scope, in order: a default may use the ones before it."""
    names = [parameter.name.text for parameter in definition.parameters]
    for name in given:
        if name not in names:
            message = f"model {definition.name} has no parameter {name}"
            help = suggest(name, names, "parameters")
            report.error("unknown-parameter", message, definition.name.span, help=help)
    for parameter in definition.parameters:
        name = parameter.name.text
        check_name(parameter.name, "parameter", report, limits)
        if name in scope.settings.maps[0]:
            message = f"two parameters are called {name}"
            report.error("duplicate-name", message, parameter.name.span)
            continue
        place: Span | None = parameter.span
        value: Number | None
        if name in given:
            value, place = given[name], None
            if not isinstance(value, int | float) or not math.isfinite(value):
                message = f"{name} must be a number, got {value!r:.40}"
                report.error("bad-value", message, parameter.span)
                value = None
        else:
            value = _default(parameter, scope.evaluator, report)
        scope.settings[name] = Setting(value, place)


def _default(
    parameter: s.ParameterDefinition, evaluator: Evaluator, report: Report
) -> Number | None:
    """The value of a parameter that the caller does not set; None after an error."""
    if parameter.default is None:
        message = f"the parameter {parameter.name} has no default and is not set"
        help = f"set it by --set {parameter.name}=…, or give it a default: {parameter.name}=…"
        report.error("missing-argument", message, parameter.span, help=help)
        return None
    try:
        value = evaluator.value(parameter.default)
        evaluator.refuse_unknown(value)
    except RefusedError:
        return None
    if not isinstance(value, int | float):
        message = f"a parameter is a number, yes or no, got {show(value)}"
        report.error("bad-type", message, parameter.default.span)
        return None
    return value


_RECTIFIERS = frozenset(
    ("relu", "relu6", "leaky_relu", "prelu", "elu", "gelu", "silu", "hardswish")
)
_CARRIERS = frozenset(
    ("batchnorm", "groupnorm", "layernorm", "dropout", "channel_dropout", "identity", "add")
)
"""Layers between a sum and its rectifier."""


def _initialized(
    parameters: tuple[Parameter, ...], nodes: tuple[Node, ...]
) -> tuple[Parameter, ...]:
    """The parameters, initialised by He where a rectifier follows their layer, by Glorot elsewhere.

    Norms, dropout and joins of a shortcut may stand between.
    """
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    rectified: dict[str, bool] = {}
    for node in reversed(nodes):
        followers = readers.get(node.name, [])
        rectified[node.name] = bool(followers) and all(
            reader.op.NAME in _RECTIFIERS
            or (reader.op.NAME in _CARRIERS and rectified[reader.name])
            for reader in followers
        )
    owners = {name: node.name for node in nodes for name in node.parameters}
    return tuple(
        replace(p, initializer=He() if rectified[owners[p.name]] else Glorot())
        if isinstance(p.initializer, Automatic)
        else p
        for p in parameters
    )
