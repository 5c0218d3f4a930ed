"""Differentiation: what is made, what is left out, and that the gradients are the loss's slopes."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.diagnostics import Source
from cnnc.frontend import parse, resolve
from cnnc.ir.graph import Graph
from cnnc.ir.interpret import interpret
from cnnc.ir.verify import verify_graph
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse

TRAIN = "train {\n data mnist\n loss LOSS\n optimizer sgd(lr=0.1)\n}\n"

NETWORKS = {
    "plain": """
        input x: float32[1, 6, 6]
        conv(2, 3x3, pad=1) -> relu -> maxpool(2x2)
        flatten
        dense(5) -> relu
        dense(3)
    """,
    "a value read three times": """
        input x: float32[2, 5, 5]
        a = conv(3, 3x3, pad=1) -> relu
        b = a -> conv(3, 1x1)
        c = a -> avgpool(3x3, stride=1, pad=1)
        add(a, b, c) -> relu
        flatten
        dense(3)
    """,
    "the same value added to itself": """
        input x: float32[4]
        h = dense(3)
        add(h, h)
    """,
    "concat, identity and scale": """
        input x: float32[2, 4, 4]
        a = conv(2, 3x3, stride=2, pad=1)
        b = maxpool(2x2)
        both = concat(a, b)
        c = both -> identity -> scale(0.5)
        c -> flatten
        dense(3)
    """,
    "two inputs": """
        input x: float32[3]
        input z: float32[2]
        a = x -> dense(3) -> relu
        b = z -> dense(3)
        add(a, b)
    """,
}


def graph_of(body: str, loss: str) -> Graph:
    text = f"model net {{{body}}}\n" + TRAIN.replace("LOSS", loss)
    return resolve(parse(Source("net.cnn", text)))


def feeds_of(graph: Graph, samples: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    feeds: dict[str, np.ndarray] = {}
    for node in graph.inputs():
        shape = (samples, *node.shape)
        feeds[node.name] = rng.standard_normal(shape)
    if graph.training is not None and graph.training.losses[0].loss.NAME == "cross_entropy":
        feeds["target"] = rng.integers(0, 3, samples)
    feeds["loss_grad"] = np.full(samples, 1 / samples)
    return feeds


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("body", NETWORKS.values(), ids=list(NETWORKS))
@pytest.mark.parametrize("fused", [False, True], ids=["grad", "fused"])
def test_gradients_are_the_slopes_of_the_mean_loss(body: str, loss: str, fused: bool) -> None:
    graph = verify_graph(differentiate(graph_of(body, loss)))
    graph = verify_graph(fuse(graph)) if fused else graph
    rng = np.random.default_rng(1)
    weights = {p.name: rng.standard_normal(p.shape) for p in graph.parameters}
    feeds = feeds_of(graph, 3)
    step = graph.step
    assert step is not None
    values = interpret(step, feeds, weights)
    assert [name for name, _ in step.gradients] == [p.name for p in graph.parameters]

    def mean_loss(moved: dict[str, np.ndarray]) -> float:
        return float(interpret(graph, feeds, moved)[graph.losses[0]].mean())

    for parameter, node in step.gradients:
        for flat in {0, weights[parameter].size // 2, weights[parameter].size - 1}:
            place = np.unravel_index(flat, weights[parameter].shape)
            sides = []
            for step in (1e-6, -1e-6):
                moved = {name: array.copy() for name, array in weights.items()}
                moved[parameter][place] += step
                sides.append(mean_loss(moved))
            slope = (sides[0] - sides[1]) / 2e-6
            assert values[node][place] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_a_network_without_a_train_block_stays_as_it_is() -> None:
    graph = resolve(parse(Source("a.cnn", "model a {\n input x: float32[3]\n dense(2)\n}\n")))
    assert differentiate(graph) is graph


def test_no_gradient_is_made_that_no_parameter_needs() -> None:
    grad = differentiate(graph_of(NETWORKS["plain"], "mse"))
    assert grad.step is not None
    assert not any(node.name == "x_grad" for node in grad.step.nodes)


def test_names_that_a_spec_took_are_left_to_it() -> None:
    body = "input x: float32[4]\n loss_grad_: dense(3)\n weights: dense(3)\n"
    grad = verify_graph(differentiate(graph_of(body, "mse")))
    for graph in grad.whole():
        assert len({node.name for node in graph.nodes}) == len(graph.nodes)


def test_fusing_leaves_no_relu_behind_a_convolution_or_its_gradient() -> None:
    fused = fuse(differentiate(graph_of(NETWORKS["plain"], "cross_entropy")))
    assert fused.step is not None
    for graph in fused.whole():
        assert "relu" not in [node.op.NAME for node in graph.nodes]
    masks = [node for node in fused.step.nodes if node.epilogue_inputs]
    assert {node.layer for node in masks} == {"maxpool1", "dense2"}


def test_a_value_that_is_an_output_is_not_fused_away() -> None:
    text = "model a {\n input x: float32[4]\n h = dense(3)\n y = h -> relu\n output h, y\n}\n"
    fused = fuse(resolve(parse(Source("a.cnn", text))))
    assert {output.tensor for output in fused.outputs} == {"dense1", "relu1"}
