"""A stand-in for compiled models: softmax regression in plain NumPy, with their interface."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.runtime import Dataset


def plain_target(classes):
    """What a compiled model says of the target of a plain cross_entropy of its output dense1."""
    return {
        "output": "dense1",
        "shape": (),
        "classes": classes,
        "loss": "cross_entropy",
        "weight": 1.0,
        "label_smoothing": 0.0,
        "class_weights": None,
        "ignore_index": None,
    }


class SoftmaxRegression:
    """Flatten, scale, dense, cross_entropy, sgd; refuses what compiled models refuse."""

    name = "softmax"

    def __init__(self, shape=(1, 4, 4), classes=3, dtype="uint8", learning_rate=0.5):
        self.input_shapes = {"image": shape}
        self.input_dtypes = {"image": dtype}
        self.output_shapes = {"dense1": (classes,)}
        self.classes: int | None = classes
        self.targets = {"target": plain_target(classes)}
        self.training: dict[str, Any] | None = {"batch": 16, "epochs": 2, "seed": 0}
        self.learning_rate = learning_rate
        self.weight = np.zeros((classes, int(np.prod(shape))), np.float32)
        self.bias = np.zeros(classes, np.float32)
        self.batches: list[int] = []

    def _flat(self, images):
        (shape,), (dtype,) = self.input_shapes.values(), self.input_dtypes.values()
        if images.dtype != np.dtype(dtype):
            raise TypeError(f"image is {images.dtype}, expected {dtype}")
        if images.shape[1:] != shape or not images.flags.c_contiguous:
            raise ValueError(f"image has shape {images.shape}, expected {shape}")
        return images.reshape(len(images), -1).astype(np.float32) / 255

    def __call__(self, images):
        return self._flat(images) @ self.weight.T + self.bias

    def predict(self, images):
        return self(images).argmax(axis=1)

    def _probabilities(self, images):
        logits = self(images)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def loss(self, images, labels):
        assert labels.dtype == np.int64
        return float(-np.log(self._probabilities(images)[np.arange(len(labels)), labels]).mean())

    def train_step(self, images, labels):
        self.batches.append(len(images))
        loss = self.loss(images, labels)
        slope = self._probabilities(images)
        slope[np.arange(len(labels)), labels] -= 1
        slope /= len(labels)
        self.weight -= self.learning_rate * slope.T @ self._flat(images)
        self.bias -= self.learning_rate * slope.sum(axis=0)
        return loss


def stripes(count, rng):
    """Images (n, 4, 4) with noise and one bright row, the label."""
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 60, (count, 4, 4), dtype=np.uint8)
    images[np.arange(count), labels] += 150
    return images, labels


@pytest.fixture
def make_net():
    return SoftmaxRegression


@pytest.fixture
def net():
    return SoftmaxRegression()


@pytest.fixture
def striped():
    rng = np.random.default_rng(7)
    return Dataset("stripes", *stripes(100, rng), *stripes(40, rng))
