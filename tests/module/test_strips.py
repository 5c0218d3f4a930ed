"""Networks whose segments go strip by strip, and that compute activations again: awkward shapes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from cnnc.compiled import Compiled
from cnnc.compiler import Options, compile_spec
from cnnc.ir.graph import Graph
from cnnc.ir.interpret import interpret
from cnnc.passes.differentiate import differentiate
from tests.flags import optimized
from tests.module.reference import Reference, close
from tests.ops.test_kernels import targets_by_lanes

TEXT = """
model strips(classes=4) {
    input image: float32[3, 62, 43]
    conv(17, 1x1) -> batchnorm -> relu
    depthwise(3x3, pad=1, bias=no) -> batchnorm -> relu
    conv(33, 1x1, bias=no) -> batchnorm -> relu
    depthwise(3x3, stride=2, pad=1) -> batchnorm
    shortcut = identity
    main = conv(33, 1x1) -> batchnorm -> relu
    add(main, shortcut) -> relu
    conv(7, 3x3) -> batchnorm -> relu
    global_avgpool
    dense(classes)
}
train {
    loss cross_entropy
    optimizer sgd(lr=0.1)
}
"""


# Planes of odd sizes that Winograd's tiles do not fill, which nothing cuts into strips.
PLANES = """
model planes(classes=4) {
    input image: float32[3, 62, 43]
    conv(17, 3x3, pad=1, bias=no) -> batchnorm -> relu
    conv(5, 3x3) -> batchnorm -> relu
    conv(6, 3x3, bias=no) -> batchnorm
    global_avgpool
    dense(classes)
}
train {
    loss cross_entropy
    optimizer sgd(lr=0.1)
}
"""

# Channels that fill registers, whose weight gradients are matrix products in short strips. So many
# activations would have some near 0, where rounding decides what a rectifier does.
PRODUCTS = """
model products(classes=4) {
    input image: float32[3, 62, 43]
    conv(32, 1x1, bias=no) -> batchnorm -> tanh
    conv(48, 1x1, bias=no) -> batchnorm -> tanh
    depthwise(3x3, pad=1, bias=no) -> batchnorm -> tanh
    conv(20, 1x1) -> batchnorm -> tanh
    global_avgpool
    dense(classes)
}
train {
    loss cross_entropy
    optimizer sgd(lr=0.1)
}
"""

EACH = targets_by_lanes()
NETWORKS = [
    pytest.param((text, target, algorithm), id=f"<{name}-{target}-{algorithm}>")
    for name, text, algorithm, targets in (
        ("strips", TEXT, "winograd", EACH),
        ("planes", PLANES, "winograd", EACH),
        ("products", PRODUCTS, "matmul", EACH[:1]),
        ("planes", PLANES, "winograd4", EACH[:1]),
    )
    for target in targets
]


@pytest.fixture(scope="module", params=NETWORKS)
def compiled(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Compiled:
    text, target, algorithm = request.param
    path = tmp_path_factory.mktemp("strips") / "strips.cnn"
    path.write_text(text)
    with optimized(target) if text == TEXT else nullcontext():
        return compile_spec(path, options=Options(target, algorithm=algorithm, alone=0))


@pytest.fixture(scope="module")
def graph(compiled: Compiled) -> Graph:
    return compiled.graph


@pytest.fixture(scope="module")
def model_class(compiled: Compiled) -> Any:
    return compiled.load().Model


def data(samples: int) -> tuple[np.ndarray, np.ndarray]:
    # Numbers that leave no activation so near to 0 that rounding decides whether relu passes it.
    rng = np.random.default_rng([1, samples])
    images = rng.standard_normal((samples, 3, 62, 43)).astype(np.float32)
    return images, rng.integers(0, 4, samples)


def reference_step(graph: Graph, net: Any, samples: int) -> tuple[float, dict[str, np.ndarray]]:
    """The loss and the gradients of `data`; those of a network are the same for every target."""
    first = b"".join(view.tobytes() for view in net.parameters.values())
    key = (graph.name, samples, hash(first))
    if key not in _STEPS:
        images, labels = data(samples)
        _STEPS[key] = Reference(graph, net).gradients(images, target=labels)
    return _STEPS[key]


_STEPS: dict[tuple[str, int, int], tuple[float, dict[str, np.ndarray]]] = {}


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 33])
def test_a_step_in_strips_equals_its_reference(
    graph: Graph, model_class: Any, samples: int
) -> None:
    net = model_class(seed=1, threads=1)
    loss, gradients = reference_step(graph, net, samples)
    images, labels = data(samples)
    assert net.train_step(images, labels) == pytest.approx(loss, rel=1e-5)
    for name, wanted in gradients.items():
        # A bias in front of a batchnorm has no gradient: what is left is rounding.
        scale = max(float(abs(wanted).max()), 1e-2)
        assert float(abs(net.gradients[name] - wanted).max()) < 2e-4 * scale, name


@pytest.mark.parametrize("samples", [1, 16, 33])
def test_outputs_of_blocks_equal_their_reference(
    graph: Graph, model_class: Any, samples: int
) -> None:
    net = model_class(seed=1, threads=1)
    images, labels = data(samples)
    net.train_step(images, labels)  # statistics that are folded into the kernels
    share = np.full(samples, 1 / samples)
    feeds = {"image": images.astype(np.float64), "target": labels, "loss_grad": share}
    parameters = {name: view.astype(np.float64) for name, view in net.parameters.items()}
    (output,) = graph.outputs
    close(net(images), interpret(differentiate(graph), feeds, parameters)[output.tensor])


def test_strips_give_the_same_bits_for_any_number_of_threads(model_class: Any) -> None:
    images, labels = data(33)
    results = []
    for threads in (1, 2):
        net = model_class(seed=1, threads=threads)
        net.train_step(images, labels)
        net.train_step(images, labels)
        results.append({name: view.copy() for name, view in net.parameters.items()})
    for name, view in results[0].items():
        assert np.array_equal(view, results[1][name]), name


def test_what_is_kept_in_caches_or_past_them_is_the_same(
    model_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = data(33)
    results = []
    for level3 in (0, 1 << 40):
        monkeypatch.setenv("CNNC_LEVEL3", str(level3))
        net = model_class(seed=1, threads=2)
        net.train_step(images, labels)
        net.train_step(images, labels)
        results.append({name: view.copy() for name, view in net.parameters.items()})
    for name, view in results[0].items():
        assert np.array_equal(view, results[1][name]), name


@pytest.mark.parametrize("value", ["", "much", "-1", "4M"])
def test_a_cache_of_no_size_is_an_error(
    model_class: Any, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNNC_LEVEL3", value)
    with pytest.raises(ValueError, match="CNNC_LEVEL3"):
        model_class(seed=1)


def test_a_nan_in_a_strip_reaches_the_loss_and_every_gradient_behind_it(model_class: Any) -> None:
    net = model_class(seed=1, threads=1)
    images, labels = data(17)
    images[16, 0, 61, 42] = np.nan
    assert np.isnan(net.train_step(images, labels))
    assert np.isnan(net.gradients["dense1.weight"]).any()
