"""Habits: what newcomers write as Python or another tool would have it -> what to write instead.

Recognised by their text, where the parser's state says little: `for i` fails as `relu relu` does.
Syntax alone; what other tools call layers and arguments is in names.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cnnc.frontend.mistakes import Mistake


@dataclass(frozen=True, slots=True)
class Habit:
    """A statement that fails between a text that ends as `before` and one that begins as `after`.

    `{1}` and so on in the help stand for the groups of both, counted on.
    """

    before: str
    after: str
    message: str
    help: str

    def match(self, before: str, after: str) -> Mistake | None:
        """The mistake, if it is this one."""
        left, right = re.search(f"(?:{self.before})\\Z", before), re.match(self.after, after)
        if left is None or right is None:
            return None
        groups = [(group or "").strip()[:40] for group in (*left.groups(), *right.groups())]
        return Mistake("syntax-error", self.message, self.help.format("", *groups), "")


_ARROW = "an arrow is written ->"
_NAMES = "names are letters, digits and _"
_HABITS = (
    Habit(r"\bfor\s+", r"(\w+)\b", "there is no for", "write repeat {1} in 1..3 {{ ... }}"),
    Habit(
        r"^\s*return\s+",
        "",
        "there is no return",
        "the last chain without a name is the result; a model's output statement names others",
    ),
    Habit(r"\bif\b.*", r"=>", "the sign for at least is >=", "write >="),
    Habit(r"^[^(]*=", r"\s*>", _ARROW, "write -> between layers"),
    Habit("", r"=>", _ARROW, "write -> between layers"),
    Habit("-", r"-*>", _ARROW, "write -> between layers"),
    Habit("", r"-+->", _ARROW, "write -> between layers"),
    Habit(r"\bif\b.*", r"=(?!=)", "= gives a name or an argument", "== compares: if n == 1"),
    Habit(r"^\s*(?:model|block)\s+(\w+)", r"-(\w+)", _NAMES, "write {1}_{2}"),
    Habit(r"^\s*(\w+)", r"-(\w+)\s*[=:]", _NAMES, "write {1}_{2}"),
    Habit(
        r"(?:^|=|->)\s*(\w+)\s+",
        r"((?:\w+\s*,\s*)+\w+)\s*$",
        "a layer's arguments stand in parentheses",
        "write {1}({2})",
    ),
)
_WORD = re.compile(
    r"\s*(?:(model|block|import|train)\b|(input|output|let|repeat)\s+)", re.IGNORECASE
)
"""The first ones fail where they stand, the others at the next word, as `relu relu` does."""


def recognise_habit(before: str, after: str) -> Mistake | None:
    """What a failing statement is, from its texts before and after the place; None where unsure."""
    match = _WORD.match(before + after)
    if match is not None:
        word = match[1] or match[2]
        place = match.start(1) if match[1] else match.end()
        if word != word.lower() and place == len(before):
            message = f"the words of the language are in lower case, found {word}"
            return Mistake("syntax-error", message, f"write {word.lower()}", "")
    return next(filter(None, (habit.match(before, after) for habit in _HABITS)), None)
