"""A Graph -> what each of its layers costs, and what it would cost without weight sharing.

Counts; it measures nothing, and knows nothing of how a layer is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from cnnc.ir.graph import Graph, Node
from cnnc.ops.op import Gradient, Input, Shape, Trait

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer costs, a sample.

    `field` is the receptive field: the extents of the part of the input that one output value
    sees; None where inputs of different ranks meet. `dense_parameters` are those of a dense layer
    (weights and biases) from the same input to the same output; None for layers that do not learn.
    """

    name: str
    op: str
    shape: Shape
    parameters: int
    multiply_adds: int
    activation_bytes: int
    field: Shape | None
    dense_parameters: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The layers of a network in order, inputs included."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of the forward direction, a sample."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """If every layer's output were kept, a sample."""
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def dense_parameters(self) -> int:
        """What the layers that learn would have if each were dense."""
        return sum(layer.dense_parameters or 0 for layer in self.layers)


@dataclass(frozen=True, slots=True)
class _Reach:
    """How an output value looks back on the input: `field` wide, neighbours `jump` apart."""

    field: Shape
    jump: Shape
    whole: Shape


def summarize(graph: Graph) -> Summary:
    """The costs of a graph as resolve leaves it: gradients and losses are not layers."""
    shapes = {node.name: node.shape for node in graph.nodes}
    sizes = {parameter.name: prod(parameter.shape) for parameter in graph.parameters}
    reaches: dict[str, _Reach | None] = {}
    layers = []
    for node in graph.nodes:
        if isinstance(node.op, Gradient):
            continue
        inputs = tuple(shapes[name] for name in node.inputs)
        reaches[node.name] = reach = _reach(node, [reaches[name] for name in node.inputs])
        layers.append(_layer(node, inputs, sizes, reach))
    return Summary(graph.name, tuple(layers))


def _layer(
    node: Node, inputs: tuple[Shape, ...], sizes: Mapping[str, int], reach: _Reach | None
) -> Layer:
    features = prod(node.shape)
    own = sum(sizes[name] for name in node.parameters)
    match node.op:
        case Input(dtype=dtype):
            cost, memory = 0, features * np.dtype(dtype).itemsize
        case Gradient():
            raise TypeError(f"{node.name} is a gradient, not a layer")
        case op:
            cost = op.multiply_adds(inputs)
            memory = 0 if Trait.VIEW in op.TRAITS else features * FLOAT_BYTES
    return Layer(
        name=node.name,
        op=node.op.NAME,
        shape=node.shape,
        parameters=own,
        multiply_adds=cost,
        activation_bytes=memory,
        field=None if reach is None else reach.field,
        dense_parameters=(sum(map(prod, inputs)) + 1) * features if own else None,
    )


def _reach(node: Node, inputs: list[_Reach | None]) -> _Reach | None:
    """Araujo, Norris and Sim 2019, Computing receptive fields of convolutional neural networks."""
    if isinstance(node.op, Input):
        space = node.shape[1:] or node.shape
        return _Reach((1,) * len(space), (1,) * len(space), space)
    before = _widest(inputs)
    if before is None:
        return None
    window = getattr(node.op, "kernel", None) or getattr(node.op, "size", None)
    if window:
        stride: Shape = node.op.stride  # type: ignore[union-attr]  # what has a window has a stride
        seen = zip(before.field, before.jump, window, before.whole, strict=True)
        field = tuple(min(f + (k - 1) * j, whole) for f, j, k, whole in seen)
        jump = tuple(j * s for j, s in zip(before.jump, stride, strict=True))
        return _Reach(field, jump, before.whole)
    if node.parameters:  # learns, and not through a window: every output sees every input
        return _Reach(before.whole, before.jump, before.whole)
    return before


def _widest(inputs: list[_Reach | None]) -> _Reach | None:
    known = [reach for reach in inputs if reach is not None]
    if len(known) < len(inputs) or len({reach.whole for reach in known}) != 1:
        return None
    return _Reach(
        tuple(map(max, zip(*(reach.field for reach in known), strict=True))),
        tuple(map(max, zip(*(reach.jump for reach in known), strict=True))),
        known[0].whole,
    )
