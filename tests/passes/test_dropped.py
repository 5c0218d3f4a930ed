"""Dropout behind rectifiers and before views: fused both ways, and no value changes by it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from cnnc.diagnostics import Source
from cnnc.frontend import parse, resolve
from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import interpret
from cnnc.ir.verify import verify_graph
from cnnc.ops.dropout_mask import DropoutMask
from cnnc.ops.op import Gradient, Input
from cnnc.ops.shapes import Array
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse

# Behind each rectifier what follows it is read by one, by several, or by a view; some rectifiers
# are read by others than dropout, and one has a slope that turns signs.
NETWORK = """
model shaken {
    input image: float32[3, 6, 6]
    conv(4, 3x3, pad=1) -> relu -> dropout(0.3)
    conv(4, 3x3, pad=1) -> leaky_relu(0.1) -> channel_dropout(0.4)
    conv(4, 3x3, pad=1) -> leaky_relu(-0.5) -> dropout(0.4)
    a = conv(4, 1x1) -> relu
    b = a -> dropout(0.2)
    c = add(a, b) -> relu -> dropout(0.1)
    d = c -> conv(4, 1x1) -> relu6 -> dropout(0.3)
    add(c, d) -> relu -> dropout(0.2) -> dropout(0.3)
    maxpool(2x2) -> dropout(0.25) -> tanh -> flatten -> dropout(0.1)
    dense(5) -> batchnorm -> relu -> channel_dropout(0.5) -> identity -> dense(3)
}
train { loss mse; optimizer sgd(lr=0.1) }
"""


def step_of(text: str) -> Graph:
    graph = differentiate(verify_graph(resolve(parse(Source("net.cnn", text)))))
    assert graph.step is not None
    return verify_graph(graph).step or graph.step


def values_of(step: Graph, samples: int = 5) -> Mapping[str, Array]:
    """Everything that a step computes, in float64."""
    rng = np.random.default_rng(4)
    feeds: dict[str, Array] = {}
    for node in step.inputs():
        assert isinstance(node.op, Input)
        shape = (samples, *node.shape)
        feeds[node.name] = rng.standard_normal(shape)
        if node.op.dtype == "random":
            feeds[node.name] = rng.integers(0, 2**32, shape, dtype=np.uint32)
        if node.op.dtype == "live":
            feeds[node.name] = np.ones(shape)
    weights = {p.name: abs(rng.standard_normal(p.shape)) - 0.7 * p.trained for p in step.parameters}
    return interpret(step, feeds, weights)


def test_no_gradient_changes_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of(NETWORK)
    monkeypatch.setattr("cnnc.passes.differentiate.prepare_dropout", lambda graph: graph)
    plain = step_of(NETWORK)
    assert plain.nodes != step.nodes
    found, wanted = values_of(step), values_of(plain)
    assert step.gradients == plain.gradients
    for parameter, name in step.gradients:
        assert np.array_equal(found[name], wanted[name]), parameter
        assert np.any(found[name]), parameter


def masks(node: Node) -> list[DropoutMask]:
    ops = (op.of if isinstance(op, Gradient) else op for op in node.epilogue)
    return [op for op in ops if isinstance(op, DropoutMask)]


def test_a_mask_behind_a_rectifier_is_part_of_what_makes_its_input() -> None:
    text = """
    model chain {
        input image: float32[3, 8, 8]
        conv(4, 3x3, pad=1) -> relu -> dropout(0.3)
        conv(4, 3x3, pad=1) -> leaky_relu -> dropout(0.2) -> flatten
        dense(6) -> relu -> dropout(0.5) -> dense(3)
    }
    train { loss mse; optimizer sgd(lr=0.1) }
    """
    step = fuse(differentiate(resolve(parse(Source("chain.cnn", text))))).step
    assert step is not None
    for name in ("conv1", "conv2", "dense1"):
        assert len(masks(step.node(name))) == 1, name
    # Of the gradients, too: through the view it goes with the product that comes before.
    alone = [
        node.name
        for node in step.nodes
        if isinstance(node.op, (DropoutMask, Gradient))
        and isinstance(node.op.of if isinstance(node.op, Gradient) else node.op, DropoutMask)
    ]
    assert alone == []
    (product,) = (node for node in step.nodes if node.layer == "dense1" and node.op.wrt == "input")
    assert [op.of.NAME for op in product.epilogue] == ["dropout_mask", "leaky_relu"]


def test_an_output_that_others_read_keeps_its_own_sign() -> None:
    text = """
    model shared {
        input x: float32[6]
        a = dense(5) -> relu
        b = a -> dropout(0.5) -> dense(5)
        add(a, b) -> dense(3)
    }
    train { loss mse; optimizer sgd(lr=0.1) }
    """
    step = step_of(text)
    (gradient,) = (
        node for node in step.nodes if isinstance(node.op, Gradient) and node.op.of.NAME == "relu"
    )
    assert gradient.inputs[1] == "relu1"
