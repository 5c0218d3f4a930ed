"""Arguments: what stands in a layer's parentheses -> the checked values of its Fields.

Serves layers, losses, optimizers and initialisers alike. Does not know what the values mean: that
is the op's `bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cnnc.diagnostics import Span
from cnnc.frontend import spec as s
from cnnc.frontend.conversion import OutOfRangeError, WrongKindError, describe, read
from cnnc.frontend.evaluator import Evaluator
from cnnc.frontend.names import WORDS, suggest
from cnnc.frontend.report import RefusedError, Report
from cnnc.frontend.values import Value, show
from cnnc.ops import INITIALIZERS, OPS
from cnnc.ops.field import Field, Kind, OpError


@dataclass(slots=True)
class Bound:
    """Values by field, defaults included; places and notes of those that the spec gives."""

    values: dict[str, object] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Binder:
    """Binds arguments, reporting everything that is wrong with them."""

    def __init__(self, evaluator: Evaluator, report: Report) -> None:
        self.evaluator = evaluator
        self._report = report

    def bind(
        self,
        owner: str,
        fields: Sequence[Field],
        given: Sequence[s.Argument],
        place: Span,
        convert: Callable[[str, Field, s.Expression], object] | None = None,
    ) -> Bound:
        """The values of all fields. Raises RefusedError where one cannot be had.

        `convert` works out one value, and raises RefusedError too.
        """
        convert = convert or self.convert
        bound = Bound({f.name: f.default for f in fields if not f.required})
        failed = unmatched = False
        for target, argument in self._match(owner, fields, given):
            if target is None:
                failed = unmatched = True
                continue
            bound.spans[target.name] = argument.value.span
            bound.notes[target.name] = self.evaluator.notes(argument.value)
            try:
                bound.values[target.name] = convert(owner, target, argument.value)
            except RefusedError:
                failed = True
        for missing in (f for f in fields if f.required and f.name not in bound.spans):
            # an unknown name may well be this one misspelt: one error is enough
            if not unmatched:
                message = f"{owner} needs {missing.name}: {missing.doc}"
                usage = ", ".join(f.name if f.required else f"{f.name}=…" for f in fields)
                self._report.error(
                    "missing-argument", message, place, help=f"write {owner}({usage})"
                )
            failed = True
        if failed:
            raise RefusedError
        return bound

    def _match(
        self, owner: str, fields: Sequence[Field], given: Sequence[s.Argument]
    ) -> list[tuple[Field | None, s.Argument]]:
        """Each argument with its field, None where it has none."""
        by_name = {f.name: f for f in fields}
        pairs: list[tuple[Field | None, s.Argument]] = []
        taken: set[str] = set()
        named = False
        for place, argument in enumerate(given):
            target: Field | None = None
            if argument.name is not None:
                named = True
                target = by_name.get(argument.name.text)
                if target is None:
                    self._unknown(owner, argument.name, by_name, argument.value)
            elif named:
                message = "arguments by place stand before arguments by name"
                self._report.error("misplaced-value", message, argument.span)
            elif place < len(fields):
                target = fields[place]
            elif place == len(fields):
                self._extra(owner, fields, argument)
            if target is not None and target.name in taken:
                message = f"{owner} gets {target.name} twice"
                self._report.error("repeated-argument", message, argument.span)
                target = None
            if target is not None:
                taken.add(target.name)
            pairs.append((target, argument))
        return pairs

    def _unknown(
        self, owner: str, name: s.Identifier, known: dict[str, Field], value: s.Expression
    ) -> None:
        help = suggest(name.text, known, f"arguments of {owner}")
        if name.text in ("activation", "act", "nonlinearity"):
            layer = value.text if isinstance(value, s.Word) and value.text in OPS else "relu"
            help = f"an activation is a layer of its own: {owner}(...) -> {layer}"
        message = f"{owner} has no argument {name.text}"
        self._report.error("unknown-argument", message, name.span, help=help)

    def _extra(self, owner: str, fields: Sequence[Field], argument: s.Argument) -> None:
        count = len(fields)
        most = "no arguments" if not count else f"at most {count} argument{'s' * (count > 1)}"
        names = ", ".join(f.name for f in fields)
        help = f"arguments of {owner}: {names}" if names else None
        self._report.error("extra-argument", f"{owner} takes {most}", argument.span, help=help)

    def convert(self, owner: str, target: Field, expression: s.Expression) -> object:
        """The value of one field. Raises RefusedError after reporting."""
        value = self.evaluator.value(expression)
        if target.kind is Kind.INITIALIZER:
            return self._initializer(value, expression)
        help = None
        try:
            return read(target, value)
        except WrongKindError:
            if target.kind is Kind.PADDING and isinstance(value, s.Word):
                raise self._no_padding(value, expression) from None
            if not (isinstance(value, s.Word) and value.text in WORDS):
                self.evaluator.refuse_unknown(value)
            code, wanted = "bad-type", describe(target)
            help = _instead(target, value, expression)
            if target.kind is Kind.COUNT and target.minimum == 0:
                wanted = "an integer"
        except OutOfRangeError as error:
            code, wanted = "bad-value", str(error)
            if isinstance(value, s.Word):
                help = suggest(value.text, (*target.choices, *self._visible(value, expression)))
        self._report.error(
            code,
            f"{owner}'s {target.name} must be {wanted}, got {show(value)}",
            expression.span,
            notes=self.evaluator.notes(expression),
            help=help,
        )
        raise RefusedError

    def _visible(self, word: s.Word, expression: s.Expression) -> Iterable[str]:
        """The parameters that a word may have been meant for: none, where a caller wrote it."""
        return self.evaluator.settings if word.span == expression.span else ()

    def _no_padding(self, word: s.Word, expression: s.Expression) -> RefusedError:
        known = ("same", "valid", *self._visible(word, expression))
        help = suggest(word.text, known, "paddings")
        message = f"no padding or parameter is called {word.text}"
        return self._report.refuse("undefined-name", message, word.span, help=help)

    def _initializer(self, value: Value, expression: s.Expression) -> object:
        called = as_call(value)
        if called is None:
            message = f"expected {Kind.INITIALIZER.value}, got {show(value)}"
            help = "write it without quotes" if isinstance(value, s.Text) else None
            raise self._report.refuse("bad-type", message, expression.span, help=help)
        name, arguments = called
        kind = INITIALIZERS.get(name.text)
        if kind is None:
            help = suggest(name.text, INITIALIZERS, "initialisers")
            if "normal" in name.text.lower():
                help = f"initialisers: {', '.join(sorted(INITIALIZERS))}; he and glorot are uniform"
            message = f"no initialiser is called {name.text}"
            raise self._report.refuse("undefined-name", message, name.span, help=help)
        bound = self.bind(name.text, kind.FIELDS, arguments, expression.span)
        try:
            return kind.bind(bound.values)
        except OpError as error:
            blame(self._report, error, bound, expression.span)
            raise RefusedError from None


def _instead(target: Field, value: Value, expression: s.Expression) -> str | None:
    """A hint for a value of another kind than the field's."""
    match value:
        case s.Text() if value.value in WORDS:
            return f"drop the quotes: {target.name}={value.value}"
        case s.Word(text="same" | "valid"):
            return f"{value.text} is a padding: pad={value.text}"
        case tuple() if target.kind is Kind.EXTENT:
            if isinstance(expression, s.Tuple) and all(
                isinstance(item, s.Number) for item in expression.items
            ):
                return f"write {'x'.join(map(show, value))}"
            return "write a list: [k, k]"
        case float() if isinstance(expression, s.Binary) and expression.sign == "/":
            if target.kind in (Kind.COUNT, Kind.INTEGER, Kind.EXTENT, Kind.COUNTS):
                return "// divides and rounds down"
    return None


def blame(
    report: Report, error: OpError, bound: Bound, place: Span, notes: Sequence[str] = ()
) -> None:
    """Report an op's refusal, at the argument that it names or else at `place`."""
    name = error.argument or ""
    span = bound.spans.get(name, place)
    remarks = (*error.notes, *bound.notes.get(name, ()), *notes)
    report.error(error.code, error.message, span, notes=remarks, help=error.help)


def as_call(value: Value | s.Expression) -> tuple[s.Identifier, tuple[s.Argument, ...]] | None:
    """The name and arguments of `he` or `constant(0.1)`, None for what is neither."""
    match value:
        case s.Word():
            return s.Identifier(value.text, value.span), ()
        case s.Call():
            return value.name, value.arguments
        case _:
            return None
