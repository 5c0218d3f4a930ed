"""Report: where the parts of the resolver put what they find, so that one run tells all of it.

A mistake in a block is found in every call of it and told once, with the way to the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cnnc.diagnostics import CompileError, Diagnostic, Source, Span


class RefusedError(Exception):
    """What was asked for cannot be had, and the report already says why."""


class ExhaustedError(Exception):
    """A limit is reached: nothing more is looked for, and the report already says why."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is being expanded: `what`, e.g. `block residual, called`, at `span`.

    An empty `what` says that it needs no words, as the first pass of a repeat.
    """

    what: str
    span: Span

    def note(self, seen_from: Source) -> str:
        """`in block residual, called at line 14`."""
        return f"in {self.what} at {place(self.span, seen_from)}"


@dataclass(slots=True)
class _Found:
    diagnostic: Diagnostic
    path: tuple[Frame, ...]
    others: int = 0
    """In how many more calls it was found."""

    def told(self, origins: dict[str, tuple[str, ...]]) -> Diagnostic:
        """The diagnostic with the way that leads to it."""
        span = self.diagnostic.span
        if span is None:
            return self.diagnostic
        notes = [frame.note(span.source) for frame in reversed(self.path) if frame.what]
        if len(notes) > _LONGEST_PATH:
            half = _LONGEST_PATH // 2
            notes[half:-half] = [f"… {len(notes) - 2 * half} more …"]
        if self.others and notes:
            notes[0] += f"; the same in {self.others} more place{'s' * (self.others > 1)}"
        notes.extend(origins.get(span.source.name, ()))
        return replace(self.diagnostic, notes=(*self.diagnostic.notes, *notes))


_LONGEST_PATH = 8


class Report:
    """Diagnostics in the order in which they were found, `limit` of them at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._found: dict[tuple[str, str, Span | None], list[_Found]] = {}
        self._sources: dict[str, int] = {}
        self._origins: dict[str, tuple[str, ...]] = {}
        self._path: tuple[Frame, ...] = ()
        self.failed = False
        """Whether an error was found."""

    @contextmanager
    def inside(self, frame: Frame) -> Iterator[None]:
        """Add a frame to the path of whatever is reported meanwhile."""
        outer = self._path
        self._path = (*outer, frame)
        try:
            yield
        finally:
            self._path = outer

    def imported(self, source: Source, origin: str) -> None:
        """Have what is said about a file say who imports it; without an origin, the first file."""
        self._sources.setdefault(source.name, len(self._sources))
        if origin:
            self._origins[source.name] = (origin,)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None,
        *,
        notes: Iterable[str] = (),
        help: str | None = None,
    ) -> None:
        """Add an error; the same one is added once."""
        self._add(Diagnostic(code, message, span, tuple(notes), help))

    def warning(self, code: str, message: str, span: Span, *, help: str | None = None) -> None:
        """Add a warning."""
        self._add(Diagnostic(code, message, span, (), help, severity="warning"))

    def refuse(
        self, code: str, message: str, span: Span, *, help: str | None = None
    ) -> RefusedError:
        """Add an error and return what to raise."""
        self.error(code, message, span, help=help)
        return RefusedError()

    def _add(self, diagnostic: Diagnostic) -> None:
        error = diagnostic.severity == "error"
        self.failed |= error
        known = self._found.setdefault((diagnostic.severity, diagnostic.code, diagnostic.span), [])
        for found in known:
            if found.path != self._path:
                found.others += 1
                return
            if found.diagnostic == diagnostic:
                return
        if self._count < self._limit:
            self._count += 1
            known.append(_Found(diagnostic, self._path))
        elif error:
            raise ExhaustedError

    def ordered(self) -> list[Diagnostic]:
        """The diagnostics in the order of their places, file by file."""
        told = [found.told(self._origins) for same in self._found.values() for found in same]
        return sorted(told, key=self._rank)

    def _rank(self, diagnostic: Diagnostic) -> tuple[int, int]:
        span = diagnostic.span
        if span is None:
            return -1, -1
        return self._sources.get(span.source.name, 0), span.start

    def close(self) -> None:
        """Raise CompileError where an error was found."""
        if self.failed:
            raise CompileError(self.ordered())


def place(span: Span, seen_from: Source) -> str:
    """`line 4`, or `blocks.cnn:4` in another file than the one that the reader looks at."""
    if span.source.name == seen_from.name:
        return f"line {span.line}"
    return f"{span.source.name}:{span.line}"


def on_line(span: Span, seen_from: Source) -> str:
    """`on line 4`, or `at blocks.cnn:4`."""
    same = span.source.name == seen_from.name
    return f"{'on' if same else 'at'} {place(span, seen_from)}"
