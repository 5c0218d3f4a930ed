"""A model and labelled samples -> loss, accuracy, confusion matrix; the matrix -> text.

Trains nothing and changes no model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.errors import DataError, TrainingError
from cnnc.runtime.inputs import as_dtype, as_targets, for_input, sole_input
from cnnc.runtime.model import Model

_WIDTH = 80


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Figures over `count` samples; `accuracy` and `confusion` are None for a regression.

    `confusion` is (classes, classes) int64: rows are the truth, columns the predictions.
    """

    loss: float
    accuracy: float | None
    confusion: NDArray[np.int64] | None = field(repr=False)
    count: int


def evaluate(
    net: Model, images: NDArray[Any], labels: NDArray[Any], batch: int = 256
) -> Evaluation:
    """Run a model over images (n, ...) and labels, `batch` at a time.

    Raises DataError for samples that do not fit the model, or none at all, ValueError for a
    batch below 1 and TrainingError for a model without a loss.
    """
    if net.training is None:
        raise TrainingError(f"{net.name} was compiled without a train block, so it has no loss")
    if batch < 1:
        raise ValueError(f"batch of {batch}, expected at least 1")
    shape, dtype = sole_input(net)
    images, targets = for_input(images, shape), as_targets(labels, net)
    count = len(images)
    if count != len(targets):
        raise DataError(f"{count} images, but {len(targets)} labels")
    if count == 0:
        raise DataError("no samples to evaluate, expected at least one")
    total = 0.0
    predictions = np.empty(count, np.int64)
    for start in range(0, count, batch):
        part = slice(start, min(start + batch, count))
        loss, classes = _score(net, as_dtype(images[part], dtype), targets[part])
        total += loss * (part.stop - start)
        if classes is not None:
            predictions[part] = classes
    if net.classes is None:
        return Evaluation(total / count, None, None, count)
    confusion = confusion_matrix(targets, predictions, net.classes)
    return Evaluation(total / count, int(confusion.trace()) / count, confusion, count)


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


def _score(
    net: Model, inputs: NDArray[Any], targets: NDArray[Any]
) -> tuple[float, NDArray[Any] | None]:
    """Mean loss and, for a classifier, predicted classes; in one pass where the model allows."""
    if net.classes is None:
        return net.loss(inputs, targets), None
    outputs = net(inputs)
    if isinstance(outputs, tuple):  # the model alone knows which of them its loss reads
        return net.loss(inputs, targets), net.predict(inputs)
    return _cross_entropy(outputs, targets), outputs.argmax(axis=1)


def _cross_entropy(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean of log(sum(exp(logits))) - logits[label], in float64."""
    with np.errstate(invalid="ignore"):  # infinite logits make a nan, which is the answer
        shifted = logits.astype(np.float64)
        shifted -= shifted.max(axis=1, keepdims=True)
        picked = np.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
        return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - picked))
