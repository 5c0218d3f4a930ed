"""The arguments of layers, losses, optimizers and initialisers, and what refuses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What an argument of a layer may be; the value is how a diagnostic calls it."""

    COUNT = "a positive integer"
    INTEGER = "an integer"
    NUMBER = "a number"
    NUMBERS = "a number or a list of numbers"
    COUNTS = "a positive integer or a list of them"
    WORD = "one of the words that it knows"
    FLAG = "yes or no"
    EXTENT = "an extent such as 5 or 5x5"
    PADDING = "a padding: a number, an extent, (before, after), a list of these, same or valid"
    INITIALIZER = "an initialiser: he, glorot, uniform(limit), zeros or constant(value)"


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Field:
    """One argument of a layer, loss, optimizer or initialiser, as a spec writes it.

    `minimum` and `below` bound every number in it; `choices` are what a WORD may be.
    """

    name: str
    kind: Kind
    doc: str
    default: object = REQUIRED
    minimum: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


class OpError(ValueError):
    """An op refuses its arguments or inputs; the frontend makes a diagnostic of it.

    `argument` names the Field to blame (None blames the whole layer), `operand` the input.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        help: str | None = None,
        argument: str | None = None,
        operand: int | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help
        self.argument = argument
        self.operand = operand
        self.notes = tuple(notes)
