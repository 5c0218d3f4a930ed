"""How many samples take less time one by one than as a block: a count of cycles of both ways.

A block has every multiply-add in full registers, whatever the channels; its tensors are as many
times larger as it has samples, and soon larger than a cache. A single sample's stay cached, but it
reads all weights for itself. Chooses nothing else, and knows no kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from cnnc.ir.graph import Graph, Node
from cnnc.ir.target import Target
from cnnc.ops.layout import Form
from cnnc.ops.op import Op, Trait
from cnnc.ops.single_strips import WEIGHTS_BEYOND, WEIGHTS_WITHIN

_PRODUCTS, _STORES = 1.6, 1
"""Registers in a cycle, multiplied and added or only passed on, where a form does not say more."""

_BEYOND = 6
"""Bytes in a cycle, to and from what is beyond the second-level cache, while others wait."""

_GAIN = 0.9
"""What the one way must take of the other's time, to be worth another result by rounding."""


def samples_alone(
    graph: Graph,
    forms: Mapping[str, Form],
    lowered: Graph,
    lowered_forms: Mapping[str, Form],
    target: Target,
) -> tuple[int, str]:
    """Up to so many, from 1 to `target.lanes`: then whole blocks of samples go one by one, too.

    And why, in words.

    Both graphs count registers: the multiply-adds of a block are those of a sample. `forms` are of
    the kernels that compute their nodes.
    """
    register = 4 * target.lanes
    block = _cycles(graph, forms) + 2 * _large(graph, register, target) / _BEYOND
    weights = 4 * sum(prod(parameter.shape) for parameter in graph.parameters)
    alone = _cycles(lowered, lowered_forms) + 2 * _large(lowered, register, target) / _BEYOND
    cached = min(weights, target.level2)
    alone += cached / WEIGHTS_WITHIN + (weights - cached) / WEIGHTS_BEYOND
    ratio = block / max(1.0, alone)
    why = f"a block of {target.lanes} is estimated to take as long as {ratio:.1f} samples"
    return max(1, min(target.lanes, int(_GAIN * ratio))), why


def _computed(graph: Graph) -> list[tuple[Op, Node]]:
    """The nodes of inference that are computed for every sample."""
    return [
        (node.op, node)
        for node in graph.nodes
        if isinstance(node.op, Op) and not node.op.TRAITS & {Trait.LOSS, Trait.BATCH, Trait.VIEW}
    ]


def _cycles(graph: Graph, forms: Mapping[str, Form]) -> float:
    """By the cost models of the forms, or by what is multiplied and what is stored."""
    total = 0.0
    for op, node in _computed(graph):
        form = forms.get(node.name)
        shapes = tuple(graph.node(name).shape for name in node.inputs)
        known = form.cycles() if form is not None else 0
        total += known or op.multiply_adds(shapes) / _PRODUCTS + prod(node.shape) / _STORES
    return total


def _large(graph: Graph, register: int, target: Target) -> int:
    """Bytes of the tensors that fill the second-level cache."""
    sizes = (register * prod(node.shape) for _, node in _computed(graph))
    return sum(size for size in sizes if size >= target.level2)
