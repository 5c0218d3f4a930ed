"""Every candidate of a kernel, not only the best guess, against the references."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from cnnc.ir.graph import Graph
from cnnc.ir.target import TARGETS
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Dense
from cnnc.ops.layout import Layout
from cnnc.passes.choice import (
    Asked,
    Choice,
    Chosen,
    Measured,
    best_guess,
    by_measurement,
    prefer,
)
from tests.ops.examples import made
from tests.ops.test_kernels import (
    check_forward,
    check_gradients,
    compile_plain,
    runnable_targets,
    side_by_side,
    trained_together,
)

CASES = [
    ("dot", made(Conv, (1, 1, 1), 1, 3, pad=1)),
    ("odd", made(Conv, (3, 9, 7), 17, 3, pad=1)),
    ("wide", made(Conv, (5, 4, 41), 6, 5, pad=2)),
    ("deep", made(Conv, (96, 8, 9), 20, 3, pad=1)),
    ("strided", made(Conv, (17, 9, 11), 13, 3, stride=2, pad=1)),
    ("pointwise", made(Conv, (40, 7, 8), 33, 1)),
    ("depthwise", made(Conv, (17, 9, 8), 17, 3, pad=1, groups=17)),
    ("line", made(Conv, (3, 37), 5, 4)),
    ("dense", made(Dense, (1000,), 37)),
    ("small", made(Dense, (3,), 1)),
]


def _last(asked: Asked) -> Chosen:
    """The candidate that no other choice here has."""
    return Chosen(list(asked.candidates().values())[-1])


def _second(asked: Asked) -> Chosen:
    return Chosen((list(asked.candidates().values()) * 2)[1])


CHOICES: dict[str, Choice] = {"second": _second, "last": _last}


@cache
def _forward(target: str, rank: str) -> tuple[Graph, Any]:
    graph = side_by_side(CASES)
    return graph, compile_plain(graph, TARGETS[target], CHOICES[rank])


@cache
def _training(target: str, rank: str) -> tuple[Graph, Any]:
    graph = trained_together(CASES)
    return graph, compile_plain(graph, TARGETS[target], CHOICES[rank])


FIRST, *OTHERS = runnable_targets()
FORWARD = [
    pytest.param(target, rank, id=f"<{target} {rank}>")
    for target, rank in [
        (FIRST, "second"),
        (FIRST, "last"),
        *((target, "last") for target in OTHERS[:1]),
    ]
]


@pytest.mark.parametrize("samples", [0, 1, 15, 17])
@pytest.mark.parametrize(("target", "rank"), FORWARD)
def test_outputs_and_data_gradients_equal_their_references(
    target: str, rank: str, samples: int
) -> None:
    check_forward(*_forward(target, rank), samples)


@pytest.mark.parametrize("samples", [1, 17])
def test_weight_gradients_equal_their_references(samples: int) -> None:
    check_gradients(*_training(FIRST, "last"), samples)


def _asked(filters: int = 64, target: str = "x86-64-v4") -> Asked:
    example = made(Conv, (filters, 32, 32), filters, 3, pad=1)
    lies = Layout(filters, (32, 32), ((1, 1), (1, 1)))
    return Asked(example.op, None, {"input": lies, "result": lies}, TARGETS[target])


@pytest.mark.parametrize("target", TARGETS)
def test_candidates_differ_and_begin_with_the_best_guess(target: str) -> None:
    asked = _asked(target=target)
    found = asked.candidates()
    assert len(found) > 2
    assert len(set(found.values())) == len(found)
    assert next(iter(found.values())) == asked.forms[0]
    assert {name.partition(",")[0] for name in found} == {"direct", "winograd", "winograd4"}


def test_kernels_of_other_shapes_have_other_keys() -> None:
    assert _asked(64).key == _asked(64).key
    assert _asked(64).key != _asked(32).key


def test_the_first_candidate_stays_unless_another_gains() -> None:
    assert Measured.of({"direct": 1.0, "winograd": 0.98}).choice == "direct"
    assert Measured.of({"direct": 1.0, "winograd": 0.5}).choice == "winograd"
    assert Measured.of({"direct": 1.0}).choice == "direct"


def test_a_measured_choice_says_why() -> None:
    asked = _asked()
    chosen = by_measurement({asked.key: Measured("direct", {"winograd": 2.0, "direct": 1.0})})
    assert chosen(asked).form.ALGORITHM == "direct"
    assert chosen(asked).why == "direct: measured 2.00 x as fast as winograd"


def test_a_best_guess_says_why() -> None:
    asked = _asked()
    best, other, *_ = asked.forms
    name, than = (re.escape(form.candidate()) for form in (best, other))
    assert re.match(rf"{name}: estimated [1-9]\.\d\d x as fast as {than}", best_guess(asked).why)
    assert prefer("direct")(asked).why == "direct: asked for"


def test_the_only_algorithm_says_why_it_is_alone() -> None:
    strided = replace(_asked(), op=made(Conv, (64, 32, 32), 64, 3, stride=2, pad=1).op)
    assert best_guess(strided).why.startswith("direct alone: Winograd is for 3x3 windows")


@pytest.mark.parametrize(
    ("kernels", "why"),
    [({}, "not in the tuning file"), ({_asked().key: Measured("fft", {})}, "fft is no candidate")],
)
def test_what_a_measurement_does_not_know_is_the_best_guess_and_says_so(
    kernels: dict[str, Measured], why: str
) -> None:
    chosen = by_measurement(kernels)(_asked())
    assert chosen.form == _asked().forms[0]
    assert why in chosen.why
