"""Winograd's kernels, forced, against the references; and where they are chosen.

Extents that tiles do not divide, smaller than a tile, channels that no register tile divides.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from cnnc.ir.graph import Graph
from cnnc.ir.target import TARGETS
from cnnc.ops.conv import Conv
from cnnc.ops.layout import Form, Layout
from cnnc.ops.op import Example
from cnnc.ops.shapes import Shape
from cnnc.passes.choice import Asked, best_guess, prefer
from tests.ops.test_kernels import (
    check_forward,
    check_gradients,
    compile_graph,
    side_by_side,
    targets_by_lanes,
    trained_together,
)


def _conv(filters: int, shape: Shape, pad: object, *, kernel: int = 3, **given: Any) -> Example:
    defaults = {field.name: field.default for field in Conv.FIELDS[2:]}
    arguments = defaults | {"filters": filters, "kernel": kernel, "pad": pad} | given
    return Example(Conv.bind(arguments, (shape,)), (shape,))


CASES = [
    ("one", _conv(1, (1, 4, 4), 1)),
    ("odd", _conv(17, (3, 5, 7), 1)),
    ("thin", _conv(3, (17, 1, 9), 1, bias=False)),
    ("dot", _conv(5, (2, 1, 1), 1)),
    ("valid", _conv(4, (3, 3, 8), 0)),
    ("wide", _conv(2, (3, 4, 6), 2)),
    ("wider", _conv(3, (2, 2, 3), 3)),
    ("lopsided", _conv(6, (5, 7, 6), [(0, 2), (2, 1)])),
    ("long", _conv(7, (6, 3, 39), [1, (1, 0)])),
    ("tall", _conv(26, (31, 22, 4), 1)),
    ("deep", _conv(13, (70, 9, 9), 1)),
    ("many", _conv(70, (9, 12, 10), "same")),
]


EACH = [pytest.param(target, id=f"<{target}>") for target in targets_by_lanes()]
TILES = [
    pytest.param(target, algorithm, id=f"<{target} {algorithm}>")
    for algorithm, targets in (
        ("winograd", targets_by_lanes()),
        ("winograd4", targets_by_lanes()[::2]),
    )
    for target in targets
]


@cache
def _forward(target: str, algorithm: str) -> tuple[Graph, Any]:
    graph = side_by_side(CASES)
    return graph, compile_graph(graph, TARGETS[target], prefer(algorithm))


@cache
def _training(target: str) -> tuple[Graph, Any]:
    graph = trained_together(CASES)
    return graph, compile_graph(graph, TARGETS[target], prefer("winograd"))


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 33])
@pytest.mark.parametrize(("target", "algorithm"), TILES)
def test_outputs_and_data_gradients_equal_their_references(
    target: str, algorithm: str, samples: int
) -> None:
    check_forward(*_forward(target, algorithm), samples)


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 33])
@pytest.mark.parametrize("target", EACH)
def test_weight_gradients_equal_their_references(target: str, samples: int) -> None:
    check_gradients(*_training(target), samples)


def _forms(example: Example, wrt: str | None, target: str = "x86-64-v4") -> tuple[Form, ...]:
    (shape,) = example.inputs
    op = example.op
    made = op.output_shape(example.inputs)
    x, y = (Layout(s[0], s[1:], ((0, 0), (0, 0))) for s in (shape, made))
    layouts = {
        None: {"input": x, "result": y},
        "input": {"output_grad": y, "result": x},
        "weight": {"input": x, "output_grad": y},
        "bias": {"output_grad": y},
    }
    return op.kernel_forms(wrt, layouts[wrt], TARGETS[target])


@pytest.mark.parametrize(
    ("wrt", "others"),
    [
        (None, ["winograd4", "winograd"]),
        ("input", ["winograd4", "winograd"]),
        ("weight", ["winograd"]),
    ],
)
def test_many_channels_are_winograd_s_and_few_are_direct(
    wrt: str | None, others: list[str]
) -> None:
    many = _forms(_conv(64, (64, 32, 32), 1), wrt)
    few = _forms(_conv(2, (3, 32, 32), 1), wrt)
    assert [form.ALGORITHM for form in many] == [*others, "direct"]
    assert [form.ALGORITHM for form in few] == ["direct", *others]
    assert "Winograd" in many[0].reason()


def test_a_plane_that_large_tiles_do_not_fill_has_small_ones() -> None:
    forms = _forms(_conv(64, (64, 6, 6), 1), None)
    assert [form.ALGORITHM for form in forms] == ["winograd", "winograd4", "direct"]


def _asked(wrt: str | None, *, trains: bool) -> Asked:
    example = _conv(64, (64, 32, 32), 1)
    lies = Layout(64, (32, 32), ((1, 1), (1, 1)))
    names = ("output_grad", "result") if wrt else ("input", "result")
    return Asked(example.op, wrt, dict.fromkeys(names, lies), TARGETS["x86-64-v4"], trains=trains)


@pytest.mark.parametrize("wrt", [None, "input"])
def test_a_training_step_takes_large_tiles_only_where_it_is_told_to(wrt: str | None) -> None:
    asked = _asked(wrt, trains=True)
    assert best_guess(asked).form.ALGORITHM == "winograd"
    assert not any(form.COARSE for form in asked.candidates().values())
    assert prefer("winograd4")(asked).form.ALGORITHM == "winograd4"


def test_inference_has_large_tiles_and_is_measured_apart_from_training() -> None:
    asked, trained = _asked(None, trains=False), _asked(None, trains=True)
    assert best_guess(asked).form.ALGORITHM == "winograd4"
    assert "winograd4" in asked.candidates()
    assert asked.key != trained.key
    few = replace(asked, op=_conv(64, (64, 32, 32), 1, stride=2).op)
    assert few.key == replace(few, trains=True).key


@pytest.mark.parametrize(
    "example",
    [
        _conv(64, (64, 32, 32), 1, stride=2),
        _conv(64, (64, 32, 32), 1, dilation=2),
        _conv(64, (64, 32, 32), 1, groups=2),
        _conv(64, (64, 32, 32), 1, kernel=5),
        _conv(64, (64, 32), 1),
    ],
    ids=["stride", "dilation", "groups", "kernel", "rank"],
)
def test_other_convolutions_have_the_direct_sum_only(example: Example) -> None:
    (form,) = _forms(example, None) if len(example.inputs[0]) == 3 else _line(example)
    assert form.ALGORITHM == "direct"


def _line(example: Example) -> tuple[Form, ...]:
    (shape,) = example.inputs
    made = example.op.output_shape(example.inputs)
    layouts = {"input": Layout(shape[0], shape[1:]), "result": Layout(made[0], made[1:])}
    return example.op.kernel_forms(None, layouts, TARGETS["x86-64-v4"])


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown algorithm strassen; there are direct, matmul"):
        prefer("strassen")


def test_a_gradient_by_the_bias_has_one_form() -> None:
    (form,) = _forms(_conv(64, (64, 32, 32), 1), "bias")
    assert form.ALGORITHM == "direct"
