"""Evaluator: expressions -> numbers, flags and the words, extents and tuples that arguments take.

Arithmetic is Python's, bounded: integers of 64 bits, finite floats. Does not know what an argument
may be; see arguments.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, MutableMapping
from dataclasses import replace
from typing import TypeVar

from cnnc.frontend import spec as s
from cnnc.frontend.arithmetic import FUNCTIONS, SIGNS, SINGLE, Number
from cnnc.frontend.names import WORDS, kind_of, suggest
from cnnc.frontend.report import RefusedError, Report
from cnnc.frontend.values import Setting, Value, flat, show
from cnnc.frontend.walk import words
from cnnc.limits import Limits
from cnnc.ops import INITIALIZERS, OPS

T = TypeVar("T")
_FLAGS = {"True": "yes", "False": "no", "None": "no"}


class Evaluator:
    """Works out expressions in a scope: parameters, lets and counters by name.

    `tensors` are the names of values that layers made; they are no numbers. `hidden` are names
    that cannot be read here, with hints that say how they can.
    """

    def __init__(
        self,
        report: Report,
        limits: Limits,
        settings: MutableMapping[str, Setting],
        tensors: Container[str] = (),
        hidden: Mapping[str, str] | None = None,
    ) -> None:
        self._report = report
        self._limits = limits
        self._tensors = tensors
        self._hidden = hidden or {}
        self.settings = settings

    def value(self, expression: s.Expression) -> Value:
        """What an expression stands for. Raises RefusedError after reporting why there is none."""
        match expression:
            case s.Number() | s.Flag():
                return expression.value
            case s.Word():
                return self._word(expression)
            case s.Call(name=name) if name.text in FUNCTIONS:
                return self._function(expression)
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
                test = self.flag(expression.test)
                return self.value(expression.then if test else expression.otherwise)

    def literal(self, expression: s.Expression) -> Number | None:
        """The number that an expression is, or the setting that it names; None for another one."""
        if isinstance(expression, s.Word) and expression.text in self.settings:
            value = self.settings[expression.text].value
            return value if isinstance(value, int | float) else None
        return expression.value if isinstance(expression, s.Number) else None

    def capture(self, expression: s.Expression) -> Value:
        """The value, independent of this scope, for a parameter or `let` of another one."""
        value = self.value(expression)
        return self._closed(value) if isinstance(value, s.Call) else value

    def _closed(self, call: s.Call) -> s.Call:
        """The call with its arguments worked out."""
        items = []
        for argument in call.arguments:
            value = self.capture(argument.value)
            span = argument.value.span
            if isinstance(value, bool):
                items.append(replace(argument, value=s.Flag(value, span)))
            elif isinstance(value, int | float):
                items.append(replace(argument, value=s.Number(value, span)))
            elif isinstance(value, s.Word | s.Call | s.Extent | s.Text):
                items.append(replace(argument, value=value))
            else:
                items.append(argument)
        return replace(call, arguments=tuple(items))

    def constant(self, expression: s.Expression) -> Value:
        """The value of a parameter or `let`: a number, a flag, or what an argument may be."""
        value = self.capture(expression)
        if isinstance(value, s.Text):
            message = f"expected a number, yes or no, an extent or a word, got {show(value)}"
            raise self._report.refuse("bad-type", message, expression.span)
        for item in flat(value):
            if not (isinstance(item, s.Word) and item.text in WORDS):
                self.refuse_unknown(item, WORDS)
        return value

    def notes(self, expression: s.Expression) -> tuple[str, ...]:
        """Where the parameters in an expression got their values."""
        names = dict.fromkeys(w.text for w in words(expression) if w.text in self.settings)
        settings = ((name, self.settings[name]) for name in names)
        return tuple(
            f"{name} = {show(setting.value)} {setting.origin(expression.span.source)}"
            for name, setting in settings
            if setting.value is not None
        )

    def undefined(self, word: s.Word, among: Iterable[str] = ()) -> RefusedError:
        """Report a word that should have been a parameter, or one of the words `among`."""
        if word.text in self._tensors:
            message = f"{word.text} is the result of layers, and a number is needed here"
            return self._report.refuse("bad-type", message, word.span)
        if kind := kind_of(word.text):
            message = f"{word.text} is {kind}, not {'a value' if word.text in OPS else 'a number'}"
            return self._report.refuse("bad-type", message, word.span)
        help = self._hint(word.text, among)
        return self._report.refuse(
            "undefined-name", f"no parameter is called {word.text}", word.span, help=help
        )

    def _hint(self, name: str, among: Iterable[str]) -> str | None:
        """What may have been meant by a name that stands for nothing."""
        if name in _FLAGS:
            return f"write {_FLAGS[name]}"
        if name in self._hidden:
            return self._hidden[name]
        sizes = name.split("x")
        if len(sizes) > 1 and all(size.isdigit() or size in self.settings for size in sizes):
            return f"write [{', '.join(sizes)}]"
        meant = suggest(name, (*self.settings, *among))
        return meant or suggest(name, self.settings, "parameters")

    def _word(self, word: s.Word) -> Value:
        setting = self.settings.get(word.text)
        if setting is None:
            return word
        if setting.value is None:
            raise RefusedError
        return setting.value

    def _each(self, expressions: tuple[s.Expression, ...]) -> list[Value]:
        values = [_attempt(self.value, expression) for expression in expressions]
        kept = [value for value in values if value is not None]
        if len(kept) < len(values):
            raise RefusedError
        return kept

    def refuse_unknown(self, value: Value, among: Iterable[str] = ()) -> None:
        """Refuse words and functions in a value that stand for nothing, as numbers."""
        for item in flat(value):
            if isinstance(item, s.Word):
                raise self.undefined(item, among)
            if isinstance(item, s.Call) and item.name.text not in INITIALIZERS:
                name = item.name
                help = suggest(name.text, FUNCTIONS, "functions")
                message = f"no function is called {name}"
                raise self._report.refuse("undefined-name", message, name.span, help=help)

    def _operand(self, expression: s.Expression) -> Number:
        value = self.value(expression)
        self.refuse_unknown(value)
        if not isinstance(value, int | float):
            message = f"arithmetic needs a number, got {show(value)}"
            raise self._report.refuse("bad-type", message, expression.span)
        return value

    def flag(self, expression: s.Expression) -> bool:
        """The yes or no that an expression stands for. Raises RefusedError after reporting."""
        value = self.value(expression)
        self.refuse_unknown(value)
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
            return not self.flag(unary.operand)
        value = self._number(unary.operand)
        return -value if unary.sign == "-" else value

    def _binary(self, binary: s.Binary) -> Value:
        sign = binary.sign
        if sign in ("and", "or"):
            left_flag = self.flag(binary.left)
            if left_flag == (sign == "or"):
                return left_flag
            return self.flag(binary.right)
        read = self._operand if sign in ("==", "!=") else self._number
        left, right = _attempt(read, binary.left), _attempt(read, binary.right)
        if left is None or right is None:
            raise RefusedError
        if sign in ("==", "!=") and isinstance(left, bool) != isinstance(right, bool):
            message = f"cannot compare {show(left)} with {show(right)}"
            raise self._report.refuse("bad-type", message, binary.span)
        try:
            return self._bounded(SIGNS[sign](left, right))
        except ZeroDivisionError:
            problem = f"{show(left)} {sign} {show(right)} divides by zero"
        except OverflowError:
            problem = f"{show(left)} {sign} {show(right)} is too large a number"
        except ValueError:
            problem = f"{show(left)} {sign} {show(right)} is not a real number"
        self._report.error("arithmetic", problem, binary.span, notes=self.notes(binary))
        raise RefusedError

    def _function(self, call: s.Call) -> Value:
        name = call.name.text
        named = next((a.name for a in call.arguments if a.name is not None), None)
        if named is not None:
            message = f"{name} takes its numbers by place"
            raise self._report.refuse("unknown-argument", message, named.span)
        count = len(call.arguments)
        if not count or (name in SINGLE and count > 1):
            code = "extra-argument" if count else "missing-argument"
            wanted = "one number" if name in SINGLE else "numbers"
            message = f"{name} takes {wanted}, got {count}"
            raise self._report.refuse(code, message, call.span)
        numbers = [_attempt(self._number, argument.value) for argument in call.arguments]
        known = [number for number in numbers if number is not None]
        if len(known) < count:
            raise RefusedError
        try:
            return self._bounded(FUNCTIONS[name](known))
        except OverflowError:
            message = f"{show(known[0])} is too large a number for {name}"
            raise self._report.refuse("arithmetic", message, call.span) from None

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
