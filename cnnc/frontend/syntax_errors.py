"""Syntax errors: where and how a parse failed -> a diagnostic.

A mistake is recognised when one of its examples fails in the same state of the parser at the same
kind of token (Jeffery 2003, Generating LR syntax error messages from examples). Repairs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from lark import Token
from lark.exceptions import UnexpectedInput, UnexpectedToken

from cnnc.diagnostics import Diagnostic, Source, Span
from cnnc.frontend.habits import recognise_habit
from cnnc.frontend.mistakes import MISTAKES, Mistake

Fails = Callable[[str], UnexpectedToken | None]
"""Parses a text and returns its error."""

Key = tuple[object, str, frozenset[str], str]

_CONTEXT = frozenset(("COMMA", "RPAR", "RSQB", "RBRACE", "POWER", "_END", "ELSE"))
_WORDED = ("LET", "REPEAT", "OUTPUT", "INPUT", "IMPORT", "MODEL", "BLOCK")
_SIZES = re.compile(r"x[0-9x]*")
_LOOKALIKES = {
    "→": "write -> for an arrow",
    "×": "write x between the sizes of an extent, * for a product",
    "−": "write - for minus",
    "–": "write - for minus",
    "“": 'write " for a quote',
    "”": 'write " for a quote',
    "'": 'strings stand in double quotes, "like this"',
    "\u00a0": "this is a no-break space; type a plain one",
    "&": "write and",
    "|": "write or",
    "!": "write not, or != for unequal",
    "^": "write ** for a power",
}
_COMMENT = re.compile(r'[^(\["]*//\s*[A-Za-z].*')
_ENTRY = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:->|==|[=:,])?(.*)")
_VALUES = {
    "data": "mnist",
    "loss": "cross_entropy",
    "optimizer": "sgd(lr=0.03)",
    "schedule": "cosine",
    "batch": "64",
    "epochs": "3",
    "seed": "0",
}
_METHOD = re.compile(r"\.([A-Za-z_]\w*)")
_NUMBER = re.compile(r"[0-9][0-9A-Za-z_.]*")
_WORDS = {
    "NAME": "a name",
    "INTEGER": "a number",
    "_END": "the end of the line",
    "$END": "the end of the file",
    "COMMA": "a comma",
    "COLON": ":",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "LBRACE": "{",
    "RBRACE": "}",
}


def explain(source: Source, error: UnexpectedInput, start: int, fails: Fails) -> Diagnostic:
    """The diagnostic of a failure at a place."""
    if not isinstance(error, UnexpectedToken):
        return _explain_character(source, start)
    before, after = _statement(source.text, start)
    comments = source.text.startswith("//", start)
    if comments or _COMMENT.fullmatch(before):
        place = start if comments else start - len(before) + before.index("//")
        message = "// does not start a comment"
        return Diagnostic(
            "syntax-error", message, Span(source, place, place + 2), help="# starts a comment"
        )
    mistake = recognise_habit(before, after) or recognise(error, fails)
    help = mistake.help and mistake.help.replace("{entry}", _entry(before + after))
    length = 1 if error.token.type in ("_END", "$END", "RBRACE") else len(error.token)
    end = max(start, min(start + length, len(source.text)))
    return Diagnostic(mistake.code, mistake.message, Span(source, start, end), help=help)


def _statement(text: str, place: int) -> tuple[str, str]:
    """What stands before and after a place in its statement and on its line."""
    before = re.split(r"[\n;{]", text[:place])[-1]
    return before, re.split(r"[\n;}#]", text[place:], maxsplit=1)[0]


def _entry(text: str) -> str:
    """A train entry as it should be written, from one with the wrong sign or with no value."""
    match = _ENTRY.match(text)
    if match is None:
        return "batch 64"
    key, value = match[1], match[2].strip()
    if value.count("(") != value.count(")"):
        value = value[: value.index("(")] + "(...)" if "(" in value else ""
    if not value and key not in _VALUES:
        return "batch 64"
    return f"{key} {value[:40] or _VALUES[key]}"


def recognise(error: UnexpectedToken, fails: Fails) -> Mistake:
    """The mistake that an error is; one in general words where no example fits."""
    mistakes = known_mistakes(fails)
    for known in (key(error), key(error, within=False)):
        if known in mistakes:
            return mistakes[known]
    kind, text = error.token.type, str(error.token)
    found = _WORDS[kind] if kind in ("_END", "$END") else text[:40]
    accepted = error.accepts
    wanted = [words for token, words in _WORDS.items() if token in accepted]
    if "STRING" in accepted:
        wanted = ["a value"]
    message = f"did not expect {found} here"
    if 0 < len(wanted) <= 3:
        message = f"expected {' or '.join(wanted)}, found {found}"
    return Mistake("syntax-error", message, None, "")


def key(error: UnexpectedToken, *, within: bool = True) -> Key:
    """What two errors have in common that are the same mistake.

    The parser shares states among contexts; what may close or follow tells a list from a chain, and
    `within` the kind of statement.
    """
    kind = error.token.type
    if kind == "NAME" and _SIZES.fullmatch(error.token):
        kind = "x"
    context = frozenset(error.accepts) & _CONTEXT
    state = error.interactive_parser.parser_state
    return state.position, kind, context, _statement_kind(state.value_stack) if within else ""


def _statement_kind(stack: Sequence[object]) -> str:
    """What the statement begins with that the parser is in, where that is a word."""
    inside = False
    for part in reversed(stack):
        kind = part.type if isinstance(part, Token) else ""
        if kind == "TRAIN" or (not inside and kind in _WORDED):
            return kind
        if kind == "LBRACE":
            if inside:
                break
            inside = True
    return ""


@cache
def known_mistakes(fails: Fails) -> dict[Key, Mistake]:
    """Mistakes by the keys of their examples; the first one to claim a key has it."""
    known: dict[Key, Mistake] = {}
    errors = [(mistake, fails(text)) for mistake in MISTAKES for text in mistake.texts()]
    for within in (True, False):
        for mistake, error in errors:
            if error is not None:
                known.setdefault(key(error, within=within), mistake)
    return known


def _explain_character(source: Source, start: int) -> Diagnostic:
    if match := _NUMBER.match(source.text, start):
        message = f"{match.group()[:40]} is neither a number nor a name"
        help = "names start with a letter; extents are written as 5x5"
        return Diagnostic("syntax-error", message, Span(source, start, match.end()), help=help)
    char = source.text[start : start + 1] or " "
    shown = char if char.isprintable() else f"U+{ord(char):04X}"
    message = f"the character {shown} has no meaning here"
    span = Span(source, start, start + 1)
    hint = _LOOKALIKES.get(char)
    if layer := _METHOD.match(source.text, start):
        hint = f"layers are joined by an arrow: ... -> {layer[1][:40]}"
    return Diagnostic("unexpected-character", message, span, help=hint)
