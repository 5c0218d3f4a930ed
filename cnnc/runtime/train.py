"""A model and a Dataset -> a trained model, and the History of its epochs.

The optimizer, its learning rate and the loss are compiled into the model; this loop feeds it.
Saves nothing: after an interrupt the model holds the weights of its last step.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.runtime.dataset import Dataset
from cnnc.runtime.errors import DataError, TrainingError
from cnnc.runtime.history import EpochResult, History
from cnnc.runtime.inputs import Arrays, as_inputs, as_targets
from cnnc.runtime.metrics import evaluate
from cnnc.runtime.model import Model
from cnnc.runtime.progress import Progress, Silence, choose_progress
from cnnc.runtime.schedule import SCHEDULES
from cnnc.runtime.shuffle import batches, epoch_bits


def fit(
    net: Model,
    dataset: Dataset,
    *,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    schedule: str | None = None,
    progress: Progress | bool | None = None,
    on_epoch: Callable[[EpochResult], object] | None = None,
    training_accuracy: bool = False,
) -> History:
    """Train a model on a data set, testing it after every epoch.

    Epochs, batch, seed and schedule are those of the spec's train block unless given. The order of
    the samples in epoch k depends on the seed and k alone; the last batch may be smaller.
    A data set of several inputs or targets has them by name.
    The schedule ("constant", "linear", "cosine") leads net.learning_rate down from its value at the
    start, which it has again in the end.
    `progress=True` shows a bar or lines on standard output. `training_accuracy` measures
    EpochResult.accuracy too. KeyboardInterrupt, and whatever `on_epoch` raises, pass through.

    Raises DataError for data that do not fit the model, ValueError for settings out of range and
    TrainingError for a model without a train block or a loss that is no longer finite.
    """
    given: object = dataset
    if not isinstance(given, Dataset):
        kind = type(given).__name__
        raise TypeError(f"dataset: expected a Dataset, as load_dataset gives, got {kind}")
    settings = _settings(net, schedule, epochs=epochs, batch=batch, seed=seed)
    train = _Samples.of(net, dataset, "train", settings.batch)
    test = _Samples.of(net, dataset, "test", settings.batch)
    if not train.count:
        raise DataError(f"{dataset.name}: no training samples, expected at least one")
    reporter = _reporter(progress)
    history: History = []
    base = net.learning_rate
    try:
        reporter.start(settings.epochs, train.count)
        for epoch in range(1, settings.epochs + 1):
            started = time.perf_counter()
            loss, rate = _train_epoch(net, train, settings, base, epoch, reporter)
            accuracy = train.measure(net)[1] if training_accuracy else None
            test_loss, test_accuracy = test.measure(net)
            seconds = time.perf_counter() - started
            history.append(
                EpochResult(epoch, loss, accuracy, test_loss, test_accuracy, rate, seconds)
            )
            reporter.finish_epoch(history[-1])
            if on_epoch:
                on_epoch(history[-1])
    finally:
        net.learning_rate = base
        reporter.close()
    return history


@dataclass(frozen=True, slots=True)
class _Settings:
    epochs: int
    batch: int
    seed: int
    schedule: str

    def rate(self, base: float, epoch: int, done: int, count: int) -> float:
        """The learning rate once `done` of an epoch's samples have been used."""
        progress = (epoch - 1 + done / count) / self.epochs
        return base * SCHEDULES[self.schedule](progress)


def _settings(net: Model, schedule: str | None, **given: int | None) -> _Settings:
    """The settings given, those of the train block elsewhere."""
    if not hasattr(net, "training"):
        raise TypeError(f"net: expected a compiled model, got {type(net).__name__}")
    training = net.training
    if training is None:
        raise TrainingError(
            f"{net.name} was compiled without a train block, so it cannot be trained"
        )
    chosen = {
        name: operator.index(training.get(name, 0) if value is None else value)
        for name, value in given.items()
    }
    for name, least in (("epochs", 0), ("batch", 1), ("seed", 0)):
        if chosen[name] < least:
            raise ValueError(f"{name} is {chosen[name]}, expected at least {least}")
    name = schedule or str(training.get("schedule", "constant"))
    if name not in SCHEDULES:
        raise ValueError(f"schedule is {name!r}, expected one of {', '.join(SCHEDULES)}")
    return _Settings(**chosen, schedule=name)


def _reporter(progress: Progress | bool | None) -> Progress:
    if isinstance(progress, bool) or progress is None:
        return choose_progress() if progress else Silence()
    return progress


class _Feed:
    """The samples of one input, gathered into one reused buffer."""

    def __init__(self, samples: NDArray[Any], dtype: str, batch: int) -> None:
        wanted, shape = np.dtype(dtype), samples.shape[1:]
        self.samples = samples
        # uint8 images for a float32 input are converted by the batch: a quarter of the memory
        self._gathered = np.empty((batch, *shape), samples.dtype)
        same = samples.dtype == wanted
        self._inputs = self._gathered if same else np.empty((batch, *shape), wanted)

    def gather(self, index: NDArray[np.intp]) -> NDArray[Any]:
        """A batch; it is overwritten by the next call."""
        gathered, inputs = self._gathered[: len(index)], self._inputs[: len(index)]
        # mode="clip" lets take write to `out` directly; the indices are in range by construction
        np.take(self.samples, index, axis=0, out=gathered, mode="clip")
        if inputs is not gathered:
            np.copyto(inputs, gathered, casting="same_kind")
        return inputs


class _Samples:
    """Samples that fit a model's inputs and losses."""

    @classmethod
    def of(cls, net: Model, dataset: Dataset, part: str, batch: int) -> _Samples:
        """The samples of one part ("train", "test"). Raises DataError where they do not fit."""
        try:
            images = getattr(dataset, f"{part}_images")
            return cls(net, images, getattr(dataset, f"{part}_labels"), batch)
        except DataError as error:
            raise DataError(f"{dataset.name}: {part}: {error}") from None

    def __init__(self, net: Model, images: Arrays, labels: Arrays, batch: int) -> None:
        inputs = as_inputs(images, net)
        self.count = len(next(iter(inputs.values())))
        batch = min(batch, max(self.count, 1))
        self._feeds = {
            name: _Feed(samples, net.input_dtypes[name], batch) for name, samples in inputs.items()
        }
        self._targets = as_targets(labels, net)

    def gather(self, index: NDArray[np.intp]) -> list[NDArray[Any]]:
        """Inputs and targets of a batch; the inputs are overwritten by the next call."""
        inputs = [feed.gather(index) for feed in self._feeds.values()]
        return [*inputs, *(target[index] for target in self._targets.values())]

    def not_finite(self, index: NDArray[np.intp]) -> str | None:
        """Which array of which sample is not finite as the model gets it, if one is.

        A batch that made the loss so comes first; but an activation may have swallowed the NaN of
        an earlier one, whose gradient then spoilt the weights.
        """
        parts = np.array_split(np.arange(self.count), -(-self.count // len(index)))
        names = [*self._feeds, *self._targets]
        for part in (index, *parts):
            for name, array in zip(names, self.gather(part), strict=True):
                wrong = ~np.isfinite(array).reshape(len(part), -1).all(axis=1)
                if wrong.any():
                    return f"{name} of training sample {part[wrong][0]}"
        return None

    def measure(self, net: Model) -> tuple[float | None, float | None]:
        """Mean loss and accuracy over all samples; None where there are none."""
        if not self.count:
            return None, None
        images = {name: feed.samples for name, feed in self._feeds.items()}
        figures = evaluate(net, images, self._targets)
        return figures.loss, figures.accuracy


def _train_epoch(
    net: Model,
    samples: _Samples,
    settings: _Settings,
    base: float,
    epoch: int,
    reporter: Progress,
) -> tuple[float, float]:
    """Mean loss and samples per second of one pass over the samples."""
    count = samples.count
    started = time.perf_counter()
    total, done, rate = 0.0, 0, 0.0
    order = batches(count, settings.batch, epoch_bits(settings.seed, epoch))
    for step, index in enumerate(order, 1):
        net.learning_rate = settings.rate(base, epoch, done, count)
        loss = net.train_step(*samples.gather(index))
        if not math.isfinite(loss):
            raise _diverged(net, loss, epoch, step, samples.not_finite(index))
        total += loss * len(index)
        done += len(index)
        rate = done / (time.perf_counter() - started)
        reporter.step(epoch, done, total / done, rate)
    return total / count, rate


def _diverged(net: Model, loss: float, epoch: int, step: int, culprit: str | None) -> TrainingError:
    if culprit is not None:
        hint = f"{culprit} has values that are not finite"
    elif epoch == step == 1:
        hint = "this is the first step: look for input values that are not scaled"
    else:
        hint = f"try a learning rate below {net.learning_rate:g}"
    return TrainingError(f"the loss became {loss} at step {step} of epoch {epoch}; {hint}")
