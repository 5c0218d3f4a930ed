"""Filtering along rows: where it is chosen, how it rounds, and the reference of its weights.

Its kernels are tested with the others of single samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.compiler import Options, lower
from cnnc.diagnostics import Source
from cnnc.ops.single_winograd1d_weight import LineWeight
from cnnc.ops.toom_cook import FILTERINGS, Filtering, Nested


def test_long_windows_are_filtered_along_rows_and_what_has_no_such_form_is_direct() -> None:
    text = """model m {
        input a: float32[32, 256]
        input b: float32[32, 16, 16]
        line = a -> conv(32, 9, pad=same)
        brief = a -> conv(32, 3, pad=same)
        square = b -> conv(32, 5x5, pad=same)
        pair = a -> conv(32, 2)
        stride = a -> conv(32, 9, stride=2)
        dilation = a -> conv(32, 9, dilation=2)
        three = b -> reshape([32, 4, 8, 8]) -> conv(32, 3x3x5)
        few = a -> conv(1, 1) -> conv(1, 4)
        output line, brief, square, pair, stride, dilation, three, few
    }"""
    for algorithm in (None, "winograd1d"):
        program = dict(lower(Source("m.cnn", text), Options(algorithm=algorithm)))["program"]
        kernels = {kernel.name: kernel.form for kernel in program.kernels}
        forms = [kernels[f"conv{number}_forward_single"] for number in range(1, 10)]
        assert [form.ALGORITHM for form in forms[:3]] == ["winograd1d"] * 3
        assert {form.ALGORITHM for form in forms[3:8]} == {"direct"}
        assert (algorithm or "direct") == forms[8].ALGORITHM
        assert "F(4, 3) x F(3, 3) along rows" in forms[0].reason()


def _error_along_rows(nested: Nested, channels: int) -> tuple[float, float]:
    """Of a tile by the filtering and by the direct sum, both in float32."""
    rng = np.random.default_rng(0)
    m, taps, each = nested.outputs, nested.taps, nested.inner.outputs
    (b0, a0, g0), (b1, a1, g1) = (
        (*(_both(f, kind) for kind in ("values", "result")), np.array(f.weights))
        for f in (nested.outer, nested.inner)
    )
    found = []
    for _ in range(200):
        x = rng.normal(0, 1, (channels, m + taps - 1)).astype(np.float32)
        w = rng.normal(0, 1 / np.sqrt(taps * channels), (channels, taps)).astype(np.float32)
        blocks = [x[:, each * i : each * i + nested.inner.points] for i in range(len(b0))]
        weights = g0 @ w.reshape(channels, -1, nested.inner.taps) @ g1.T
        products = weights.astype(np.float32) * (b0 @ np.stack(blocks, 1) @ b1.T)
        tile = a0 @ np.add.accumulate(products)[-1] @ a1.T
        direct = np.stack([x[:, t : t + m] * w[:, t : t + 1] for t in range(taps)], 1)
        double = [x[:, t : t + m].astype(float) * w[:, t : t + 1] for t in range(taps)]
        exact = sum(double).sum(0)
        both = (tile.reshape(-1), np.add.accumulate(direct.reshape(-1, m))[-1])
        found.append([np.abs(y - exact).max() for y in both])
    mine, other = np.mean(found, 0)
    return float(mine), float(other)


def _both(filtering: Filtering, kind: str) -> Any:
    """The product of a filtering's two steps, as float32."""
    first, second = (np.array(step) for step in getattr(filtering, kind))
    return (second @ first).astype(np.float32)


@pytest.mark.parametrize("channels", [16, 128])
@pytest.mark.parametrize("nested", FILTERINGS, ids=lambda nested: nested.name)
def test_filtering_along_rows_rounds_little_more_than_the_direct_sum(
    nested: Nested, channels: int
) -> None:
    mine, direct = _error_along_rows(nested, channels)
    assert 0 < mine < 2 * direct


@pytest.mark.parametrize("filtering", range(len(FILTERINGS)))
@pytest.mark.parametrize("kernel", [(1, 3), (2, 9), (3, 11)])
def test_transformed_weights_make_the_direct_sum_of_a_tile(
    kernel: tuple[int, int], filtering: int
) -> None:
    rng = np.random.default_rng(0)
    (rows, taps), channels, filters, lanes = kernel, 3, 5, 4
    op = LineWeight(filters, channels, kernel, filtering, lanes)
    nested, parts = op.nested, op.parts
    (b0, a0), (b1, a1) = (
        [np.linalg.multi_dot(step[::-1]) for step in (f.values, f.result)]
        for f in (nested.outer, nested.inner)
    )
    weight = rng.normal(0, 1, (filters, channels, rows, taps))
    packed = op.forward({"weight": weight})
    assert packed.shape == op.output_shape(())
    points = packed.reshape(2, len(b0), len(b1), rows, parts, channels, lanes)
    x = rng.normal(0, 1, (channels, rows, nested.outputs + parts * nested.taps - 1))
    found = np.zeros((2, lanes, nested.outputs))
    for row in range(rows):
        for part in range(parts):
            starts = [part * nested.taps + i * nested.inner.outputs for i in range(len(b0))]
            tile = np.stack([x[:, row, at : at + len(b1)] for at in starts], 1)
            values = b0 @ tile @ b1.T
            products = np.einsum("gpqcl,cpq->glpq", points[:, :, :, row, part], values)
            found += (a0 @ products @ a1.T).reshape(found.shape)
    windows = np.lib.stride_tricks.sliding_window_view(x, taps, 2)[:, :, : nested.outputs]
    direct = np.einsum("crnt,fcrt->fn", windows, weight)
    np.testing.assert_allclose(found.reshape(-1, nested.outputs)[:filters], direct, atol=1e-10)
    assert not found.reshape(-1, nested.outputs)[filters:].any()
