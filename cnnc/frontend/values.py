"""What expressions stand for, and how messages write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from cnnc.diagnostics import Source, Span
from cnnc.frontend import spec as s
from cnnc.frontend.report import on_line

Value: TypeAlias = (
    "int | float | s.Text | s.Extent | s.Word | s.Call | tuple[Value, ...] | list[Value]"
)
"""bool is an int here, as in Python; a Word is a name that is no parameter."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a parameter, `let` or counter; None where it could not be worked out."""

    value: Value | None
    span: Span | None
    """Where it is set; None for what was set from outside the file."""
    verb: str = "is set"

    def origin(self, seen_from: Source) -> str:
        """Who set it, as a note ends: `is set on line 2`."""
        if self.span is None:
            return "was set from outside the file"
        return f"{self.verb} {on_line(self.span, seen_from)}"


def flat(value: Value) -> Iterator[Value]:
    """The value, or what stands in a list or tuple of any depth."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from flat(item)
    else:
        yield value


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
