"""Learning-rate schedules, and that fit follows them."""

from __future__ import annotations

import pytest

from cnnc.ir.graph import SCHEDULES as NAMES
from cnnc.runtime.schedule import SCHEDULES


def test_the_language_and_the_runtime_know_the_same_schedules() -> None:
    assert tuple(SCHEDULES) == NAMES


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_a_schedule_starts_at_one_and_falls_to_zero(name: str) -> None:
    factors = [SCHEDULES[name](step / 100) for step in range(101)]
    assert factors[0] == 1
    assert factors[50] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    assert factors == sorted(factors, reverse=True)


def test_constant_stays() -> None:
    assert {SCHEDULES["constant"](step / 7) for step in range(8)} == {1.0}
