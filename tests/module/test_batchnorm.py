"""batchnorm: exact statistics of the whole batch in training, the running ones in inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnc
from cnnc.diagnostics import Source
from cnnc.frontend import parse, resolve
from cnnc.ir.graph import Graph
from cnnc.ir.interpret import interpret
from cnnc.ir.verify import verify_graph
from cnnc.ops.batch_statistics import BatchStatistics
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from tests.ops.test_kernels import targets_by_lanes

TEXT = """
model bn(classes=4) {
    input image: float32[3, 7, 5]
    conv(8, 3x3, pad=1, bias=no) -> batchnorm -> relu
    shortcut = conv(17, 1x1) -> batchnorm(affine=no)
    conv(17, 3x3, pad=1) -> batchnorm(momentum=0.3, eps=0.01)
    main = relu
    add(main, shortcut)
    flatten
    dense(9) -> batchnorm -> relu
    dense(classes)
}
train {
    loss cross_entropy
    optimizer sgd(lr=0.1)
}
"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return resolve(parse(Source("bn.cnn", TEXT)))


@pytest.fixture(scope="module", params=targets_by_lanes())
def model_class(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    path = tmp_path_factory.mktemp("bn") / "bn.cnn"
    path.write_text(TEXT)
    return cnnc.compile(path, target=request.param)


def data(samples: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(samples)
    images = (3 + 2 * rng.standard_normal((samples, 3, 7, 5))).astype(np.float32)
    return images, rng.integers(0, 4, samples)


def shaken(net: Any) -> dict[str, np.ndarray]:
    """Parameters away from 0 and 1, written into the net; the same in float64."""
    rng = np.random.default_rng(7)
    for name, view in net.parameters.items():
        if name.endswith(("bias", "running_mean")) or "batchnorm" in name:
            view[...] = rng.uniform(0.5, 1.5, view.shape)
    return {name: view.astype(np.float64) for name, view in net.parameters.items()}


def feeds_of(samples: int) -> dict[str, np.ndarray]:
    images, labels = data(samples)
    share = np.full(samples, 1 / samples)
    return {"image": images.astype(np.float64), "target": labels, "loss_grad": share}


def close(found: np.ndarray, wanted: np.ndarray, what: str, tolerance: float = 1e-4) -> None:
    scale = max(float(abs(wanted).max()), 1e-3)
    assert float(abs(found - wanted).max()) < tolerance * scale, what


def test_gradients_are_the_slopes_of_the_loss_with_the_statistics_of_the_batch(
    graph: Graph, model_class: Any
) -> None:
    step = verify_graph(fuse(differentiate(graph))).step
    assert step is not None
    weights, feeds = shaken(model_class()), feeds_of(5)

    def mean_loss(moved: dict[str, np.ndarray]) -> float:
        return float(interpret(step, feeds, moved)[step.losses[0]].mean())

    values = interpret(step, feeds, weights)
    assert {p for p, _ in step.gradients} == {p.name for p in graph.parameters if p.trained}
    for parameter, node in step.gradients:
        for flat in {0, weights[parameter].size // 2, weights[parameter].size - 1}:
            place = np.unravel_index(flat, weights[parameter].shape)
            sides = []
            for move in (1e-6, -1e-6):
                moved = {name: array.copy() for name, array in weights.items()}
                moved[parameter][place] += move
                sides.append(mean_loss(moved))
            slope = (sides[0] - sides[1]) / 2e-6
            assert values[node][place] == pytest.approx(slope, rel=1e-4, abs=1e-7), parameter


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 33, 100])
def test_a_compiled_step_equals_its_reference_whatever_the_blocks(
    graph: Graph, model_class: Any, samples: int
) -> None:
    step = differentiate(graph).step
    assert step is not None
    net = model_class(seed=1)
    weights = shaken(net)
    values = interpret(step, feeds_of(samples), weights)
    images, labels = data(samples)
    before = {name: view.copy() for name, view in net.parameters.items()}
    loss = net.compute_gradients(images, labels)
    assert loss == pytest.approx(float(values[step.losses[0]].mean()), rel=1e-4)
    largest = max(float(abs(values[node]).max()) for _, node in step.gradients)
    for parameter, node in step.gradients:
        difference = float(abs(net.gradients[parameter] - values[node]).max())
        # Of one sample nothing is left behind the last batch norm but rounding.
        scale = max(float(abs(values[node]).max()), (1e-3 if samples > 1 else 1) * largest)
        assert difference < 1e-3 * scale, parameter
    for name, view in net.parameters.items():
        np.testing.assert_array_equal(view, before[name])  # compute_gradients changes nothing


def test_a_step_moves_the_running_statistics_towards_those_of_the_batch(
    graph: Graph, model_class: Any
) -> None:
    step = differentiate(graph).step
    assert step is not None
    net = model_class(seed=1)
    weights = shaken(net)
    values = interpret(step, feeds_of(33), weights)
    net.train_step(*data(33))
    checked = 0
    for node in step.nodes:
        if not isinstance(node.op, BatchStatistics):
            continue
        source = next(n for n in step.nodes if n.name == node.inputs[0])
        count = 33 * int(np.prod(source.shape[1:]))
        old = [weights[name] for name in node.parameters]
        wanted = node.op.running(values[node.name], *old, count)
        for name, value in zip(node.parameters, wanted, strict=True):
            close(net.parameters[name], value, name)
            checked += 1
    assert checked == 8


@pytest.mark.parametrize("samples", [0, 1, 17, 33])
def test_inference_takes_the_running_statistics(
    graph: Graph, model_class: Any, samples: int
) -> None:
    net = model_class(seed=1)
    weights = shaken(net)
    images, labels = data(samples)
    wanted = interpret(graph, {"image": images.astype(np.float64)}, weights)
    output = wanted[graph.outputs[0].tensor]
    found = net(images)
    assert found.shape == (samples, 4)
    if samples:
        close(found, output, "outputs")
        loss = -np.log(np.exp(output) / np.exp(output).sum(1, keepdims=True))
        expected = loss[np.arange(samples), labels].mean()
        assert net.loss(images, labels) == pytest.approx(expected, rel=1e-4)


def test_results_do_not_depend_on_the_threads(model_class: Any) -> None:
    found = []
    for threads in (1, 2, 3):
        net = model_class(seed=1, threads=threads)
        losses = [net.train_step(*data(100)) for _ in range(3)]
        found.append((losses, {name: view.copy() for name, view in net.parameters.items()}))
    for losses, parameters in found[1:]:
        assert losses == found[0][0]
        for name, view in parameters.items():
            np.testing.assert_array_equal(view, found[0][1][name])


def test_statistics_are_saved_and_no_gradient(model_class: Any, tmp_path: Path) -> None:
    net = model_class(seed=1)
    net.train_step(*data(40))
    assert not any("running" in name for name in net.gradients)
    assert net.num_parameters == sum(view.size for view in net.gradients.values())
    net.save(tmp_path / "bn.safetensors")
    again = model_class.load(tmp_path / "bn.safetensors")
    images, _ = data(5)
    np.testing.assert_array_equal(net(images), again(images))
    assert abs(net.parameters["batchnorm1.running_mean"]).min() > 0


def test_large_means_lose_no_variance(model_class: Any) -> None:
    net = model_class(seed=1)
    images, labels = data(64)
    images = images / 100 + 1000
    weight = net.parameters["conv1.weight"]
    weight[...] = 0
    weight[:, 0, 1, 1] = 1  # each channel is the first one of the image
    net.train_step(images, labels)
    variance = images[:, 0].astype(np.float64).var(ddof=1)
    found = (net.parameters["batchnorm1.running_var"] - 0.9) / 0.1
    np.testing.assert_allclose(found, variance, atol=0.02 * variance + 1e-4)
