"""Walks over syntax trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

from cnnc.frontend import spec as s

_PARTS = frozenset(
    kind
    for kind in vars(s).values()
    if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == s.__name__
)


def parts(*roots: Any) -> Iterator[tuple[Any, int]]:
    """Everything in syntax trees with its depth; the statements of a repeat begin at 1 again."""
    stack: list[tuple[Any, int]] = [(part, 0) for part in roots]
    while stack:
        part, depth = stack.pop()
        yield part, depth
        for name in part.__slots__:
            value = getattr(part, name)
            children = value if isinstance(value, tuple) else (value,)
            stack.extend(
                (child, 0 if isinstance(child, s.RepeatStatement) else depth + 1)
                for child in children
                if type(child) in _PARTS
            )


def chains(statements: Iterable[s.Statement]) -> Iterator[s.Chain]:
    """Every chain of a body, those of repeats and all alternatives included."""
    for statement in statements:
        if isinstance(statement, s.RepeatStatement):
            yield from chains(statement.body)
        elif isinstance(statement, s.ChainStatement):
            chain = statement.chain
            while isinstance(chain, s.ChainChoice):
                yield chain.then
                chain = chain.otherwise
            yield chain


def has_result(statements: Iterable[s.Statement]) -> bool:
    """Whether a body has a chain without a name, be it in a repeat that may be empty."""
    return any(
        has_result(statement.body)
        if isinstance(statement, s.RepeatStatement)
        else isinstance(statement, s.ChainStatement) and not statement.names
        for statement in statements
    )


def bindings(statements: Iterable[s.Statement]) -> Iterator[s.ChainStatement]:
    """The statements of a body, and of its repeats, that give names to values."""
    for statement in statements:
        if isinstance(statement, s.RepeatStatement):
            yield from bindings(statement.body)
        elif isinstance(statement, s.ChainStatement) and statement.names:
            yield statement


def mentioned(*roots: Any) -> frozenset[str]:
    """Every name that is read in syntax trees, as a number or as a value."""
    return frozenset(
        part.text if isinstance(part, s.Word) else part.name.text
        for part, _ in parts(*roots)
        if isinstance(part, s.Word) or (isinstance(part, s.Link) and part.arguments is None)
    )


def words(expression: s.Expression) -> Iterator[s.Word]:
    """The names that an expression reads, in its order."""
    match expression:
        case s.Word():
            yield expression
        case s.Unary():
            yield from words(expression.operand)
        case s.Binary():
            yield from words(expression.left)
            yield from words(expression.right)
        case s.Conditional():
            for part in (expression.then, expression.test, expression.otherwise):
                yield from words(part)
        case s.Tuple() | s.List():
            for item in expression.items:
                yield from words(item)
        case s.Call():
            for argument in expression.arguments:
                yield from words(argument.value)
        case _:
            return
