"""specs/lenet.cnn as a whole: float64 gradients, and one real epoch on MNIST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.compiled import Compiled
from cnnc.compiler import compile_spec
from cnnc.ir.interpret import interpret
from cnnc.passes.differentiate import differentiate
from cnnc.runtime import evaluate, fit, load_dataset

SPEC = Path(__file__).resolve().parents[1] / "specs" / "lenet.cnn"


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_spec(SPEC)


@pytest.fixture(scope="module")
def module(compiled: Compiled) -> Any:
    return compiled.load()


def batch(samples: int) -> tuple[np.ndarray, np.ndarray]:
    data = load_dataset("mnist")
    images = np.ascontiguousarray(data.train_images[:samples]).reshape(-1, 1, 28, 28)
    return images, data.train_labels[:samples].astype(np.int64)


def test_compiled_gradients_are_the_slopes_of_the_float64_reference(
    compiled: Compiled, module: Any
) -> None:
    model = module.Model(seed=2)
    images, labels = batch(5)
    rng = np.random.default_rng(0)
    for name, array in model.parameters.items():
        if name.endswith("bias"):
            # A bias of 0 puts every empty corner of an image on the rectifier's kink.
            array[...] = rng.uniform(0.01, 0.1, array.shape)
    weights = {name: array.astype(np.float64) for name, array in model.parameters.items()}
    grad = differentiate(compiled.graph)
    feeds = {"image": images, "target": labels, "loss_grad": np.full(5, 0.2)}
    model.compute_gradients(images, labels)

    def mean_loss(moved: dict[str, np.ndarray]) -> float:
        return float(interpret(grad, feeds, moved)[grad.losses[0]].mean())

    for name, array in weights.items():
        largest = float(abs(model.gradients[name]).max())
        for flat in rng.integers(0, array.size, 4):
            place = np.unravel_index(int(flat), array.shape)
            sides = []
            for step in (1e-6, -1e-6):
                moved = {key: value.copy() for key, value in weights.items()}
                moved[name][place] += step
                sides.append(mean_loss(moved))
            slope = (sides[0] - sides[1]) / 2e-6
            assert model.gradients[name][place] == pytest.approx(slope, abs=1e-4 * largest)


def test_one_epoch_on_mnist_learns_the_digits(module: Any) -> None:
    data = load_dataset("mnist")
    model = module.Model(seed=0)
    history = fit(model, data, epochs=1)
    assert history[0].test_accuracy is not None
    assert history[0].test_accuracy > 0.975
    found = evaluate(model, data.test_images, data.test_labels)
    assert found.accuracy == history[0].test_accuracy
    images, labels = data.test_images[:1000], data.test_labels[:1000]
    part = evaluate(model, images, labels)
    loss = model.loss(images.reshape(-1, 1, 28, 28).copy(), labels)
    assert part.loss == pytest.approx(loss, rel=1e-5)
