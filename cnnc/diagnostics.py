"""Sources, places in them, what to say about them, and how it is printed.

Turns diagnostics into text with carets, in the manner of rustc, or into JSON. Knows nothing of the
language: it is given a place and words.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Source:
    """A spec's text; `name` is how messages call the file (as the user wrote the path)."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Span:
    """The half-open range [start, end) of characters in a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """1-based line of the first character."""
        return self.source.text.count("\n", 0, self.start) + 1

    @property
    def column(self) -> int:
        """1-based column of the first character."""
        return self.start - self.source.text.rfind("\n", 0, self.start)

    @property
    def end_line(self) -> int:
        """1-based line of the first character after the range."""
        return self.source.text.count("\n", 0, self.end) + 1

    @property
    def end_column(self) -> int:
        """1-based column of the first character after the range."""
        return self.end - self.source.text.rfind("\n", 0, self.end)

    @property
    def text(self) -> str:
        """The characters of the range."""
        return self.source.text[self.start : self.end]

    @property
    def line_text(self) -> str:
        """The whole line on which the range starts, without its end."""
        text = self.source.text
        end = text.find("\n", self.start)
        return text[text.rfind("\n", 0, self.start) + 1 : end if end >= 0 else len(text)]

    def to(self, other: Span) -> Span:
        """The range from the start of this one to the end of the other."""
        return Span(self.source, self.start, other.end)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One complaint. `code` is a readable slug, declared once in CODES."""

    code: str
    message: str
    span: Span | None
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: str = "error"
    file: str | None = None
    """The file it concerns, where it has no place in one."""


class CompileError(Exception):
    """A spec or a build that cannot go on; carries every independent diagnostic."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("; ".join(d.message for d in diagnostics))
        self.diagnostics = tuple(diagnostics)

    def __str__(self) -> str:
        return render(self.diagnostics)


SPEC_CODES: dict[str, str] = {
    # form
    "unexpected-character": "a character that the language does not use",
    "unclosed-string": "a string without its closing quote",
    "unclosed-parenthesis": "a ( or [ without its partner",
    "unclosed-brace": "a { without its partner",
    "unmatched-bracket": "a closing bracket that nothing opened",
    "missing-brace": "a model or train block without its {",
    "missing-arrow": "two layers on a line without -> between them",
    "dangling-arrow": "a -> with nothing before or after it",
    "missing-comma": "two arguments without a comma between them",
    "missing-value": "a name or a sign that a value should follow",
    "spaced-extent": "an extent with spaces in it",
    "misplaced-block": "a model, block, import, train, input or output where it cannot stand",
    "syntax-error": "any other text that is not a spec",
    "too-large": "text, numbers, tensors or models beyond the limits",
    "too-deep": "brackets or expressions nested beyond the limit",
    # names
    "bad-name": "a name that is reserved or not a plain identifier",
    "duplicate-name": "a name given twice",
    "undefined-name": "a name that stands for nothing",
    "unknown-layer": "a layer that does not exist",
    "unknown-argument": "an argument that the layer does not have",
    "unknown-type": "an input type that does not exist",
    "unknown-loss": "a loss that does not exist",
    "unknown-optimizer": "an optimizer that does not exist",
    "unknown-schedule": "a learning-rate schedule that does not exist",
    "unknown-key": "an entry that the train block does not have",
    "unused-name": "a value, parameter or let that nothing reads",
    "unused-layer": "a layer whose result reaches no output",
    "unused-input": "an input that reaches no output",
    # files and blocks
    "bad-import": "an import that is not there, cannot be read or leads out of the search path",
    "import-cycle": "files that import each other",
    "recursive-block": "a block that contains itself",
    # arguments
    "repeated-argument": "an argument given twice",
    "missing-argument": "an argument without a default that is not given",
    "extra-argument": "more arguments than the layer has",
    "bad-type": "a value of the wrong kind",
    "bad-value": "a value of the right kind that makes no sense",
    "arithmetic": "a division by zero or another impossible calculation",
    # networks
    "shape-mismatch": "an input whose shape the layer cannot take",
    "rank-mismatch": "a window, stride or padding of other axes than the input",
    "kernel-too-large": "a window larger than its padded input",
    "stride-too-large": "a stride larger than its padded input",
    "misplaced-value": "a value, join or label where it cannot stand",
    "no-model": "a file without a model",
    "ambiguous-model": "several models and no choice among them",
    "no-input": "a layer before the first input",
    "empty-model": "a model or block without layers",
    "bad-output": "an output that is not a layer's result",
    "bad-training": "a train block that does not fit the model",
}
"""What a spec's text can do wrong."""

OTHER_CODES: dict[str, str] = {
    "unreadable-file": "a spec that is missing, not a file or not UTF-8 text",
    "unknown-model": "a model, asked for by name, that the file does not have",
    "unknown-parameter": "a model parameter, set from outside, that the model does not have",
    "build-target": "a target that does not exist, or that the machine's compiler cannot serve",
    "build-no-compiler": "no C compiler that runs",
    "build-no-headers": "no Python or NumPy headers for the C compiler",
    "build-failed": "Cython or the C compiler fails on the generated source",
    "build-killed": "Cython or the C compiler was ended by a signal",
    "build-cache": "a cache directory that cannot be used",
    "build-output": "an output directory that cannot be written",
}
"""What can go wrong around a spec: files, options, tools."""

CODES: dict[str, str] = SPEC_CODES | OTHER_CODES
"""Every code with its meaning."""


_WIDEST_LINE = 120
_RESET = "\x1b[0m"
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m"}
_BOLD = "\x1b[1m"
_BLUE = "\x1b[1;34m"


def use_color(stream: TextIO, requested: bool | None = None) -> bool:
    """Whether to colour what goes to a stream: never without a terminal.

    `requested` is the user's flag; None leaves it to the terminal and the NO_COLOR convention.
    """
    if requested is False or not stream.isatty():
        return False
    return requested is True or not (os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb")


def render(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """The diagnostics as text, a blank line between them, no newline at the end."""
    return "\n\n".join(_render_one(d, color) for d in diagnostics)


def summarize(diagnostics: Iterable[Diagnostic]) -> str:
    """How many there are, e.g. `2 errors, 1 warning`."""
    severities = [d.severity for d in diagnostics]
    counts = ((kind, severities.count(kind)) for kind in ("error", "warning"))
    return ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts if n)


def record(diagnostic: Diagnostic) -> dict[str, object]:
    """The diagnostic for tools. Lines and columns count from 1; the end is exclusive."""
    span = diagnostic.span
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "file": span.source.name if span else diagnostic.file,
        "line": span.line if span else None,
        "column": span.column if span else None,
        "end_line": span.end_line if span else None,
        "end_column": span.end_column if span else None,
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
    }


def render_json(diagnostics: Iterable[Diagnostic]) -> str:
    """The diagnostics as a JSON array of records."""
    return json.dumps([record(d) for d in diagnostics], indent=2)


def _render_one(diagnostic: Diagnostic, color: bool) -> str:
    def paint(text: str, style: str) -> str:
        return f"{style}{text}{_RESET}" if color else text

    accent = _COLORS.get(diagnostic.severity, _BOLD)
    head = paint(f"{diagnostic.severity}[{diagnostic.code}]", accent)
    lines = [head + paint(f": {_printable(diagnostic.message)}", _BOLD)]
    margin = 1
    if (span := diagnostic.span) is not None:
        number, (code, marks) = str(span.line), _excerpt(span)
        margin = len(number)
        bar = paint(f"{' ' * margin}  |", _BLUE)
        place = f"{_printable(span.source.name)}:{span.line}:{span.column}"
        lines.append(f"{' ' * margin} {paint('-->', _BLUE)} {place}")
        lines.append(bar)
        lines.append(f"{paint(f' {number} |', _BLUE)} {code}".rstrip())
        lines.append(f"{bar} {paint(marks, accent) if color else marks}")
    remarks = [f"note: {note}" for note in diagnostic.notes]
    if diagnostic.help:
        remarks.append(f"help: {diagnostic.help}")
    sign = f"{' ' * margin}  {paint('=', _BLUE)}"
    for remark in remarks:
        first, *rest = map(_printable, remark.split("\n"))
        lines.append(f"{sign} {first}")
        lines.extend(f"{' ' * (margin + 10)}{line}" for line in rest)
    return "\n".join(lines)


def _excerpt(span: Span) -> tuple[str, str]:
    """The first line of a span as shown, and the carets under it."""
    text, start = span.line_text, span.column - 1
    end = min(start + span.end - span.start, len(text))
    before, guilty, after = map(_printable, (text[:start], text[start:end], text[end:]))
    if _width(before + guilty + after) > _WIDEST_LINE:
        before = before if len(before) <= 40 else "…" + before[-39:]
        guilty = guilty if len(guilty) <= 60 else guilty[:59] + "…"
        after = after if len(after) <= 20 else after[:19] + "…"
    marks = " " * _width(before) + "^" * max(_width(guilty), 1)
    return (before + guilty + after).rstrip(), marks


def _printable(text: str) -> str:
    """The text without what could move the cursor or hide other text."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_printable_character, text))


def _printable_character(char: str) -> str:
    if char == "\t":
        return "    "
    if char in "\r\ufeff":
        return ""
    return "\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char


def _width(text: str) -> int:
    """How many terminal cells the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
