"""Conversion: the value of an expression -> what a Field of that kind gives an op.

Says whether a value fits and never why in a diagnostic's words; that is arguments.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cnnc.frontend import spec as s
from cnnc.frontend.values import Value, show
from cnnc.ops.field import Field, Kind

T = TypeVar("T")


class WrongKindError(Exception):
    """The value is not of the field's kind."""


class OutOfRangeError(Exception):
    """The value is of the right kind, but not in the field's range; carries the range in words."""


def describe(target: Field) -> str:
    """What a field may be, in words."""
    if target.kind is Kind.WORD:
        return f"one of {', '.join(target.choices)}"
    return str(target.kind.value)


def read(target: Field, value: Value) -> object:
    """The value as the op gets it. Raises WrongKindError or OutOfRangeError."""
    match target.kind:
        case Kind.COUNT:
            return _count(target, value)
        case Kind.COUNTS:
            return _each(_count, target, value)
        case Kind.INTEGER:
            return _in_range(_integer(value), target.minimum, target.below)
        case Kind.NUMBER:
            return _number(target, value)
        case Kind.NUMBERS:
            return _each(_number, target, value)
        case Kind.WORD:
            return _word(target, value)
        case Kind.FLAG:
            if not isinstance(value, bool):
                raise WrongKindError
            return value
        case Kind.EXTENT:
            return _extent(target, value)
        case Kind.PADDING:
            return _padding(value)
        case _:
            raise WrongKindError


def _each(convert: Callable[[Field, Value], T], target: Field, value: Value) -> T | list[T]:
    """One value, or a list of them."""
    if isinstance(value, list):
        return [convert(target, item) for item in value]
    return convert(target, value)


def _count(target: Field, value: Value) -> int:
    least = 1 if target.minimum is None else int(target.minimum)
    return int(_in_range(_integer(value), least, target.below))


def _number(target: Field, value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongKindError
    return float(_in_range(value, target.minimum, target.below))


def _word(target: Field, value: Value) -> str:
    if not isinstance(value, s.Word):
        raise WrongKindError
    if value.text not in target.choices:
        raise OutOfRangeError(describe(target))
    return value.text


def _integer(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 2**63:
        raise WrongKindError
    if value != int(value):
        raise WrongKindError
    return int(value)


def _in_range(value: float, minimum: float | None, below: float | None) -> float:
    if (minimum is not None and value < minimum) or (below is not None and value >= below):
        bounds = (
            "" if minimum is None else f"at least {show(minimum)}",
            "" if below is None else f"below {show(below)}",
        )
        raise OutOfRangeError(" and ".join(filter(None, bounds)))
    return value


def _extent(target: Field, value: Value) -> int | tuple[int, ...]:
    least = 1 if target.minimum is None else int(target.minimum)
    if isinstance(value, s.Extent | list):
        items = value.sizes if isinstance(value, s.Extent) else value
        sizes = tuple(_integer(item) for item in items)
        for size in sizes:
            _in_range(size, least, target.below)
        return sizes
    size = _integer(value)
    _in_range(size, least, target.below)
    return size


def _padding(value: Value) -> object:
    match value:
        case s.Word(text="same" | "valid"):
            return value.text
        case s.Extent():
            return list(value.sizes)
        case list():
            return [_sides(item) for item in value]
        case _:
            return _sides(value)


def _sides(value: Value) -> int | tuple[int, int]:
    if isinstance(value, tuple):
        if len(value) != 2:
            raise WrongKindError
        before, after = (_integer(item) for item in value)
        _in_range(min(before, after), 0, None)
        return before, after
    side = _integer(value)
    _in_range(side, 0, None)
    return side
