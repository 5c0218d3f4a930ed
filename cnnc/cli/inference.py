"""The commands that run trained models: evaluate, predict."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.models import find_dataset, find_weights, load_model, resolve_model, tells_classes
from cnnc.cli.options import (
    SpecChoice,
    data_option,
    format_option,
    spec_options,
    target_option,
    threads_option,
)
from cnnc.cli.report import fail, show_table
from cnnc.cli.tuning import Tuned, tuning_options

if TYPE_CHECKING:
    from cnnc.runtime import Evaluation

if TYPE_CHECKING:
    from cnnc.runtime import Evaluation

RANKS = ("likeliest", "second", "third", "fourth", "fifth")
COMMON_RANKS = ("commonest", *RANKS[1:])
"""The same where each position has a class."""
DEFAULT_TOP = 3
MANY = 64
"""More numbers than these are not shown one by one."""
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
@tuning_options
@format_option
def evaluate(
    choice: SpecChoice,
    weights: Path | None,
    data: str | None,
    threads: int | None,
    target: str | None,
    tuned: Tuned,
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
    net = load_model(choice, path, threads, target, tuned)
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
                    "accuracy": None if confusion is None else _finite(result.accuracy),
                    "accuracies": _accuracies(result),
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
    several = len(result.accuracies) > 1
    for name, share in result.accuracies.items():
        click.echo(f"accuracy  {100 * share:.2f} %{f' of {name}' if several else ''}")
    if result.confusion is not None:
        click.echo(f"\n{format_confusion(result.confusion)}")


def _accuracies(result: Evaluation) -> dict[str, float | None]:
    """By output; None where no label counts, and where outputs name no class."""
    known = math.isfinite(result.loss)
    return {name: _finite(a) if known else None for name, a in result.accuracies.items()}


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
@tuning_options
@format_option
def predict(
    choice: SpecChoice,
    files: tuple[Path, ...],
    weights: Path | None,
    resize: bool,
    top: int | None,
    threads: int | None,
    target: str | None,
    tuned: Tuned,
    output_format: str,
) -> None:
    """Run a trained model on image files or .npy arrays.

    Shows the likeliest classes of each sample and their probabilities; the shares of the classes
    where each position has one; or the outputs of a model that does not classify.
    """
    from cnnc.runtime import read_images

    graph = resolve_model(choice)
    if top is not None and not tells_classes(graph):
        raise click.BadParameter(f"{graph.name} has no classes", param_hint="--top")
    if len(inputs := [node.name for node in graph.inputs()]) != 1:
        fail(
            f"{graph.name} has {len(inputs)} inputs ({', '.join(inputs)}), and predict reads one",
            "run it from Python: net = Model.load(weights); net(...)",
        )
    path = find_weights(choice.spec, weights, graph)
    net = load_model(choice, path, threads, target, tuned)
    ((name, shape),) = net.input_shapes.items()
    answers = []
    for file in files:
        samples = read_images([file], shape, net.input_dtypes[name], resize=resize)
        for index, of_sample in enumerate(_answers(net, samples)):
            answers.append((f"{file}[{index}]" if len(samples) > 1 else str(file), of_sample))
    if output_format == "json":
        click.echo(json.dumps([_result(label, of_sample) for label, of_sample in answers]))
    else:
        _show_answers(answers, top or DEFAULT_TOP)


@dataclass(frozen=True, slots=True)
class _Answer:
    """One output for one sample: what the model gave (`values`), or the probabilities of classes.

    `classes` is None for an output that labels do not judge.
    """

    output: str
    classes: int | None
    values: Any

    def is_finite(self) -> bool:
        """Whether all of them are numbers that mean something."""
        import numpy as np

        return bool(np.isfinite(self.values).all())

    def likeliest(self) -> Any:
        """The class, or that of each position."""
        return self.values.argmax(axis=0)

    def shares(self) -> Any:
        """(classes,): the probabilities, or which share of the positions each class has."""
        import numpy as np

        if self.values.ndim == 1:
            return self.values
        chosen = self.likeliest()
        return np.bincount(chosen.ravel(), minlength=self.classes or 0) / chosen.size

    def entries(self) -> dict[str, object]:
        """The answer as JSON has it; of positions the classes alone."""
        if self.classes is None:
            return {"output": _finite(self.values.tolist())}
        classes = self.likeliest().tolist() if self.is_finite() else None
        if self.values.ndim > 1:
            return {"classes": classes}
        return {"class": classes, "probabilities": _finite(self.values.tolist())}


def _answers(net: Any, samples: Any) -> list[list[_Answer]]:
    """Per sample its outputs."""
    import numpy as np

    outputs = net(samples)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    judged = {target["output"]: target["classes"] for target in net.targets.values()}
    columns = []
    for name, output in zip(net.output_shapes, outputs, strict=True):
        classes = judged.get(name)
        values = output
        if classes is not None:
            with np.errstate(invalid="ignore"):
                shifted = output.astype(np.float64) - output.max(axis=1, keepdims=True)
                values = np.exp(shifted)
                values /= values.sum(axis=1, keepdims=True)
        columns.append([_Answer(name, classes, row) for row in values])
    return [list(row) for row in zip(*columns, strict=True)]


def _result(label: str, answers: list[_Answer]) -> dict[str, object]:
    if len(answers) == 1:
        return {"file": label, **answers[0].entries()}
    return {"file": label, "outputs": {a.output: a.entries() for a in answers}}


def _finite(value: Any) -> Any:
    """Numbers in lists, None for those that JSON does not know: infinities and NaN."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value if math.isfinite(value) else None


def _show_answers(samples: list[tuple[str, list[_Answer]]], top: int) -> None:
    rows, ranks = [], RANKS
    for file, answers in samples:
        for answer in answers:
            label = file if len(answers) == 1 else f"{file} {answer.output}"
            if not answer.is_finite():
                click.echo(f"{label}: {NOT_FINITE}")
            elif answer.classes is None:
                click.echo(f"{label}: {_text(answer.values)}")
            else:
                ranks = RANKS if answer.values.ndim == 1 else COMMON_RANKS
                shares = answer.shares()
                best = (-shares).argsort(kind="stable")[:top]
                rows.append([label, *(f"{index} {100 * shares[index]:6.2f} %" for index in best)])
    if rows:
        width = max(map(len, rows))
        table = [[*row, *[""] * (width - len(row))] for row in rows]
        show_table(["file", *ranks[: width - 1]], table)


def _text(values: Any) -> str:
    """The numbers of an output, or where they are many, what they are like."""
    if values.size <= MANY:
        return str(values.tolist())
    least, most, mean = values.min(), values.max(), values.mean()
    shape = "x".join(map(str, values.shape))
    return f"{shape} numbers, {least:.4g} to {most:.4g}, mean {mean:.4g} (all: --format json)"
