"""Initialisers that take numbers: what they refuse, and what they give whatever the fans."""

from __future__ import annotations

import pytest

from cnnc.ops import INITIALIZERS
from cnnc.ops.field import OpError


@pytest.mark.parametrize("limit", [0.0, float("inf"), 1e39])
def test_a_uniform_distribution_has_a_width(limit: float) -> None:
    with pytest.raises(OpError, match="uniform needs a limit above 0"):
        INITIALIZERS["uniform"].bind({"limit": limit})


def test_a_uniform_distribution_knows_no_fans() -> None:
    uniform = INITIALIZERS["uniform"].bind({"limit": 0.05})
    assert uniform.limit(1, 1) == uniform.limit(100, 7) == 0.05
    assert uniform.value() == 0
