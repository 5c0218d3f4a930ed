"""Arithmetic: the signs and functions of expressions, as Python has them, without what takes long.

Raises Python's own exceptions for what has no result; their words are the evaluator's.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TypeAlias

Number: TypeAlias = int | float
"""A flag is an int here, as in Python."""


def _power(base: Number, exponent: Number) -> Number:
    """Python's power, without what takes long or leaves the reals."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        if abs(base) > 1 and exponent * math.log2(abs(base)) > 64:
            raise OverflowError
        return int(base**exponent) if abs(base) > 1 else base ** (2 - exponent % 2)
    if base < 0 and not float(exponent).is_integer():
        raise ValueError
    return float(base) ** exponent if exponent else 1


SIGNS: dict[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": _power,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
"""Signs between two numbers."""


def _only(function: Callable[[Number], Number]) -> Callable[[Sequence[Number]], Number]:
    return lambda numbers: function(numbers[0])


SEVERAL: dict[str, Callable[[Sequence[Number]], Number]] = {"min": min, "max": max}
"""Functions of one number or more."""

SINGLE: dict[str, Callable[[Sequence[Number]], Number]] = {
    "abs": _only(abs),
    "ceil": _only(math.ceil),
    "floor": _only(math.floor),
    "round": _only(round),
}
"""Functions of one number; all but abs give an integer, and round takes halves to even ones."""

FUNCTIONS = SEVERAL | SINGLE
"""Functions by name."""
