"""A spec -> its compiled model, with its weights and its data, as the commands ask for them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.report import fail, show_compiling, show_stage, show_warnings

if TYPE_CHECKING:
    from cnnc.cli.options import SpecChoice
    from cnnc.cli.tuning import Tuned
    from cnnc.compiled import Compiled
    from cnnc.diagnostics import Diagnostic
    from cnnc.ir.graph import Graph
    from cnnc.runtime import Dataset


def resolve_model(choice: SpecChoice) -> Graph:
    """What a spec says, in milliseconds: whatever it shows to be wrong needs no compiled module."""
    from cnnc.compiler import lower, open_spec

    forms = lower(*open_spec(choice.spec, choice.options()))
    graph: Graph = next(form for stage, form in forms if stage == "graph")
    return graph


def tells_classes(graph: Graph) -> bool:
    """Whether labels judge one of the model's outputs."""
    tensors = {output.name: output.tensor for output in graph.outputs}
    return graph.training is not None and any(
        judged.loss.classes(graph.node(tensors[judged.output]).shape) is not None
        for judged in graph.training.losses
    )


def compile_model(
    choice: SpecChoice,
    target: str | None,
    *,
    verbose: bool = False,
    announce: bool = False,
    profile: bool = False,
    tuned: Tuned | None = None,
    beside: Path | None = None,
) -> Compiled:
    """Check and compile for this machine; say so in a line if it took time or `announce`.

    What was measured for it is left in the directory `beside`, if that is given.
    """
    from dataclasses import replace

    from cnnc.codegen.build import check_runs_here
    from cnnc.codegen.toolchain import host_targets, named_targets
    from cnnc.compiler import compile_spec

    if target is not None or os.environ.get("CNNC_TARGET"):
        check_runs_here(*(named_targets(target) if target else host_targets()))
    options = replace(choice.options(target), profile=profile)
    if tuned is not None:
        options = tuned.options(choice.spec, options)
    started = time.perf_counter()
    warnings: list[Diagnostic] = []
    compiled = compile_spec(
        choice.spec,
        options=options,
        on_stage=show_stage if verbose else None,
        on_compile=show_compiling,
        warn=warnings.append,
    )
    show_warnings(warnings)
    if beside is not None and tuned is not None:
        tuned.leave(options, beside, compiled.name)
    origin = "taken from the cache" if compiled.cached else "compiled"
    seconds = time.perf_counter() - started
    if announce or not compiled.cached:
        click.echo(f"{choice.spec}: {compiled.name} is fine, {origin} in {seconds:.2f} s", err=True)
    return compiled


def find_weights(spec: str, weights: Path | None, graph: Graph) -> Path:
    """The file of trained weights, which is there and can be read."""
    path = weights or Path(f"{graph.name}.safetensors")
    try:
        path.open("rb").close()
    except FileNotFoundError:
        note = "name a file that net.save(path) made in Python: --weights PATH"
        if graph.training is not None:
            note = f"make them with: cnnc train {spec}"
        fail(f"no weights: {path} does not exist", note)
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror or error}")
    return path


def load_model(
    choice: SpecChoice,
    weights: Path,
    threads: int | None,
    target: str | None,
    tuned: Tuned | None = None,
) -> Any:
    """The model of a spec with trained weights."""
    compiled = compile_model(choice, target, tuned=tuned)
    try:
        net = compiled.load().Model.load(weights)
    except OSError as error:
        fail(f"cannot read {weights}: {error.strerror or error}")
    except ValueError as error:
        fail(f"{weights} does not hold weights of {compiled.name}", *str(error).splitlines())
    if threads is not None:
        net.threads = threads
    return net


def find_dataset(data: str | None, graph: Graph) -> Dataset:
    """The data that `--data` names, or else the spec."""
    from cnnc.runtime import load_dataset

    source = data or (graph.training.data if graph.training else None)
    if not source:
        fail(f"the spec of {graph.name} names no data", "name them: --data mnist, or a path")
    return load_dataset(source, [*(node.name for node in graph.inputs()), *_targets(graph)])


def _targets(graph: Graph) -> list[str]:
    """What the model's train_step takes after the inputs."""
    losses = graph.training.losses if graph.training else ()
    return ["target"] if len(losses) == 1 else [f"{judged.output}_target" for judged in losses]
