"""convolution_matrix against the reference of conv, and what both functions refuse."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import pytest

from cnnc.matrix import convolution_matrix, format_matrix
from cnnc.ops.conv import Conv
from cnnc.ops.op import Example

SMALL = [example for example in Conv.examples() if prod(example.inputs[0]) <= 2000]


@pytest.mark.parametrize("example", SMALL, ids=lambda e: f"{e.op} on {e.inputs}")
def test_product_is_the_convolution(example: Example) -> None:
    assert isinstance(example.op, Conv)
    op, (shape,) = replace(example.op, bias=False), example.inputs
    rng = np.random.default_rng(1)
    weight = rng.integers(-9, 10, (op.filters, shape[0] // op.groups, *op.kernel))
    x = rng.integers(-9, 10, (1, *shape))
    matrix = convolution_matrix(
        weight, shape, op.stride, list(op.pad), op.dilation, groups=op.groups
    )
    expected = op.forward({"input": x.astype(float), "weight": weight})
    assert matrix.dtype == weight.dtype
    np.testing.assert_array_equal(matrix @ x.ravel(), expected.ravel())


def test_padding_is_written_as_in_a_spec() -> None:
    weight = np.arange(9).reshape(1, 1, 3, 3)
    same = convolution_matrix(weight, (1, 4, 6), pad="same")
    for pad in (1, (1, 1), [1, 1], [(1, 1), 1]):
        np.testing.assert_array_equal(convolution_matrix(weight, (1, 4, 6), pad=pad), same)
    valid = convolution_matrix(weight, (1, 4, 6), pad="valid")
    np.testing.assert_array_equal(valid, convolution_matrix(weight, (1, 4, 6)))


def test_rows_of_a_banded_matrix_are_the_one_above_moved() -> None:
    matrix = convolution_matrix([[[2, 3, 5]]], (1, 9))
    for above, row in pairwise(matrix):
        np.testing.assert_array_equal(row, np.roll(above, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([-1, 1], (1, 5)), r"a weight is \(out, in, \*kernel\), got shape \(2\)"),
        (([[[-1, 1]]], (5,)), r"a weight \(1, 1, 2\) needs an input of 2 axes.*got \(5\)"),
        (([[[-1, 1]]], (3, 5)), r"reads 1 channels, the input \(3, 5\) has 3"),
        (([[[-1, 1]]], (1, 1)), "window 2 is larger than its padded input 1"),
        (([[[-1, 1]]], (1, 5), 0), "stride must be at least 1"),
        (([[[-1, 1]]], (1, 5), 1, 0, 5), "window 6 is larger than its padded input 5"),
        (([[[-1, 1]]], (2, 5), 1, 0, 1, 2), "1 filters do not fall into 2 groups"),
        (([[[-1, 1]]], (1, 5), (1, 1)), "stride 1x1 has 2 axes, the input has 1"),
        (([[[-1, 1]]], (1, 5), 1, -1), "pad must not be negative"),
        (([[[-1, 1]]], (1, 5), 1, [1, 1]), "pad has 2 axes, the input has 1"),
        (([[[-1, 1]]], (1, 5), 1, (1, 1, 1)), r"a tuple pad is \(before, after\), got"),
        (([[[-1, 1]]], (1, 5), 1, "full"), 'pad is numbers, "same" or "valid", got "full"'),
        (([[["a"]]], (1, 5)), "a weight is an array of real numbers, got <U1"),
        ((np.zeros((1, 1, 0)), (1, 5)), r"no extent may be 0, got \(1, 1, 0\) and \(1, 5\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convolution_matrix(*arguments)


def test_text_of_a_matrix() -> None:
    matrix = convolution_matrix([[[-1, 0.5]]], (1, 3))
    assert format_matrix(matrix) == " -1 0.5   .\n  .  -1 0.5"
    assert format_matrix(np.eye(2), (1, 1)) == "1 | .\n--+--\n. | 1"
    assert format_matrix(np.zeros((0, 0))) == ""


@pytest.mark.parametrize(
    ("matrix", "blocks", "message"),
    [
        (np.zeros(3), None, r"a matrix has 2 axes, got an array of shape \(3\)"),
        (np.zeros((3, 129)), None, "at most 128 x 128 can be shown, got 3 x 129"),
        (np.zeros((3, 4)), (2, 2), "blocks of 2 x 2 do not divide a matrix of 3 x 4"),
        (np.zeros((3, 4)), (0, 2), "blocks of 0 x 2 do not divide"),
    ],
)
def test_what_cannot_be_shown_is_refused(matrix: Any, blocks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        format_matrix(matrix, blocks)
