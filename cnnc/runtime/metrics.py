"""A model and labelled samples -> loss, accuracy, confusion matrix; the matrix -> text.

Trains nothing and changes no model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.errors import DataError, TrainingError
from cnnc.runtime.inputs import Arrays, as_dtype, as_inputs, as_targets, counting
from cnnc.runtime.model import Model

_WIDTH = 80


_SAMPLES = 256
_ELEMENTS = 2**25


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Figures over `count` samples.

    `accuracies` has the share of right labels by output, for each output that is judged by labels:
    of samples, or of positions where each has a label; labels to be ignored do not count.
    `accuracy` and `confusion` are those of the only one, None where there are none or several.
    `confusion` is (classes, classes) int64: rows are the truth, columns the predictions.
    """

    loss: float
    accuracy: float | None
    confusion: NDArray[np.int64] | None = field(repr=False)
    count: int
    accuracies: Mapping[str, float] = field(default_factory=dict)


def evaluate(net: Model, images: Arrays, labels: Arrays, batch: int | None = None) -> Evaluation:
    """Run a model, as inference does, over images (n, ...) and labels, `batch` at a time.

    Several inputs or targets are dicts of arrays by name. `batch` is 256 by default, less where
    samples are large. Where there are several losses, of which one has class weights or a label to
    be ignored, the loss is the mean over the batches, and so depends on them a little.
    Raises DataError for samples that do not fit the model, or none at all, ValueError for a
    batch below 1 and TrainingError for a model without a loss.
    """
    if net.training is None:
        raise TrainingError(f"{net.name} was compiled without a train block, so it has no loss")
    batch = _batch(net) if batch is None else batch
    if batch < 1:
        raise ValueError(f"batch of {batch}, expected at least 1")
    inputs, targets = as_inputs(images, net), as_targets(labels, net)
    count = _count(inputs, targets)
    total = weight = 0.0
    confusions: dict[str, Any] = {}
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        given = [as_dtype(a[part], net.input_dtypes[name]) for name, a in inputs.items()]
        wanted = {name: array[part] for name, array in targets.items()}
        loss, outputs = _score(net, given, list(wanted.values()))
        share = _share_of(net, wanted)
        total += loss * share
        weight += share
        for name, truth in wanted.items():
            if (target := net.targets[name])["classes"] is not None:
                counts = _confusion(truth, outputs[target["output"]], target)
                confusions[target["output"]] = confusions.get(target["output"], 0) + counts
    mean = total / weight if weight else 0.0
    shares = {
        name: int(c.trace()) / int(c.sum()) if c.any() else math.nan
        for name, c in confusions.items()
    }
    if len(confusions) != 1:
        return Evaluation(mean, None, None, count, shares)
    ((name, confusion),) = confusions.items()
    return Evaluation(mean, shares[name], confusion, count, shares)


def accuracy(truth: NDArray[Any], predictions: NDArray[Any]) -> float:
    """The share of class numbers (n,) that agree; nan for n = 0."""
    _check_pair(truth, predictions)
    return float(np.mean(truth == predictions)) if len(truth) else float("nan")


def confusion_matrix(
    truth: NDArray[Any], predictions: NDArray[Any], classes: int
) -> NDArray[np.int64]:
    """Counts (classes, classes): rows are the truth, columns the predictions.

    Raises DataError for class numbers outside 0..classes-1.
    """
    _check_pair(truth, predictions)
    for what, values in (("truth", truth), ("predictions", predictions)):
        if values.size and (values.min() < 0 or values.max() >= classes):
            raise DataError(
                f"{what} within {values.min()}..{values.max()}, expected 0..{classes - 1}"
            )
    cells = truth.astype(np.int64) * classes + predictions.astype(np.int64)
    counts = np.bincount(cells, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64, copy=False)


def recall(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of each true class that was recognised, (classes,); nan for absent classes."""
    return _share(confusion, confusion.sum(axis=1))


def precision(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of each predicted class that was right, (classes,); nan if never predicted."""
    return _share(confusion, confusion.sum(axis=0))


def format_confusion(confusion: NDArray[np.int64]) -> str:
    """A confusion matrix as a table with recall and precision in percent.

    Where the table would be wider than 80 columns, the commonest confusions as a list.
    """
    names = [str(index) for index in range(len(confusion))]
    rows = [["truth", *names, "recall"]]
    for name, counts, share in zip(names, confusion, recall(confusion), strict=True):
        rows.append([name, *(str(count) if count else "." for count in counts), _percent(share)])
    rows.append(["precision", *map(_percent, precision(confusion)), ""])
    cell = max(len(text) for row in rows for text in row[1:-1]) + 1
    if 9 + cell * len(names) + 8 > _WIDTH:
        return _format_commonest(confusion)
    lines = [
        "".join([row[0].rjust(9), *(t.rjust(cell) for t in row[1:-1]), row[-1].rjust(8)])
        for row in rows
    ]
    return "\n".join([f"{'':9} predicted", *(line.rstrip() for line in lines)])


def _format_commonest(confusion: NDArray[np.int64], limit: int = 20) -> str:
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    width = len(str(len(confusion) - 1))
    lines = [f"{int(wrong.sum())} of {int(confusion.sum())} wrong; the commonest confusions:"]
    for truth, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if count := wrong[truth, predicted]:
            of = confusion[truth].sum()
            lines.append(f"  {truth:{width}} taken for {predicted:{width}}: {count} of {of}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f}"


def _share(confusion: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.full(len(confusion), np.nan)
    np.divide(np.diag(confusion), totals, out=shares, where=totals > 0)
    return shares


def _check_pair(truth: NDArray[Any], predictions: NDArray[Any]) -> None:
    if truth.ndim != 1 or truth.shape != predictions.shape:
        raise DataError(
            f"truth {truth.shape} and predictions {predictions.shape}, expected both (n,)"
        )


def _batch(net: Model) -> int:
    """How many samples to run at once, so that their arrays stay within some hundred MB."""
    shapes = [*net.input_shapes.values(), *net.output_shapes.values()]
    return max(1, min(_SAMPLES, _ELEMENTS // max(math.prod(shape) for shape in shapes)))


def _count(inputs: Mapping[str, NDArray[Any]], targets: Mapping[str, NDArray[Any]]) -> int:
    """The number of samples. Raises DataError where it is none, or not the same."""
    first, count = next((name, len(array)) for name, array in inputs.items())
    simple = len(inputs) == len(targets) == 1
    for name, array in (*inputs.items(), *targets.items()):
        if len(array) != count:
            one, other = ("images", "labels") if simple else (f"samples of {first}", f"of {name}")
            raise DataError(f"{count} {one}, but {len(array)} {other}")
    if count == 0:
        raise DataError("no samples to evaluate, expected at least one")
    return count


def _share_of(net: Model, wanted: Mapping[str, NDArray[Any]]) -> float:
    """What a batch counts in the mean loss: its labels' weights, or its samples."""
    (name, *others), (labels, *_) = wanted, wanted.values()
    target = net.targets[name]
    weights = target.get("class_weights")
    if others or (weights is None and target.get("ignore_index") is None):
        return len(labels)
    counted = counting(labels, target)
    if weights is None:
        return counted.size
    return float(np.bincount(counted.ravel(), minlength=len(weights)) @ np.asarray(weights, float))


def _score(
    net: Model, inputs: list[NDArray[Any]], targets: list[NDArray[Any]]
) -> tuple[float, dict[str, NDArray[Any]]]:
    """Loss, and the outputs by name if labels judge them; in one pass where that is possible."""
    entries = list(net.targets.values())
    if all(target["classes"] is None for target in entries):
        return net.loss(*inputs, *targets), {}
    outputs = net(*inputs)
    named = outputs if isinstance(outputs, tuple) else (outputs,)
    if len(entries) == 1 and _is_plain(entries[0]):
        output = named[list(net.output_shapes).index(entries[0]["output"])]
        loss = _cross_entropy(output, targets[0])
    else:
        loss = net.loss(*inputs, *targets)
    return loss, dict(zip(net.output_shapes, named, strict=True))


def _is_plain(target: Mapping[str, Any]) -> bool:
    """Whether the loss is the cross entropy of a label a sample and nothing else."""
    return (
        target["loss"] == "cross_entropy"
        and target["weight"] == 1
        and not target["shape"]
        and not target["label_smoothing"]
        and target["class_weights"] is None
        and target["ignore_index"] is None
    )


def _confusion(
    labels: NDArray[Any], output: NDArray[Any], target: Mapping[str, Any]
) -> NDArray[np.int64]:
    """Of the labels that count, however many a sample has."""
    predicted, ignored = output.argmax(axis=1), target.get("ignore_index")
    if ignored is not None:
        counts = labels != ignored
        labels, predicted = labels[counts], predicted[counts]
    return confusion_matrix(labels.ravel(), predicted.ravel(), target["classes"])


def _cross_entropy(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean of log(sum(exp(logits))) - logits[label], in float64."""
    with np.errstate(invalid="ignore"):  # infinite logits make a nan, which is the answer
        shifted = logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        picked = np.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
        return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - picked))
