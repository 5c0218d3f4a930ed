"""A Graph -> what each of its layers costs, and what it would cost without weight sharing.

Counts; it measures nothing, and knows nothing of how a layer is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, prod

import numpy as np

from cnnc.ir.graph import Graph, Node
from cnnc.ops.op import Gradient, Input, Trait
from cnnc.ops.shapes import Shape

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer costs, a sample.

    `parameters` are trained, `statistics` are numbers that training keeps, such as a running mean.
    `field` is the receptive field: the extents of the part of the input that one output value
    sees; None where inputs of different extents meet. `dense_parameters` are those of a dense layer
    (weights and biases) from the same input to the same output; None for layers that do not weigh
    their inputs against each other.
    """

    name: str
    op: str
    shape: Shape
    parameters: int
    statistics: int
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
    def statistics(self) -> int:
        """Numbers that training keeps besides: they have no gradient."""
        return sum(layer.statistics for layer in self.layers)

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
        """What the layers that weigh their inputs would have if each were dense."""
        return sum(layer.dense_parameters or 0 for layer in self.layers)


@dataclass(frozen=True, slots=True)
class _Reach:
    """How an output value looks back on the input: `field` wide, neighbours `jump` apart.

    Both may be fractions, where a layer enlarges.
    """

    field: tuple[Fraction, ...]
    jump: tuple[Fraction, ...]
    whole: Shape

    @property
    def everything(self) -> _Reach:
        """As far as the input goes."""
        return _Reach(tuple(map(Fraction, self.whole)), self.jump, self.whole)


def summarize(graph: Graph) -> Summary:
    """The costs of a graph as resolve leaves it: gradients and losses are not layers."""
    shapes = {node.name: node.shape for node in graph.nodes}
    sizes = {p.name: (prod(p.shape), p.trained) for p in graph.parameters}
    reaches: dict[str, _Reach | None] = {}
    layers = []
    for node in graph.nodes:
        if isinstance(node.op, Gradient):
            continue
        inputs = tuple(shapes[name] for name in node.inputs)
        reach = _reach(node, inputs, [reaches[name] for name in node.inputs])
        reaches[node.name] = reach
        layers.append(_layer(node, inputs, sizes, reach))
    return Summary(graph.name, tuple(layers))


def _layer(
    node: Node,
    inputs: tuple[Shape, ...],
    sizes: Mapping[str, tuple[int, bool]],
    reach: _Reach | None,
) -> Layer:
    features = prod(node.shape)
    own = [sizes[name] for name in node.parameters]
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
        parameters=sum(count for count, trained in own if trained),
        statistics=sum(count for count, trained in own if not trained),
        multiply_adds=cost,
        activation_bytes=memory,
        field=None if reach is None else tuple(map(ceil, reach.field)),
        dense_parameters=(sum(map(prod, inputs)) + 1) * features if own and cost else None,
    )


def _reach(node: Node, inputs: tuple[Shape, ...], before: list[_Reach | None]) -> _Reach | None:
    """Araujo, Norris and Sim 2019, Computing receptive fields of convolutional neural networks."""
    if isinstance(node.op, Input):
        space = node.shape[1:] or node.shape
        one = (Fraction(1),) * len(space)
        return _Reach(one, one, space)
    widest = _widest(before)
    if widest is None or isinstance(node.op, Gradient):
        return None
    sight = node.op.sight(inputs)
    if sight is None:
        return widest
    if len(sight.window) != len(widest.whole):  # everything, or space that a reshape made
        seen_all = not sight.window or widest.field == widest.everything.field
        return widest.everything if seen_all else None
    seen = zip(widest.field, widest.jump, sight.window, widest.whole, strict=True)
    field = tuple(min(f + (k - 1) * j, Fraction(whole)) for f, j, k, whole in seen)
    jump = tuple(j * s for j, s in zip(widest.jump, sight.step, strict=True))
    return _Reach(field, jump, widest.whole)


def _widest(inputs: list[_Reach | None]) -> _Reach | None:
    known = [reach for reach in inputs if reach is not None]
    if len(known) < len(inputs) or len({reach.whole for reach in known}) != 1:
        return None
    return _Reach(
        tuple(map(max, zip(*(reach.field for reach in known), strict=True))),
        tuple(map(max, zip(*(reach.jump for reach in known), strict=True))),
        known[0].whole,
    )
