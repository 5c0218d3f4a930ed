"""Layout: text -> text of the same length with a newline or `;` only between two statements.

Blanks comments and all other newlines: inside parentheses, before `->`, `if` and `else`, around
braces, at both ends. Finds brackets without a partner. Does not know what stands between them.
"""

from __future__ import annotations

import re

from cnnc.diagnostics import CompileError, Diagnostic, Source, Span
from cnnc.limits import Limits

_PIECE = re.compile(r'#[^\n]*|"[^"\n]*"?|[()\[\]{}\n]|\ufeff')
_GAP = re.compile(r'"[^"\n]*"|[\n;][ \t\r\f\n;]*')
_GOES_ON = re.compile(r"->|(if|else)\b")
_TOP_LEVEL = re.compile(r"^[ \t]*(model|train|block|import)\b[^\n]*[{\"]", re.MULTILINE)
_HEAD = re.compile(r"^[ \t]*((model|train|block)\b[^\n;{}]*)(?=[\n;}])(?!\s*\{)", re.MULTILINE)
_PARTNER = {")": "(", "]": "[", "}": "{"}


def lay_out(source: Source, limits: Limits) -> str:
    """The text, laid out. Raises CompileError at strings and brackets without a partner."""
    text = source.text
    if len(text) > limits.characters:
        message = f"the spec has {len(text):,} characters, more than {limits.characters:,}"
        span = Span(source, limits.characters, limits.characters + 1)
        raise CompileError([Diagnostic("too-large", message, span)])
    pieces: list[str] = []
    opened: list[tuple[str, int]] = []
    parentheses = 0
    end = 0
    for match in _PIECE.finditer(text):
        piece, place = match.group(), match.start()
        pieces.append(text[end:place])
        end = match.end()
        if piece in "([{":
            if piece == "{" and parentheses:
                raise CompileError([_unclosed(source, *opened[-1])])
            opened.append((piece, place))
            parentheses += piece != "{"
            if len(opened) > limits.brackets:
                raise CompileError([_too_deep(source, place, limits)])
        elif piece in ")]}":
            if piece == "}" and not opened:
                raise CompileError([_unopened(source, "".join(pieces) + piece, place)])
            _close(source, opened, piece, place)
            parentheses -= piece != "}"
        elif piece[0] == '"' and (len(piece) == 1 or piece[-1] != '"'):
            raise CompileError([_open_string(Span(source, place, end))])
        blank = piece[0] in "#\ufeff" or (piece == "\n" and parentheses)
        pieces.append(" " * len(piece) if blank else piece)
    if opened:
        raise CompileError([_unclosed(source, *opened[-1])])
    pieces.append(text[end:])
    return join_lines("".join(pieces))


def join_lines(text: str) -> str:
    """The text with the newlines and `;` blanked that part no two statements."""

    def join(gap: re.Match[str]) -> str:
        found = gap.group()
        if found[0] == '"':
            return found
        last = gap.start() - 1
        while last >= 0 and text[last] in " \t\r\f":
            last -= 1
        following = text[gap.end() : gap.end() + 1]
        # none before or after: an end of the text
        at_brace = last < 0 or text[last] == "{" or following in ("", "{", "}")
        goes_on = _GOES_ON.match(text, gap.end()) and ";" not in found
        return " " * len(found) if at_brace or goes_on else found

    return _GAP.sub(join, text)


def _close(source: Source, opened: list[tuple[str, int]], piece: str, place: int) -> None:
    """Take the partner of a closing bracket off the stack."""
    if opened and opened[-1][0] == _PARTNER[piece]:
        opened.pop()
        return
    if opened and piece == "}":
        raise CompileError([_unclosed(source, *opened[-1])])
    span = Span(source, place, place + 1)
    notes = []
    if opened and opened[-1][0] != "{":
        opener = Span(source, opened[-1][1], opened[-1][1] + 1)
        notes.append(f"the last one open is the {opened[-1][0]} on line {opener.line}")
    raise CompileError(
        [Diagnostic("unmatched-bracket", f"no {_PARTNER[piece]} is open here", span, tuple(notes))]
    )


def _unopened(source: Source, text: str, place: int) -> Diagnostic:
    """The error of a } with nothing open; `text` goes up to it, without comments."""
    heads = list(_HEAD.finditer(text))
    if not heads:
        span = Span(source, place, place + 1)
        return Diagnostic("unmatched-bracket", "no { is open here", span)
    head, kind = heads[-1].group(1).rstrip(), heads[-1].group(2)
    start = heads[-1].start(1)
    line = Span(source, place, place).line
    return Diagnostic(
        "missing-brace",
        f"this {'train block' if kind == 'train' else kind} has no {{",
        Span(source, start, start + len(head)),
        (f"without it, the }} on line {line} closes nothing",),
        f"write {' '.join(head.split())[:80]} {{",
    )


def _unclosed(source: Source, piece: str, place: int) -> Diagnostic:
    span = Span(source, place, place + 1)
    partner = {"(": ")", "[": "]", "{": "}"}[piece]
    if piece != "{":
        return Diagnostic(
            "unclosed-parenthesis", f"this {piece} is never closed", span, help=f"add a {partner}"
        )
    notes = []
    if inner := _TOP_LEVEL.search(source.text, place + 1):
        line = Span(source, inner.end(), inner.end()).line
        notes.append(f"it is still open where {inner.group(1)} begins on line {line}")
    return Diagnostic(
        "unclosed-brace", "this { is never closed", span, tuple(notes), f"add a {partner}"
    )


def _too_deep(source: Source, place: int, limits: Limits) -> Diagnostic:
    message = f"brackets are nested more than {limits.brackets} deep"
    return Diagnostic("too-deep", message, Span(source, place, place + 1))


def _open_string(span: Span) -> Diagnostic:
    return Diagnostic(
        "unclosed-string",
        "this string has no closing quote on its line",
        span,
        help='end it with "; a string cannot go over lines',
    )
