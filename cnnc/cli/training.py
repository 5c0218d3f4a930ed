"""The command that trains: train."""

from __future__ import annotations

import math
from pathlib import Path

import click

from cnnc.cli.models import compile_model, find_dataset, resolve_model
from cnnc.cli.options import (
    SpecChoice,
    data_option,
    spec_options,
    target_option,
    threads_option,
    verbose_option,
)
from cnnc.cli.report import check_writable, fail, shown_path
from cnnc.cli.tuning import Tuned, tuning_options

COUNT = click.IntRange(1, 2**24 - 1)
"""The epochs and batches that a spec may have, too."""


@click.command()
@spec_options
@click.option("--epochs", type=COUNT, help="Passes over the data.  [default: the spec's]")
@click.option("--batch", type=COUNT, help="Samples a step.  [default: the spec's]")
@click.option("--lr", type=click.FloatRange(0), help="Learning rate.  [default: the spec's]")
@click.option(
    "--seed", type=click.IntRange(0), help="Of first weights and order.  [default: the spec's]"
)
@threads_option
@data_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File for the weights.  [default: NAME.safetensors]",
)
@target_option
@tuning_options
@verbose_option
def train(
    choice: SpecChoice,
    epochs: int | None,
    batch: int | None,
    lr: float | None,
    seed: int | None,
    threads: int | None,
    data: str | None,
    output: Path | None,
    target: str | None,
    tuned: Tuned,
    verbose: bool,
) -> None:
    """Compile a spec, train the model, save its weights.

    Ctrl-C ends the training and saves the weights so far, in a file of their own. With --tune it
    leaves what was measured beside the weights, as NAME.tuning.json.
    """
    from cnnc.runtime import fit

    if lr is not None and not math.isfinite(lr):
        raise click.BadParameter(f"{lr} is no learning rate", param_hint="--lr")
    graph = resolve_model(choice)
    if graph.training is None:
        fail(f"{choice.spec} has no train block, so {graph.name} cannot be trained")
    dataset = find_dataset(data, graph)
    output = output or Path(f"{graph.name}.safetensors")
    _check_writable(output)
    seed = graph.training.seed if seed is None else seed
    compiled = compile_model(
        choice, target, verbose=verbose, announce=True, tuned=tuned, beside=output.parent
    )
    module = compiled.load()
    net = module.Model(seed=seed, threads=threads)
    if lr is not None:
        net.learning_rate = lr
    try:
        history = fit(net, dataset, epochs=epochs, batch=batch, seed=seed, progress=True)
    except KeyboardInterrupt:
        # A file of its own: the result of an earlier, finished run is worth more.
        partial = output.with_name(f"{output.stem}.interrupted{output.suffix}")
        net.save(partial)
        click.echo(f"\ninterrupted; the weights so far are in {shown_path(partial)}", err=True)
        raise click.exceptions.Exit(130) from None
    net.save(output)
    if history and history[-1].test_accuracy is not None:
        click.echo(f"test accuracy: {100 * history[-1].test_accuracy:.2f} %")
    _show_use(choice, compiled.name, output, data, predicts=len(net.input_shapes) == 1)


def _check_writable(path: Path) -> None:
    """Fail now, and not after the training, where the file could not be written."""
    if path.exists() and not path.is_file():
        fail(f"cannot write {path}: it is not a file")
    check_writable(path)


def _show_use(
    choice: SpecChoice, name: str, output: Path, data: str | None, *, predicts: bool
) -> None:
    """Say where the weights are and what to do with them."""
    options = choice.flags()
    path = shown_path(output)
    click.echo(f"weights: {path}\n")
    source = f" --data {data}" if data else ""
    click.echo(f"  cnnc evaluate {choice.spec} --weights {path}{options}{source}")
    if predicts:
        click.echo(f"  cnnc predict {choice.spec} --weights {path}{options} IMAGE")
    click.echo(f"  cnnc compile {choice.spec}{options}, then in Python:")
    click.echo(f'    import {name}; net = {name}.Model.load("{path}")')
