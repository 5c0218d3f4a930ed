"""Kernels among their neighbours: tensors with halos, and element-wise layers fused to them.

For halos every operand is also read by a padded conv.

What a halo holds must stay zero, and offsets must step over it; a reader that sees anything but
zeros there, or a value in the wrong place, gives another result than the reference.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import prod
from typing import Any

import numpy as np
import pytest

from cnnc.ir.graph import Graph, Node, Output, OutputLoss, Parameter, Training
from cnnc.ir.interpret import interpret
from cnnc.ir.target import TARGETS
from cnnc.ops import OPS
from cnnc.ops.concat import Concat
from cnnc.ops.flatten import Flatten
from cnnc.ops.initializers import He
from cnnc.ops.mse import Mse
from cnnc.ops.op import Example, Input, Trait
from cnnc.ops.optimizers import Sgd
from cnnc.ops.relu import Relu
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from tests.ops.test_kernels import (
    _assert_close,
    _data_gradient,
    _double,
    _feeds,
    _inputs,
    _layer,
    compile_plain,
    runnable_targets,
)

OPS_HERE = (
    "maxpool",
    "avgpool",
    "adaptive_avgpool",
    "global_avgpool",
    "global_maxpool",
    "groupnorm",
    "layernorm",
    "upsample",
    "zero_pad",
    "crop",
    "reshape",
    "slice",
    "concat",
)
EXAMPLES = {"avgpool": (3,), "maxpool": (3,), "upsample": (0, 4)}
"""Which examples are compiled; the first where an op is not listed."""


def chosen() -> list[tuple[str, Example]]:
    return [
        (f"{name}_{index}", OPS[name].examples()[index])
        for name in OPS_HERE
        for index in EXAMPLES.get(name, (0,))
    ]


def reader(node: Node, parameters: list[Parameter]) -> list[Node]:
    """A padded convolution that reads a tensor with space, so that it gets a halo."""
    if len(node.shape) < 2:
        return []
    given = {"filters": 1, "kernel": 2, "pad": (1, 2)}
    return [conv(f"{node.name}_reader", node, given, parameters)]


def conv(name: str, source: Node, given: dict[str, Any], parameters: list[Parameter]) -> Node:
    """A convolution without bias of a tensor."""
    shape = source.shape
    defaults = {field.name: field.default for field in OPS["conv"].FIELDS}
    op = OPS["conv"].bind({**defaults, **given, "bias": False}, (shape,))
    (weight,) = op.parameters((shape,))
    parameters.append(Parameter(f"{name}.weight", weight.shape, He(), 8, 8))
    return Node(name, op, (source.name,), (f"{name}.weight",), op.output_shape((shape,)))


@cache
def _with_halos() -> tuple[Graph, Any]:
    nodes: list[Node] = []
    parameters: list[Parameter] = []
    outputs: list[Output] = []
    for stem, example in chosen():
        inputs = _inputs(stem, example)
        layer = _layer(stem, example, parameters)
        made = [*inputs, layer]
        if Trait.PASSES_GRADIENT not in example.op.TRAITS:
            grad = Node(f"{stem}_dy", Input(layer.shape, "float32"), (), (), layer.shape)
            made.append(grad)
            names = layer.op.input_names(len(layer.inputs))
            for operand, source in zip(names, layer.inputs, strict=True):
                made.append(_data_gradient(layer, operand, source, grad, [*nodes, *made]))
        readers = [found for node in made for found in reader(node, parameters)]
        nodes += [*made, *readers]
        outputs += [
            Output(f"{node.name}_out", node.name)
            for node in (*made[len(inputs) :], *readers)
            if not isinstance(node.op, Input)
        ]
    graph = Graph("halos", tuple(nodes), tuple(parameters), tuple(outputs))
    return graph, compile_plain(graph, TARGETS[runnable_targets()[0]])


@pytest.mark.parametrize("samples", [1, 33])
def test_kernels_step_over_halos_and_leave_them_zero(samples: int) -> None:
    graph, module = _with_halos()
    model = module.Model(seed=3, threads=1)
    feeds = _feeds(graph, samples)
    wanted = interpret(graph, _double(feeds), _double(model.parameters))
    for _ in range(2):  # the second call finds what the first left behind
        found = model(*feeds.values())
        for output, value in zip(graph.outputs, found, strict=True):
            _assert_close(np.asarray(value), wanted[output.tensor], output.name)


@cache
def _among_relus() -> tuple[Graph, Any]:
    """Every op between two rectifiers, after a convolution that is trained."""
    nodes: list[Node] = []
    parameters: list[Parameter] = []
    flat: list[Node] = []
    for stem, example in chosen():
        inputs = _inputs(stem, example)
        given = {"filters": example.inputs[0][0], "kernel": 1}
        first = conv(f"{stem}_conv", inputs[0], given, parameters)
        before = Node(f"{stem}_before", Relu(), (first.name,), (), first.shape)
        layer = _layer(stem, example, parameters)
        layer = replace(layer, inputs=(before.name, *layer.inputs[1:]))
        after = Node(f"{stem}_after", Relu(), (stem,), (), layer.shape)
        flat.append(Node(f"{stem}_flat", Flatten(), (after.name,), (), (prod(layer.shape),)))
        nodes += [*inputs, first, before, layer, after, flat[-1]]
    sizes = tuple(node.shape[0] for node in flat)
    joined = Node("joined", Concat(sizes), tuple(n.name for n in flat), (), (sum(sizes),))
    training = Training((OutputLoss("joined", Mse()),), Sgd(0.1), 16, 1, None)
    outputs = (Output("joined", "joined"),)
    graph = differentiate(Graph("relus", (*nodes, joined), tuple(parameters), outputs, training))
    return graph, compile_plain(graph, TARGETS[runnable_targets()[0]])


def test_rectifiers_before_and_after_are_fused_rightly() -> None:
    graph, module = _among_relus()
    step = fuse(graph).step
    assert step is not None
    names = {node.name for node in step.nodes}
    kept = {name for name in names if name.endswith("_after")}
    # A view has no kernel; the others' own gradients read what they stored.
    assert kept == {"reshape_0_after", "maxpool_3_after", "global_maxpool_0_after"}
    model = module.Model(seed=3, threads=1)
    feeds = _feeds(graph, 17)
    feeds.pop("loss_grad")
    model.compute_gradients(*feeds.values())
    share = np.full(17, 1 / 17)
    assert graph.step is not None
    feeds = _double(feeds) | {"loss_grad": share}
    wanted = interpret(graph.step, feeds, _double(model.parameters))
    for parameter, node in graph.step.gradients:
        _assert_close(model.gradients[parameter], wanted[node], parameter)
