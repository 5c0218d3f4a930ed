"""The commands that run trained models: evaluate, predict."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from cnnc.cli.models import find_dataset, load_model
from cnnc.cli.options import (
    data_option,
    format_option,
    model_options,
    spec_argument,
    target_option,
    threads_option,
)
from cnnc.cli.report import fail, show_table

RANKS = ("likeliest", "second", "third", "fourth", "fifth")

weights_option = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Weights that `cnnc train` saved.  [default: NAME.safetensors]",
)


@click.command()
@spec_argument
@weights_option
@data_option
@threads_option
@model_options
@target_option
@format_option
def evaluate(
    spec: str,
    weights: Path | None,
    data: str | None,
    threads: int | None,
    model: str | None,
    parameters: tuple[str, ...],
    target: str | None,
    output_format: str,
) -> None:
    """Measure trained weights on the test data: loss, accuracy, confusions."""
    from cnnc.runtime import evaluate as measure
    from cnnc.runtime import format_confusion

    net = load_model(spec, weights, threads, target, model, parameters)
    if net.training is None:
        fail(f"{spec} has no train block, and so no loss to measure")
    dataset = find_dataset(data, net)
    started = time.perf_counter()
    result = measure(net, dataset.test_images, dataset.test_labels)
    seconds = time.perf_counter() - started
    if output_format == "json":
        confusion = None if result.confusion is None else result.confusion.tolist()
        click.echo(
            json.dumps(
                {
                    "model": net.name,
                    "data": dataset.name,
                    "samples": result.count,
                    "loss": result.loss,
                    "accuracy": result.accuracy,
                    "confusion": confusion,
                }
            )
        )
        return
    click.echo(f"{dataset.name}: {result.count:,} test samples in {seconds:.2f} s")
    click.echo(f"loss      {result.loss:.4f}")
    if result.accuracy is not None and result.confusion is not None:
        click.echo(f"accuracy  {100 * result.accuracy:.2f} %\n")
        click.echo(format_confusion(result.confusion))


@click.command()
@spec_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@weights_option
@click.option("--resize", is_flag=True, help="Stretch images to the size of the model's input.")
@click.option(
    "--top",
    type=click.IntRange(1, len(RANKS)),
    default=3,
    show_default=True,
    help="How many classes to show.",
)
@threads_option
@model_options
@target_option
@format_option
def predict(
    spec: str,
    files: tuple[Path, ...],
    weights: Path | None,
    resize: bool,
    top: int,
    threads: int | None,
    model: str | None,
    parameters: tuple[str, ...],
    target: str | None,
    output_format: str,
) -> None:
    """Run a trained model on image files or .npy arrays.

    Shows the likeliest classes of each sample and their probabilities, or the outputs of a model
    that does not classify.
    """
    from cnnc.runtime import read_images

    net = load_model(spec, weights, threads, target, model, parameters)
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
        _show_results(net, results, top)


def _outputs(net: Any, samples: Any) -> Any:
    """Per sample the first output; probabilities where the model classifies."""
    import numpy as np

    outputs = net(samples)
    first = outputs[0] if isinstance(outputs, tuple) else outputs
    if net.classes is None:
        return first
    shifted = first.astype(np.float64)
    powers = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _result(net: Any, label: str, output: Any) -> dict[str, object]:
    if net.classes is None:
        return {"file": label, "output": output.tolist()}
    return {"file": label, "class": int(output.argmax()), "probabilities": output.tolist()}


def _show_results(net: Any, results: list[tuple[str, Any]], top: int) -> None:
    if net.classes is None:
        for label, output in results:
            click.echo(f"{label}: {output.tolist()}")
        return
    top = min(top, net.classes)
    rows = []
    for label, output in results:
        likeliest = (-output).argsort(kind="stable")[:top]
        rows.append([label, *(f"{index} {100 * output[index]:6.2f} %" for index in likeliest)])
    show_table(["file", *RANKS[:top]], rows)
