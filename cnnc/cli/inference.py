"""The commands that run trained models: evaluate, predict."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import click

from cnnc.cli.models import classes_of, find_dataset, find_weights, load_model, resolve_model
from cnnc.cli.options import (
    SpecChoice,
    data_option,
    format_option,
    spec_options,
    target_option,
    threads_option,
)
from cnnc.cli.report import fail, show_table

RANKS = ("likeliest", "second", "third", "fourth", "fifth")
DEFAULT_TOP = 3
NOT_FINITE = "the outputs are not finite"

weights_option = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Weights that `cnnc train` saved.  [default: NAME.safetensors]",
)


@click.command()
@spec_options
@weights_option
@data_option
@threads_option
@target_option
@format_option
def evaluate(
    choice: SpecChoice,
    weights: Path | None,
    data: str | None,
    threads: int | None,
    target: str | None,
    output_format: str,
) -> None:
    """Measure trained weights on the test data: loss, accuracy, confusions."""
    from cnnc.runtime import evaluate as measure
    from cnnc.runtime import format_confusion

    graph = resolve_model(choice)
    if graph.training is None:
        fail(f"{choice.spec} has no train block, and so no loss to measure")
    path = find_weights(choice.spec, weights, graph)
    dataset = find_dataset(data, graph)
    net = load_model(choice, path, threads, target)
    started = time.perf_counter()
    result = measure(net, dataset.test_images, dataset.test_labels)
    seconds = time.perf_counter() - started
    if output_format == "json":
        # Outputs that are not finite name no class: what was counted of them means nothing.
        confusion = result.confusion if math.isfinite(result.loss) else None
        click.echo(
            json.dumps(
                {
                    "model": net.name,
                    "data": dataset.name,
                    "samples": result.count,
                    "loss": _finite(result.loss),
                    "accuracy": None if confusion is None else result.accuracy,
                    "confusion": None if confusion is None else confusion.tolist(),
                }
            )
        )
        return
    click.echo(f"{dataset.name}: {result.count:,} test samples in {seconds:.2f} s")
    if not math.isfinite(result.loss):
        click.echo(f"loss      {result.loss}: {NOT_FINITE}")
        return
    click.echo(f"loss      {result.loss:.4f}")
    if result.accuracy is not None and result.confusion is not None:
        click.echo(f"accuracy  {100 * result.accuracy:.2f} %\n")
        click.echo(format_confusion(result.confusion))


@click.command()
@spec_options
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@weights_option
@click.option("--resize", is_flag=True, help="Stretch images to the size of the model's input.")
@click.option(
    "--top",
    type=click.IntRange(1, len(RANKS)),
    help=f"How many classes to show.  [default: {DEFAULT_TOP}]",
)
@threads_option
@target_option
@format_option
def predict(
    choice: SpecChoice,
    files: tuple[Path, ...],
    weights: Path | None,
    resize: bool,
    top: int | None,
    threads: int | None,
    target: str | None,
    output_format: str,
) -> None:
    """Run a trained model on image files or .npy arrays.

    Shows the likeliest classes of each sample and their probabilities, or the outputs of a model
    that does not classify.
    """
    from cnnc.runtime import read_images

    graph = resolve_model(choice)
    if top is not None and classes_of(graph) is None:
        raise click.BadParameter(f"{graph.name} has no classes", param_hint="--top")
    path = find_weights(choice.spec, weights, graph)
    net = load_model(choice, path, threads, target)
    if len(net.input_shapes) != 1:
        fail(f"{net.name} has {len(net.input_shapes)} inputs; run it from Python")
    ((name, shape),) = net.input_shapes.items()
    results = []
    for file in files:
        samples = read_images([file], shape, net.input_dtypes[name], resize=resize)
        several = len(samples) > 1
        for index, output in enumerate(_outputs(net, samples)):
            label = f"{file}[{index}]" if several else str(file)
            results.append((label, output))
    if output_format == "json":
        click.echo(json.dumps([_result(net, *result) for result in results]))
    else:
        _show_results(net, results, top or DEFAULT_TOP)


def _outputs(net: Any, samples: Any) -> Any:
    """Per sample the first output; probabilities where the model classifies."""
    import numpy as np

    outputs = net(samples)
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    if net.classes is None:
        return first
    shifted = first.astype(np.float64)
    with np.errstate(invalid="ignore"):
        powers = np.exp(shifted - shifted.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def _result(net: Any, label: str, output: Any) -> dict[str, object]:
    values = _finite(output.tolist())
    if net.classes is None:
        return {"file": label, "output": values}
    likeliest = int(output.argmax()) if _is_finite(output) else None
    return {"file": label, "class": likeliest, "probabilities": values}


def _finite(value: Any) -> Any:
    """Numbers in lists, None for those that JSON does not know: infinities and NaN."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value if math.isfinite(value) else None


def _is_finite(output: Any) -> bool:
    return all(map(math.isfinite, output.flat))


def _show_results(net: Any, results: list[tuple[str, Any]], top: int) -> None:
    if net.classes is None:
        for label, output in results:
            click.echo(f"{label}: {output.tolist() if _is_finite(output) else NOT_FINITE}")
        return
    top = min(top, net.classes)
    rows = []
    for label, output in results:
        if not _is_finite(output):
            click.echo(f"{label}: {NOT_FINITE}")
            continue
        likeliest = (-output).argsort(kind="stable")[:top]
        rows.append([label, *(f"{index} {100 * output[index]:6.2f} %" for index in likeliest)])
    if rows:
        show_table(["file", *RANKS[:top]], rows)
