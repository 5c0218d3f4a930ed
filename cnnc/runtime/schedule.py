"""How the learning rate goes through a training: the factor on it, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable


def _constant(progress: float) -> float:
    del progress
    return 1.0


def _linear(progress: float) -> float:
    return 1.0 - progress


def _cosine(progress: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
}
"""Schedule -> the factor at a progress from 0, the first step, towards 1.

linear and cosine end near 0. cosine: Loshchilov and Hutter 2017, SGDR, equation 5 without restarts.
"""
