"""Statistics of a batch, whoever adds them up, are as exact as a mean and then centred squares.

With 16 lanes it is the kernels that store what a batch norm reads, for which the tensors are large
enough: direct sums with an op fused into them, pointwise ones by strips of rows, depthwise ones by
strips of channels, Winograd's, and the data gradient's loops, which are a transposed convolution's
own direction. With fewer lanes it is passes of their own, as in test_batchnorm; so this is about
the machine's own target.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import cnnc
from cnnc.diagnostics import Source
from cnnc.frontend import parse, resolve
from cnnc.ir.graph import Graph
from cnnc.ir.interpret import interpret
from cnnc.ops.batch_statistics import BatchStatistics
from cnnc.passes.differentiate import differentiate

TEXT = """
model net(classes=3) {
    input image: float32[3, 35, 33]
    conv(17, 3x3, pad=1) -> relu -> batchnorm
    conv(24, 1x1, bias=no) -> batchnorm -> relu
    depthwise(3x3, pad=1, bias=no) -> batchnorm -> relu
    conv(24, 2x2, bias=no) -> batchnorm -> relu
    conv(20, 3x3, pad=1) -> batchnorm -> relu
    conv_transpose(17, 3x3, pad=1) -> batchnorm
    depthwise(3x3, stride=2, pad=1)
    global_avgpool
    dense(classes)
}
train {
    loss cross_entropy
    optimizer sgd(lr=0.1)
}
"""


@cache
def step_graph() -> Graph:
    step = differentiate(resolve(parse(Source("net.cnn", TEXT)))).step
    assert step is not None
    return step


@pytest.fixture(scope="module")
def model_class(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("net") / "net.cnn"
    path.write_text(TEXT)
    return cnnc.compile(path)


def data(samples: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(samples)
    images = (1 + rng.standard_normal((samples, 3, 35, 33))).astype(np.float32)
    return images, rng.integers(0, 3, samples)


@cache
def reference(samples: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Values of a step in float64, and the parameters that it has."""
    rng = np.random.default_rng(seed)
    weights = {}
    for p in step_graph().parameters:
        low, high = (0.5, 1.5) if "batchnorm" in p.name else (-0.3, 0.3)
        weights[p.name] = rng.uniform(low, high, p.shape).astype(np.float32).astype(np.float64)
    images, labels = data(samples)
    share = np.full(samples, 1 / samples)
    feeds = {"image": images.astype(np.float64), "target": labels, "loss_grad": share}
    return interpret(step_graph(), feeds, weights), weights


def statistics(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean and variance of the batch, by the layer's name."""
    nodes = (node for node in step_graph().nodes if isinstance(node.op, BatchStatistics))
    return {node.layer: values[node.name] for node in nodes}


def measured(net: Any, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The same of a compiled net, from what a step makes of its running statistics."""
    views = {name: view for name, view in net.parameters.items() if "running" in name}
    for view in views.values():
        view[...] = 0
    net.train_step(images, labels)
    found: dict[str, np.ndarray] = {}
    for layer in {name.rpartition(".")[0] for name in views}:
        kept = net.parameters[f"{layer}.running_mean"], net.parameters[f"{layer}.running_var"]
        found[layer] = 10 * np.stack(kept).astype(np.float64)
    return found


@pytest.mark.parametrize("samples", [1, 15, 17, 33])
def test_statistics_and_gradients_equal_the_reference(model_class: Any, samples: int) -> None:
    values, weights = reference(samples, 3)
    net = model_class(seed=1)
    for name, view in net.parameters.items():
        view[...] = weights[name]
    images, labels = data(samples)
    net.compute_gradients(images, labels)
    largest = max(float(abs(values[node]).max()) for _, node in step_graph().gradients)
    for parameter, node in step_graph().gradients:
        apart = float(abs(net.gradients[parameter] - values[node]).max())
        # Where rounding takes a value across the edge of a relu, a gradient has a step.
        assert apart < 1e-2 * max(float(abs(values[node]).max()), 1e-3 * largest), parameter
    found = measured(net, images, labels)
    assert len(found) == 6
    for layer, (mean, variance) in statistics(values).items():
        count = samples * next(
            int(np.prod(node.shape[1:])) for node in step_graph().nodes if node.name == layer
        )
        unbiased = variance * count / (count - 1)
        np.testing.assert_allclose(found[layer][0], mean, atol=2e-6 * np.sqrt(variance).max())
        np.testing.assert_allclose(found[layer][1], unbiased, rtol=4e-6)


def first_layer(model_class: Any, images: np.ndarray, window: np.ndarray) -> np.ndarray:
    """(2, 17): mean and unbiased variance that the first layer's outputs are found to have."""
    net = model_class(seed=1)
    net.parameters["conv1.bias"][...] = 0
    net.parameters["conv1.weight"][...] = 0
    net.parameters["conv1.weight"][:, 0] = window
    return measured(net, images, np.zeros(len(images), np.int64))["batchnorm1"]


CENTRE = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)


@pytest.mark.parametrize("deviation", [1.0, 0.01])
def test_a_large_mean_loses_no_variance(model_class: Any, deviation: float) -> None:
    images, _ = data(33)
    images = (1000 + deviation * images).astype(np.float32)
    mean, variance = first_layer(model_class, images, CENTRE)
    seen = images[:, 0].astype(np.float64)
    np.testing.assert_allclose(mean, seen.mean(), rtol=3e-7)
    # Numbers near 1000 are 6e-5 apart: a mean that is rounded takes digits of the lesser variance.
    np.testing.assert_allclose(variance, seen.var(ddof=1), rtol=2e-6 if deviation == 1 else 5e-4)


def test_a_border_unlike_the_rest_loses_nothing(model_class: Any) -> None:
    images, _ = data(20)
    images = (1000 + 0.01 * images).astype(np.float32)
    images[:, :, 0, :4] = -300  # what the first tile reads
    images[7] += 500
    images = abs(images)
    mean, variance = first_layer(model_class, images, CENTRE)
    seen = images[:, 0].astype(np.float64)
    np.testing.assert_allclose(mean, seen.mean(), rtol=3e-7)
    np.testing.assert_allclose(variance, seen.var(ddof=1), rtol=2e-6)


def test_a_constant_channel_has_no_variance(model_class: Any) -> None:
    images = np.full((17, 3, 35, 33), 777.125, np.float32)
    mean, variance = first_layer(model_class, images, CENTRE)
    np.testing.assert_allclose(mean, 777.125, rtol=2e-7)
    assert (variance < 1e-9).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_lost(model_class: Any, value: float) -> None:
    images, _ = data(18)
    images[17, 0, 30, 20] = value
    mean, variance = first_layer(model_class, images, CENTRE)
    assert not np.isfinite(mean).any()
    assert np.isnan(variance).all()


def test_lanes_beyond_the_last_sample_count_nothing(model_class: Any) -> None:
    images, _ = data(17)
    images = abs(images)
    images[16] = 1e6  # would be every lane of the last block
    mean, variance = first_layer(model_class, images, CENTRE)
    seen = images[:, 0].astype(np.float64)
    np.testing.assert_allclose(mean, seen.mean(), rtol=3e-7)
    np.testing.assert_allclose(variance, seen.var(ddof=1), rtol=2e-6)


def test_results_do_not_depend_on_the_threads(model_class: Any) -> None:
    found = []
    for threads in (1, 2, 3):
        net = model_class(seed=1, threads=threads)
        for _ in range(2):
            net.train_step(*data(70))
        found.append({name: view.copy() for name, view in net.parameters.items()})
    for parameters in found[1:]:
        for name, view in parameters.items():
            np.testing.assert_array_equal(view, found[0][name], err_msg=name)
