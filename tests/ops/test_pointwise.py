"""The weight gradient of convolutions of single positions as a matrix product."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from cnnc.ir.graph import Graph
from cnnc.ir.target import TARGETS
from cnnc.ops.conv import Conv
from cnnc.ops.layout import Layout
from cnnc.ops.op import Example
from cnnc.ops.shapes import Shape
from cnnc.passes.choice import Asked, best_guess, prefer
from tests.ops.examples import made
from tests.ops.test_kernels import (
    check_gradients,
    compile_graph,
    targets_by_lanes,
    trained_together,
)


def _made(filters: int, shape: Shape, kernel: int = 1, **given: Any) -> Example:
    return made(Conv, shape, filters, kernel, **given)


CASES = [
    ("one", _made(1, (16, 1, 1))),
    ("odd", _made(33, (16, 7, 7))),
    ("prime", _made(5, (32, 1, 13))),
    ("wide", _made(17, (80, 3, 41), bias=False)),
    ("line", _made(20, (48, 37))),
    ("volume", _made(3, (16, 3, 4, 5))),
    ("strided", _made(17, (32, 9, 11), stride=2)),
    ("uneven", _made(7, (16, 8, 9, 7), stride=(2, 1, 3))),
    ("groups", _made(6, (64, 6, 5), groups=2)),
    ("padded", _made(9, (16, 5, 6), pad=[(1, 2), (0, 1)])),
    ("padded_line", _made(4, (16, 11), pad=2, stride=3)),
    ("large", _made(40, (144, 5, 8))),
]


def _asked(example: Example, target: str) -> Asked:
    (shape,) = example.inputs
    channels, *space = example.op.output_shape(example.inputs)
    x, y = Layout(shape[0], tuple(shape[1:])), Layout(channels, tuple(space))
    return Asked(example.op, "weight", {"input": x, "output_grad": y}, TARGETS[target])


@cache
def _trained(target: str) -> tuple[Graph, Any]:
    graph = trained_together(CASES)
    return graph, compile_graph(graph, TARGETS[target], prefer("matmul"))


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 33])
@pytest.mark.parametrize(
    "target", [pytest.param(target, id=f"<{target}>") for target in targets_by_lanes()]
)
def test_gradients_equal_their_references(target: str, samples: int) -> None:
    check_gradients(*_trained(target), samples)


@pytest.mark.parametrize("target", targets_by_lanes())
@pytest.mark.parametrize(("name", "example"), CASES)
def test_all_of_these_have_such_a_kernel(name: str, example: Example, target: str) -> None:
    form = prefer("matmul")(_asked(example, target)).form
    assert form.ALGORITHM == "matmul", name


@pytest.mark.parametrize("example", [_made(64, (24, 8, 8)), _made(64, (32, 8, 8), kernel=3)])
def test_others_have_none(example: Example) -> None:
    algorithms = {form.ALGORITHM for form in _asked(example, "x86-64-v4").forms}
    assert "matmul" not in algorithms
    assert "direct" in algorithms


@pytest.mark.parametrize(("filters", "algorithm"), [(2, "direct"), (128, "matmul")])
def test_is_taken_where_many_filters_read_what_is_turned(filters: int, algorithm: str) -> None:
    chosen = best_guess(_asked(_made(filters, (64, 16, 16)), "x86-64-v4"))
    assert algorithm == chosen.form.ALGORITHM
    assert chosen.why.startswith(f"{algorithm}: estimated ")
