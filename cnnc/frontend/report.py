"""Report: where the parts of the resolver put what they find, so that one run tells all of it."""

from __future__ import annotations

from collections.abc import Iterable

from cnnc.diagnostics import CompileError, Diagnostic, Span


class RefusedError(Exception):
    """What was asked for cannot be had, and the report already says why."""


class Report:
    """Diagnostics in the order in which they were found, `limit` of them at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._diagnostics: dict[Diagnostic, None] = {}

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
        if len(self._diagnostics) < self._limit:
            self._diagnostics.setdefault(diagnostic)

    @property
    def failed(self) -> bool:
        """Whether an error was found."""
        return any(d.severity == "error" for d in self._diagnostics)

    def ordered(self) -> list[Diagnostic]:
        """The diagnostics in the order of their places."""
        return sorted(self._diagnostics, key=lambda d: d.span.start if d.span else -1)

    def close(self) -> None:
        """Raise CompileError where an error was found."""
        if self.failed:
            raise CompileError(self.ordered())
