"""Dropout in compiled models: what training drops, for any threads, and inference never."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.ir.graph import Graph
from cnnc.ir.interpret import interpret
from cnnc.ops.op import Input
from cnnc.ops.random_words import random_words
from cnnc.ops.shapes import Array
from cnnc.passes.differentiate import differentiate
from tests.module.conftest import Case, Compile
from tests.module.reference import close

# Every kind of it: on an image with a halo behind it, of channels, flat, twice in a row.
SHAKEN = """
model shaken {
    input image: float32[3, 7, 5]
    conv(5, 3x3, pad=1) -> relu -> dropout(0.3)
    conv(17, 3x3, pad=1) -> channel_dropout(0.4) -> relu
    kept = dropout(0.2)
    kept -> flatten -> dense(9) -> dropout(0.25) -> dropout(0.5) -> relu
    dense(4)
}
train { loss cross_entropy; optimizer sgd(lr=0.1) }
"""

# What is dropped can be read off the gradient: the weight of each feature is its own.
SIEVE = """
model sieve {
    input x: float32[400]
    prelu(init=1) -> dropout(0.3)
}
train { loss l1; optimizer sgd(lr=0) }
"""


@pytest.fixture(scope="module")
def shaken(compiled: Compile) -> Case:
    done = compiled(SHAKEN)
    return Case(done, done.load())


@pytest.fixture(scope="module")
def sieve(compiled: Compile) -> Case:
    done = compiled(SIEVE)
    return Case(done, done.load())


def reference(case: Case, net: Any, image: Array, labels: Array, words: Array) -> Any:
    """Loss and gradients of a training step with these random words, in float64."""
    step = differentiate(case.compiled.graph).step
    assert step is not None
    feeds = {"image": image.astype(np.float64), "target": labels}
    feeds["loss_grad"] = np.full(len(labels), 1 / len(labels))
    feeds[_random(step)] = words
    weights = {name: view.astype(np.float64) for name, view in net.parameters.items()}
    values = interpret(step, feeds, weights)
    return float(values[step.losses[0]].mean()), {p: values[node] for p, node in step.gradients}


def _random(step: Graph) -> str:
    (name,) = [n.name for n in step.inputs() if isinstance(n.op, Input) and n.op.dtype == "random"]
    return name


@pytest.mark.parametrize("samples", [1, 16, 33, 100])
def test_a_step_equals_the_reference_with_the_same_random_words(shaken: Case, samples: int) -> None:
    net = shaken.model(seed=11, threads=2)
    for step in (1, 2, 3):
        (image,), labels = shaken.inputs(samples, step), shaken.target(samples, step)
        words = random_words(11, step, samples)
        wanted, grads = reference(shaken, net, image, labels, words)
        take = net.train_step if step == 2 else net.compute_gradients
        assert take(image, labels) == pytest.approx(wanted, rel=1e-5)
        for name, grad in grads.items():
            close(net.gradients[name], grad, 2e-5)


def test_inference_drops_nothing(shaken: Case) -> None:
    net = shaken.model(seed=3)
    (image,), labels = shaken.inputs(40), shaken.target(40)
    (wanted,) = shaken.reference(net).outputs(image)
    close(net(image), wanted)
    log = wanted - np.log(np.exp(wanted).sum(axis=1, keepdims=True))
    loss = net.loss(image, labels)
    assert loss == pytest.approx(-log[np.arange(40), labels].mean(), rel=1e-5)
    before = net(image)
    assert net.compute_gradients(image, labels) != pytest.approx(loss, rel=1e-3)
    np.testing.assert_array_equal(net(image), before)
    assert net.loss(image, labels) == loss


def _trained(case: Case, threads: int, seed: int = 1) -> tuple[list[float], list[Array]]:
    net = case.model(seed=seed, threads=threads)
    losses = [net.train_step(*case.inputs(100, k), case.target(100, k)) for k in range(4)]
    return losses, [view.copy() for view in net.parameters.values()]


def test_the_same_is_dropped_for_any_number_of_threads(shaken: Case) -> None:
    losses, parameters = _trained(shaken, 1)
    for threads in (2, 3, 7):
        again = _trained(shaken, threads)
        assert again[0] == losses
        for left, right in zip(again[1], parameters, strict=True):
            np.testing.assert_array_equal(left, right)


def _first(case: Case, seed: int, steps: int = 1) -> Array:
    """What each of the first steps of a model of that seed keeps of one sample: (steps, 400)."""
    net = case.module.Model(seed=seed)
    x = np.full((1, 400), -1, np.float32)  # where prelu's slope is its weight
    found = []
    for _ in range(steps):
        net.compute_gradients(x, np.zeros_like(x))
        found.append(net.gradients["prelu1.weight"] != 0)
    return np.array(found)


def test_every_step_and_every_seed_drops_something_else(sieve: Case) -> None:
    kept = np.concatenate([_first(sieve, seed, 20) for seed in range(5)])
    np.testing.assert_array_equal(_first(sieve, 0, 20), kept[:20])
    # 100 masks of 400: 0.7 are kept, and two agree by chance alone, in 0.7^2 + 0.3^2.
    assert kept.mean() == pytest.approx(0.7, abs=4 * (0.21 / kept.size) ** 0.5)
    agree = (kept[:, None] == kept[None]).mean(axis=2)[~np.eye(100, dtype=bool)]
    assert agree.mean() == pytest.approx(0.58, abs=0.01)
    assert agree.max() < 0.75
    # Features are dropped independently: each has its share over the steps.
    assert abs(kept.mean(axis=0) - 0.7).max() < 5 * (0.21 / 100) ** 0.5


def test_samples_drop_differently_and_the_mean_stays(sieve: Case) -> None:
    net = sieve.module.Model(seed=8)
    x = np.full((160, 400), -1, np.float32)
    net.compute_gradients(x, np.ones_like(x))
    # prelu's gradient: the mean over samples of what was kept, scaled, over the features' number.
    scaled = net.gradients["prelu1.weight"] * 400
    assert scaled.mean() == pytest.approx(1, abs=0.02)
    assert len(np.unique(np.round(scaled, 4))) > 10  # each feature is kept by other samples


def test_a_step_that_changes_nothing_still_counts_as_a_draw(sieve: Case) -> None:
    left, right = sieve.module.Model(seed=2), sieve.module.Model(seed=2)
    x = np.full((1, 400), -1, np.float32)
    target = np.zeros_like(x)
    left.train_step(x, target)
    right.compute_gradients(x, target)
    left.loss(x, target)  # draws nothing
    left(x)
    left.train_step(x, target)
    right.train_step(x, target)
    np.testing.assert_array_equal(left.gradients["prelu1.weight"], right.gradients["prelu1.weight"])


def test_inputs_that_do_not_fit_draw_nothing(sieve: Case) -> None:
    left, right = sieve.module.Model(seed=2), sieve.module.Model(seed=2)
    x = np.full((1, 400), -1, np.float32)
    with pytest.raises(ValueError, match="target"):
        left.train_step(x, x[:, :5])
    for net in (left, right):
        net.train_step(x, np.zeros_like(x))
    np.testing.assert_array_equal(left.gradients["prelu1.weight"], right.gradients["prelu1.weight"])
