"""Every loss's compiled kernels against its reference, values and gradients, with and without halo.

One network holds all examples: each has its output, its target and its sample's share as inputs.
Labels travel in the bits of a float32 input, which nothing but the loss's kernels looks at.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from cnnc.ir.graph import Graph, Node, Output, Parameter
from cnnc.ir.interpret import interpret
from cnnc.ir.target import TARGETS
from cnnc.ops import LOSSES
from cnnc.ops.conv import Conv
from cnnc.ops.cross_entropy import CrossEntropy
from cnnc.ops.huber import Huber
from cnnc.ops.initializers import He
from cnnc.ops.loss import LossOp
from cnnc.ops.op import Example, Gradient, Input, Op, Trait
from cnnc.ops.shapes import Array
from tests.ops.examples import EXAMPLES, labels
from tests.ops.test_kernels import SAMPLES, _assert_close, _double, compile_graph, targets_by_lanes

LOSS_EXAMPLES = {
    name.replace("-", "_"): example for name, example in EXAMPLES if Trait.LOSS in example.op.TRAITS
}
PADDED = {
    "padded_labels": Example(CrossEntropy(0.1, (1.0, 2.0), 0), ((2, 3, 5),), classes=2),
    "padded_values": Example(Huber(), ((2, 3, 5), (2, 3, 5))),
}
"""A convolution reads these outputs too, which therefore lie in memory with a halo."""


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("target", targets_by_lanes())
def test_loss_kernels_equal_their_references(target: str, samples: int) -> None:
    _compare(target, feeds_of(samples))


@pytest.mark.parametrize("size", [0.001, 40.0, 1e4])
@pytest.mark.parametrize("target", targets_by_lanes())
def test_outputs_of_any_size_are_judged_well(target: str, size: float) -> None:
    _compare(target, feeds_of(16, size))


def _compare(target: str, feeds: dict[str, Array]) -> None:
    graph, module = losses_of(target)
    model = module.Model(seed=3, threads=1)
    found = model(*in_bits(feeds))
    numbers = {n: a if a.dtype.kind == "i" else a.astype(np.float64) for n, a in feeds.items()}
    wanted = interpret(graph, numbers, _double(model.parameters))
    for output, value in zip(graph.outputs, found, strict=True):
        _assert_close(value, wanted[output.tensor], output.name)


def test_every_loss_is_compiled_here() -> None:
    assert {example.op.NAME for example in LOSS_EXAMPLES.values()} == set(LOSSES)


def feeds_of(samples: int, size: float = 3) -> dict[str, Array]:
    """Outputs of about that size, targets, some of them 0, and shares; labels are integers."""
    rng = np.random.default_rng(samples)
    found: dict[str, Array] = {}
    for stem, example in (LOSS_EXAMPLES | PADDED).items():
        logits = size * rng.standard_normal((samples, *example.inputs[0]))
        found[f"{stem}_x"] = logits.astype(np.float32)
        if example.classes is None:
            chances = rng.random((samples, *example.inputs[1]))
            found[f"{stem}_y"] = np.where(chances < 0.3, 0, chances).astype(np.float32)
        else:
            found[f"{stem}_y"] = labels(example, samples, rng)
        found[f"{stem}_share"] = rng.random(samples).astype(np.float32)
    return found


def in_bits(feeds: dict[str, Array]) -> list[Array]:
    """As the module takes them: labels are int32 seen as float32."""
    return [
        a.astype(np.int32).view(np.float32) if a.dtype.kind == "i" else a for a in feeds.values()
    ]


@cache
def losses_of(target: str) -> tuple[Graph, Any]:
    """The network of all examples, and its module for a target."""
    nodes: list[Node] = []
    weights: list[Parameter] = []
    outputs: list[Output] = []

    def add(name: str, op: Op | Gradient | Input, reads: tuple[str, ...], shape: Any) -> str:
        nodes.append(Node(name, op, reads, (), shape))
        return name

    for stem, example in (LOSS_EXAMPLES | PADDED).items():
        op = example.op
        assert isinstance(op, LossOp)
        shape = example.inputs[0]
        x, y, share = f"{stem}_x", f"{stem}_y", f"{stem}_share"
        aim = op.target(shape).shape
        add(x, Input(shape, "float32"), (), shape)
        add(y, Input(aim, "float32"), (), aim)
        add(share, Input((), "float32"), (), ())
        results = [
            add(f"{stem}_loss", op, (x, y), ()),
            add(f"{stem}_slope", Gradient(op, "input"), (share, x, y), shape),
        ]
        if stem in PADDED:
            conv = _padded_conv(shape)
            names = tuple(f"{stem}_conv.{p.name}" for p in conv.parameters((shape,)))
            weights += [
                Parameter(name, p.shape, He(), p.fan_in, p.fan_out)
                for name, p in zip(names, conv.parameters((shape,)), strict=True)
            ]
            after = conv.output_shape((shape,))
            nodes.append(Node(f"{stem}_conv", conv, (x,), names, after))
            results.append(f"{stem}_conv")
        outputs += [Output(f"{name}_out", name) for name in results]
    graph = Graph("losses", tuple(nodes), tuple(weights), tuple(outputs))
    return graph, compile_graph(graph, TARGETS[target])


def _padded_conv(shape: tuple[int, ...]) -> Conv:
    """One that asks for a halo around its input."""
    given = {"filters": 1, "kernel": 3, "pad": 1, "bias": False}
    defaults = {field.name: field.default for field in Conv.FIELDS}
    return Conv.bind(defaults | given, (shape,))
