"""Evaluator: expressions -> numbers, flags and the words, extents and tuples that arguments take.

Arithmetic is Python's, bounded: integers of 64 bits, finite floats. Does not know what an argument
may be; see arguments.py.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from cnnc.frontend import spec as s
from cnnc.frontend.limits import Limits
from cnnc.frontend.names import suggest
from cnnc.frontend.report import RefusedError, Report

T = TypeVar("T")
Number: TypeAlias = int | float
Value: TypeAlias = (
    "int | float | s.Text | s.Extent | s.Word | s.Call | tuple[Value, ...] | list[Value]"
)
"""bool is an int here, as in Python; a Word is a name that is no parameter."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A model parameter's value, None where its default could not be worked out."""

    value: Number | None
    origin: str
    """Who set it, as a note ends: `is set on line 2`."""


class Evaluator:
    """Works out expressions in the scope of a model's parameters."""

    def __init__(self, report: Report, limits: Limits) -> None:
        self._report = report
        self._limits = limits
        self.settings: dict[str, Setting] = {}
        self.used: set[str] = set()

    def value(self, expression: s.Expression) -> Value:
        """What an expression stands for. Raises RefusedError after reporting why there is none."""
        match expression:
            case s.Number() | s.Flag():
                return expression.value
            case s.Word():
                return self._word(expression)
            case s.Text() | s.Extent() | s.Call():
                return expression
            case s.Tuple():
                return tuple(self._each(expression.items))
            case s.List():
                return self._each(expression.items)
            case s.Unary():
                return self._unary(expression)
            case s.Binary():
                return self._binary(expression)
            case s.Conditional():
                test = self._flag(expression.test)
                return self.value(expression.then if test else expression.otherwise)

    def notes(self, expression: s.Expression) -> tuple[str, ...]:
        """Where the parameters in an expression got their values."""
        names = dict.fromkeys(w.text for w in _words(expression) if w.text in self.settings)
        settings = ((name, self.settings[name]) for name in names)
        return tuple(
            f"{name} = {show(setting.value)} {setting.origin}"
            for name, setting in settings
            if setting.value is not None
        )

    def undefined(self, word: s.Word) -> RefusedError:
        """Report a word that should have been a parameter."""
        help = suggest(word.text, self.settings, "parameters")
        return self._report.refuse(
            "undefined-name", f"no parameter is called {word.text}", word.span, help=help
        )

    def _word(self, word: s.Word) -> Value:
        setting = self.settings.get(word.text)
        if setting is None:
            return word
        self.used.add(word.text)
        if setting.value is None:
            raise RefusedError
        return setting.value

    def _each(self, expressions: tuple[s.Expression, ...]) -> list[Value]:
        values = [_attempt(self.value, expression) for expression in expressions]
        kept = [value for value in values if value is not None]
        if len(kept) < len(values):
            raise RefusedError
        return kept

    def _operand(self, expression: s.Expression) -> Number:
        value = self.value(expression)
        if isinstance(value, s.Word):
            raise self.undefined(value)
        if not isinstance(value, int | float):
            message = f"arithmetic needs a number, got {show(value)}"
            raise self._report.refuse("bad-type", message, expression.span)
        return value

    def _flag(self, expression: s.Expression) -> bool:
        value = self.value(expression)
        if isinstance(value, s.Word):
            raise self.undefined(value)
        if not isinstance(value, bool):
            message = f"expected a comparison, yes or no, got {show(value)}"
            raise self._report.refuse("bad-type", message, expression.span)
        return value

    def _number(self, expression: s.Expression) -> Number:
        value = self._operand(expression)
        if isinstance(value, bool):
            message = f"arithmetic needs a number, got {show(value)}"
            raise self._report.refuse("bad-type", message, expression.span)
        return value

    def _unary(self, unary: s.Unary) -> Value:
        if unary.sign == "not":
            return not self._flag(unary.operand)
        value = self._number(unary.operand)
        return -value if unary.sign == "-" else value

    def _binary(self, binary: s.Binary) -> Value:
        sign = binary.sign
        if sign in ("and", "or"):
            left_flag = self._flag(binary.left)
            if left_flag == (sign == "or"):
                return left_flag
            return self._flag(binary.right)
        read = self._operand if sign in ("==", "!=") else self._number
        left, right = _attempt(read, binary.left), _attempt(read, binary.right)
        if left is None or right is None:
            raise RefusedError
        if sign in ("==", "!=") and isinstance(left, bool) != isinstance(right, bool):
            message = f"cannot compare {show(left)} with {show(right)}"
            raise self._report.refuse("bad-type", message, binary.span)
        try:
            return self._bounded(_CALCULATE[sign](left, right))
        except ZeroDivisionError:
            problem = f"{show(left)} {sign} {show(right)} divides by zero"
        except OverflowError:
            problem = f"{show(left)} {sign} {show(right)} is too large a number"
        except ValueError:
            problem = f"{show(left)} {sign} {show(right)} is not a real number"
        self._report.error("arithmetic", problem, binary.span, notes=self.notes(binary))
        raise RefusedError

    def _bounded(self, value: Number) -> Number:
        if isinstance(value, int):
            if abs(value) > self._limits.integer:
                raise OverflowError
        elif not math.isfinite(value):
            raise OverflowError
        return value


def _attempt(read: Callable[[s.Expression], T], expression: s.Expression) -> T | None:
    """What reading gives, None where it is refused: its neighbours are looked at all the same."""
    try:
        return read(expression)
    except RefusedError:
        return None


def _power(base: Number, exponent: Number) -> Number:
    """Python's power, without what takes long or leaves the reals."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
        if abs(base) > 1 and exponent * math.log2(abs(base)) > 64:
            raise OverflowError
        return int(base**exponent) if abs(base) > 1 else base ** (2 - exponent % 2)
    if base < 0 and not float(exponent).is_integer():
        raise ValueError
    return float(base) ** exponent if exponent else 1


_CALCULATE: dict[str, Callable[[Number, Number], Number]] = {
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


def _words(expression: s.Expression) -> Iterator[s.Word]:
    match expression:
        case s.Word():
            yield expression
        case s.Unary():
            yield from _words(expression.operand)
        case s.Binary():
            yield from _words(expression.left)
            yield from _words(expression.right)
        case s.Conditional():
            for part in (expression.then, expression.test, expression.otherwise):
                yield from _words(part)
        case s.Tuple() | s.List():
            for item in expression.items:
                yield from _words(item)
        case _:
            return


def show(value: object) -> str:
    """A value as messages write it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer() and abs(value) < 1e15:
            return f"{value:.1f}"
        case int() | float():
            return repr(value)
        case s.Word() | s.Text() | s.Call():
            text = value.span.text
            return text if len(text) <= 40 else text[:39] + "…"
        case s.Extent():
            return "x".join(map(str, value.sizes))
        case tuple():
            return f"({', '.join(map(show, value))})"
        case list():
            return f"[{', '.join(map(show, value))}]"
        case _:
            return str(value)
