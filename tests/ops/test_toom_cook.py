"""The matrices of minimal filtering: what they compute, and that they compute it exactly."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

from cnnc.ops.toom_cook import FILTERINGS, Filtering, Matrix, toom_cook
from cnnc.ops.winograd import F2, whole

EACH = [
    toom_cook(1, 1, zero=False),
    toom_cook(1, 2),
    toom_cook(2, 3, "1"),
    toom_cook(3, 2, "1"),
    toom_cook(3, 3, "1/2 5/4", zero=False),
    toom_cook(4, 3, "3/4 3/2"),
    toom_cook(5, 4, "1/2 1 2"),
]


def _exactly(matrix: Matrix) -> Any:
    """As fractions, which arithmetic leaves exact."""
    return np.array([[Fraction(x) for x in row] for row in matrix])


@pytest.mark.parametrize("found", EACH, ids=lambda f: f"F({f.outputs}, {f.taps})")
def test_products_by_points_are_the_direct_sum(found: Filtering) -> None:
    rng = np.random.default_rng(0)
    d, g = rng.normal(0, 1, found.points), rng.normal(0, 1, found.taps)
    values = np.array(found.values[1]) @ (np.array(found.values[0]) @ d)
    products = (np.array(found.weights) @ g) * values
    y = np.array(found.result[1]) @ (np.array(found.result[0]) @ products)
    direct = [d[i : i + found.taps] @ g for i in range(found.outputs)]
    np.testing.assert_allclose(y, direct, rtol=0, atol=1e-12)


@pytest.mark.parametrize("nested", FILTERINGS, ids=lambda nested: nested.name)
def test_a_filtering_of_filterings_is_one_of_a_longer_window(nested: Any) -> None:
    rng = np.random.default_rng(0)
    outer, inner = nested.outer, nested.inner
    d, g = rng.normal(0, 1, nested.outputs + nested.taps - 1), rng.normal(0, 1, nested.taps)
    sides = [
        [np.array(second) @ np.array(first) for first, second in (f.values, f.result)]
        for f in (outer, inner)
    ]
    blocks = np.array([d[inner.outputs * i :][: inner.points] for i in range(outer.points)])
    weights = np.array(outer.weights) @ g.reshape(outer.taps, inner.taps)
    products = (weights @ np.array(inner.weights).T) * (sides[0][0] @ blocks @ sides[1][0].T)
    y = (sides[0][1] @ products @ sides[1][1].T).reshape(-1)
    direct = [d[i : i + nested.taps] @ g for i in range(nested.outputs)]
    np.testing.assert_allclose(y, direct, rtol=0, atol=1e-11)


@pytest.mark.parametrize("nested", FILTERINGS, ids=lambda nested: nested.name)
def test_what_multiplies_activations_is_exact_in_float32(nested: Any) -> None:
    for filtering, kind in product((nested.outer, nested.inner), ("values", "result")):
        for matrix in getattr(filtering, kind):
            np.testing.assert_array_equal(np.array(matrix, np.float32), np.array(matrix))


def test_the_small_tiles_of_3x3_windows_are_those_of_the_paper_but_for_signs() -> None:
    values, result = (np.array(whole(steps)) for steps in (F2.values, F2.result))
    paper = {
        "values": [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        "weights": [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]],
        "result": [[1, 1, 1, 0], [0, 1, -1, -1]],
    }
    order, signs = [2, 0, 1, 3], np.array([-1, 1, 1, 1])
    np.testing.assert_array_equal(np.abs(values[order]), np.abs(paper["values"]))
    np.testing.assert_array_equal(
        np.array(F2.weights)[order] * signs[:, None], np.array(paper["weights"])
    )
    np.testing.assert_array_equal(np.abs(result[:, order]), np.abs(paper["result"]))


@pytest.mark.parametrize("pairs", ["", "1", "1 2 3"])
def test_another_number_of_points_is_refused(pairs: str) -> None:
    with pytest.raises(ValueError, match=r"F\(4, 3\) takes 6 points"):
        toom_cook(4, 3, pairs)
