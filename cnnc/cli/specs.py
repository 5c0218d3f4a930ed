"""Commands that read a spec and build nothing: check, summary, emit."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.options import (
    SpecChoice,
    format_option,
    spec_options,
    target_option,
    verbose_option,
)
from cnnc.cli.report import count, fail, show_stage, show_table, show_warnings, size
from cnnc.cli.tuning import Tuned, tuning_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnc.diagnostics import Diagnostic
    from cnnc.ir.graph import Graph
    from cnnc.summary import Layer, Summary

STAGES = ("spec", "graph", "grad", "fused", "program", "pyx")
"""Those of cnnc.compiler, which is slow to import; a test compares."""
CHECKED_STAGE = "fused"
"""The last stage that needs neither a target nor a C compiler."""


@click.command()
@spec_options
@format_option
@verbose_option
def check(choice: SpecChoice, output_format: str, verbose: bool) -> None:
    """Check a spec; say all that is wrong with it.

    Exit status 1 where something is. With --format json the diagnostics are a JSON array on
    standard output, empty for a spec without fault.
    """
    from cnnc.diagnostics import CompileError, render_json

    warnings: list[Diagnostic] = []
    try:
        graph = _graph_of(choice, CHECKED_STAGE, verbose, warnings.append)
    except CompileError as error:
        if output_format != "json":
            raise
        click.echo(render_json(error.diagnostics))
        raise click.exceptions.Exit(1) from error
    if output_format == "json":
        click.echo(render_json(warnings))
        return
    show_warnings(warnings)
    from cnnc.summary import summarize

    costs = summarize(graph)
    click.echo(f"{choice.spec}: {graph.name} is fine: {costs.parameters:,} parameters")


@click.command()
@spec_options
@format_option
def summary(choice: SpecChoice, output_format: str) -> None:
    """Show what each layer costs, and what it would cost as a dense one.

    Per layer and sample: output shape, parameters, multiply-adds, memory of its output, receptive
    field, and the parameters of a dense layer from the same input to the same output.
    """
    from cnnc.summary import summarize

    costs = summarize(_graph_of(choice, "graph"))
    if output_format == "json":
        click.echo(json.dumps(_as_json(costs), indent=2))
        return
    click.echo(f"{costs.name}, per sample\n")
    headers = ("layer", "output", "params", "mul-adds", "memory", "field", "if dense")
    show_table(headers, [*map(_row, costs.layers), _total(costs)], left=2, total=True)
    if costs.parameters and costs.dense_parameters:
        ratio = costs.dense_parameters / costs.parameters
        click.echo(
            f"\nAs dense layers the same network would have {ratio:,.1f} times the parameters."
        )
    if costs.statistics:
        click.echo(f"\nBesides, training keeps {costs.statistics:,} running statistics.")


@click.command()
@click.argument("stage", type=click.Choice(STAGES), metavar="STAGE")
@spec_options
@target_option
@tuning_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead.")
def emit(
    stage: str,
    choice: SpecChoice,
    target: str | None,
    tuning: Path | None,
    output: Path | None,
) -> None:
    """Print what a stage of the compiler makes of a spec.

    \b
    spec     the syntax tree               fused    element-wise layers merged
    graph    layers, shapes, parameters    program  loops, buffers, memory
    grad     with the backward direction   pyx      the generated Cython
    """
    from cnnc.compiler import emit as emit_stage
    from cnnc.compiler import open_spec

    options = Tuned(None, tuning).options(choice.spec, choice.options(target))
    source, options = open_spec(choice.spec, options)
    text = emit_stage(source, stage, options).rstrip("\n") + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    from cnnc.codegen.files import write_file

    try:
        write_file(output, text.encode())
    except OSError as error:
        fail(f"cannot write {output}: {error.strerror}")


def _graph_of(
    choice: SpecChoice,
    last: str,
    verbose: bool = False,
    warn: Callable[[Diagnostic], None] | None = None,
) -> Graph:
    """The resolved graph, after every stage up to `last` has found the spec good."""
    from cnnc.compiler import lower, open_spec

    graph: Any = None
    stages = lower(*open_spec(choice.spec, choice.options()), warn)
    started = time.perf_counter()
    for stage, form in stages:
        if verbose:
            now = time.perf_counter()
            show_stage(stage, now - started)
            started = now
        if stage == "graph":
            graph = form
        if stage == last:
            break
    found: Graph = graph
    return found


def _row(layer: Layer) -> tuple[str, ...]:
    dense = layer.dense_parameters
    return (
        layer.name,
        "x".join(map(str, layer.shape)),
        count(layer.parameters) if layer.parameters else "-",
        count(layer.multiply_adds) if layer.multiply_adds else "-",
        size(layer.activation_bytes) if layer.activation_bytes else "-",
        "x".join(map(str, layer.field)) if layer.field else "-",
        "-" if dense is None else count(dense),
    )


def _total(costs: Summary) -> tuple[str, ...]:
    return (
        "total",
        "",
        count(costs.parameters),
        count(costs.multiply_adds),
        size(costs.activation_bytes),
        "",
        count(costs.dense_parameters),
    )


def _as_json(costs: Summary) -> dict[str, object]:
    return {
        "name": costs.name,
        "layers": [asdict(layer) for layer in costs.layers],
        "parameters": costs.parameters,
        "statistics": costs.statistics,
        "multiply_adds": costs.multiply_adds,
        "activation_bytes": costs.activation_bytes,
        "dense_parameters": costs.dense_parameters,
    }
