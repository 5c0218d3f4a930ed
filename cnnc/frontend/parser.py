"""Parser: text -> Spec, or every syntax error that can be told apart.

Knows form only; names, shapes and arithmetic are the resolver's. After an error it blanks the
guilty statement and parses again, so that one run reports the errors of different statements.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from functools import cache
from typing import Any

from lark import Lark, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from cnnc.diagnostics import CompileError, Diagnostic, Source
from cnnc.frontend import spec as s
from cnnc.frontend.builder import Builder
from cnnc.frontend.layout import join_lines, lay_out
from cnnc.frontend.syntax_errors import explain
from cnnc.frontend.walk import parts
from cnnc.limits import DEFAULT_LIMITS, Limits
from cnnc.resources import cache_directory, resource

_BOUNDARY = re.compile(r"[\n;{}]")


def parse(source: Source, limits: Limits = DEFAULT_LIMITS) -> s.Spec:
    """The syntax tree of a spec. Raises CompileError with the syntax errors."""
    text = lay_out(source, limits)
    tree = _parse_tree(source, text, limits)
    builder = Builder(source, limits)
    spec = builder.transform(tree)
    if builder.diagnostics:
        raise CompileError(sorted(builder.diagnostics, key=_place))
    _check_depth(spec, limits)
    return spec


def _place(diagnostic: Diagnostic) -> int:
    return diagnostic.span.start if diagnostic.span else 0


def _parse_tree(source: Source, text: str, limits: Limits) -> Tree[Any]:
    """The parse tree of a text that is laid out."""
    found: list[Diagnostic] = []
    # a long text is not parsed over and over
    rounds = max(1, min(limits.syntax_errors, limits.characters // (len(text) + 1)))
    rest: str | None = text
    while rest is not None and len(found) < rounds:
        result = _attempt(rest)
        if isinstance(result, UnexpectedInput):
            start = _position(result, rest)
            found.append(explain(source, result, start, _failure))
            rest = _without_statement(rest, start)
        elif found:
            break
        else:
            return result
    raise CompileError(sorted(found, key=_place))


def _attempt(text: str) -> Tree[Any] | UnexpectedInput:
    try:
        return _lark().parse(text)
    except UnexpectedInput as error:
        return error


def _position(error: UnexpectedInput, text: str) -> int:
    start: int | None = error.pos_in_stream
    if isinstance(error, UnexpectedToken) and error.token.type in ("$END", "_END", "RBRACE"):
        # what is missing is missing behind the last thing that is there
        return len(text[:start].rstrip())
    return len(text) if start is None else start


def _without_statement(text: str, place: int) -> str | None:
    """The text with the statement at a place blanked, None where no statement can be told."""
    before = [m.end() for m in _BOUNDARY.finditer(text, 0, place)]
    start = before[-1] if before else 0
    boundary = _BOUNDARY.search(text, place)
    end = boundary.start() if boundary else len(text)
    opens = boundary is not None and boundary.group() == "{"
    if opens or not text[start:end].strip():
        return None
    return join_lines(text[:start] + " " * (end - start) + text[end:])


def _failure(text: str) -> UnexpectedToken | None:
    """How an example of a mistake fails to parse."""
    result = _attempt(lay_out(Source("", text), DEFAULT_LIMITS))
    return result if isinstance(result, UnexpectedToken) else None


@cache
def _lark() -> Lark:
    """The parser; its tables come from the user's cache where possible (15 times faster)."""
    directory = cache_directory()
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
    return Lark(
        resource("grammar", "cnn.lark").read_text(encoding="utf-8"),
        parser="lalr",
        lexer="contextual",
        keep_all_tokens=True,
        maybe_placeholders=False,
        cache=str(directory / f"grammar.{sys.implementation.cache_tag}"),
    )


def _check_depth(spec: s.Spec, limits: Limits) -> None:
    """Refuse expressions so deep that to walk them would exhaust the stack."""
    for part, depth in parts(*spec.lets, *spec.blocks, *spec.models, *spec.train):
        if depth > limits.expression_depth:
            message = f"this expression nests more than {limits.expression_depth} deep"
            raise CompileError([Diagnostic("too-deep", message, part.span)])
