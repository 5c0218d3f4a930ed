"""Builder: the parse tree -> Spec, bottom up and without recursion.

Each method gets every token of a rule, punctuation included, so that a part's place runs from its
first character to its last. Reports what the grammar has but this version does not compile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

from lark import Token
from lark.visitors import Transformer_NonRecursive

from cnnc.diagnostics import Diagnostic, Source, Span
from cnnc.frontend import spec as s
from cnnc.frontend.limits import Limits

T = TypeVar("T")
Children = list[Any]

_EXPRESSIONS = (
    s.Number,
    s.Flag,
    s.Text,
    s.Extent,
    s.Word,
    s.Call,
    s.Unary,
    s.Binary,
    s.Conditional,
    s.Tuple,
    s.List,
)
_STATEMENTS = (s.InputStatement, s.ChainStatement, s.OutputStatement)


def _all(children: Iterable[Any], *kinds: type[T]) -> tuple[T, ...]:
    return tuple(child for child in children if isinstance(child, kinds))


def _expressions(children: Children) -> tuple[s.Expression, ...]:
    return tuple(child for child in children if isinstance(child, _EXPRESSIONS))


class Builder(Transformer_NonRecursive[Token, s.Spec]):
    """One method per rule of grammar/cnn.lark, of the same name."""

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__()
        self._source = source
        self._limits = limits
        self.diagnostics: list[Diagnostic] = []

    def _place(self, children: Children) -> Span:
        first, last = children[0], children[-1]
        start = first.start_pos if isinstance(first, Token) else first.span.start
        end = last.end_pos if isinstance(last, Token) else last.span.end
        return Span(self._source, start or 0, end or 0)

    def _name(self, token: Token) -> s.Identifier:
        return s.Identifier(str(token), self._place([token]))

    def _names(self, children: Children) -> tuple[s.Identifier, ...]:
        return tuple(self._name(t) for t in children if isinstance(t, Token) and t.type == "NAME")

    def _report(self, code: str, message: str, span: Span, help: str | None = None) -> None:
        self.diagnostics.append(Diagnostic(code, message, span, help=help))

    # the file

    def start(self, children: Children) -> s.Spec:
        models = _all(children, s.ModelDefinition)
        return s.Spec(self._source, models, _all(children, s.TrainBlock))

    def model(self, children: Children) -> s.ModelDefinition:
        (name,) = self._names(children)
        lists = _all(children, tuple)
        parameters, body = lists if len(lists) == 2 else ((), lists[0])
        return s.ModelDefinition(name, parameters, body, self._place(children[:2]))

    def parameters(self, children: Children) -> tuple[s.ParameterDefinition, ...]:
        return _all(children, s.ParameterDefinition)

    def parameter(self, children: Children) -> s.ParameterDefinition:
        (name,) = self._names(children)
        default = next(iter(_expressions(children)), None)
        return s.ParameterDefinition(name, default, self._place(children))

    def body(self, children: Children) -> tuple[s.Statement, ...]:
        for child in children:
            if isinstance(child, s.ModelDefinition | s.TrainBlock):
                kind = "model" if isinstance(child, s.ModelDefinition) else "train"
                self._report(
                    "misplaced-block",
                    f"{kind} stands beside a model, not inside one",
                    Span(self._source, child.span.start, child.span.start + 5),
                    help=f"close the model's {{ before {kind}",
                )
        return _all(children, *_STATEMENTS)

    def train(self, children: Children) -> s.TrainBlock:
        return s.TrainBlock(_all(children, s.Entry), self._place(children[:1]))

    def entry(self, children: Children) -> s.Entry:
        return s.Entry(self._name(children[0]), children[1], self._place(children))

    # statements

    def input(self, children: Children) -> s.InputStatement:
        name, dtype = self._names(children)
        return s.InputStatement(name, dtype, _expressions(children), self._place(children))

    def output(self, children: Children) -> s.OutputStatement:
        return s.OutputStatement(self._names(children), self._place(children))

    def bare(self, children: Children) -> s.ChainStatement | None:
        chain = children[-1]
        return None if chain is None else s.ChainStatement(None, chain, chain.span)

    def binding(self, children: Children) -> s.ChainStatement | None:
        chain = children[-1]
        if chain is None:
            return None
        return s.ChainStatement(self._name(children[0]), chain, self._place(children))

    def chain(self, children: Children) -> s.Chain:
        return s.Chain(_all(children, s.Link), self._place(children))

    def link(self, children: Children) -> s.Link:
        names = self._names(children)
        arguments = next(iter(_all(children, _Arguments)), None)
        return s.Link(
            names[0] if len(names) == 2 else None,
            names[-1],
            arguments.items if arguments else None,
            self._place(children),
        )

    def arguments(self, children: Children) -> _Arguments:
        return _Arguments(_all(children, s.Argument), self._place(children))

    def argument(self, children: Children) -> s.Argument:
        name = self._name(children[0]) if len(children) == 3 else None
        return s.Argument(name, children[-1], self._place(children))

    # what the next version brings

    def block(self, children: Children) -> None:
        self._later("block", children)

    def import_(self, children: Children) -> None:
        self._later("import", children)

    def let(self, children: Children) -> None:
        self._later("let", children)

    def repeat(self, children: Children) -> None:
        self._later("repeat", children)

    def _later(self, what: str, children: Children) -> None:
        span = self._place(children[:1])
        self._report("not-supported", f"{what} is not supported yet", span)

    def conditional_chain(self, children: Children) -> None:
        test = next(c for c in children if isinstance(c, Token) and c.type == "IF")
        self._report(
            "not-supported", "a chain with if and else is not supported yet", self._place([test])
        )

    # expressions

    def integer(self, children: Children) -> s.Number:
        (token,) = children
        return s.Number(self._integer(str(token), token), self._place(children))

    def real(self, children: Children) -> s.Number:
        (token,) = children
        value = float(token)
        if value == float("inf"):
            self._report("too-large", "this number is too large", self._place(children))
            value = 1.0
        return s.Number(value, self._place(children))

    def extent(self, children: Children) -> s.Extent:
        (token,) = children
        sizes = tuple(self._integer(size, token) for size in token.split("x"))
        return s.Extent(sizes, self._place(children))

    def _integer(self, digits: str, token: Token) -> int:
        # int() refuses, or takes long over, a text of thousands of digits
        digits = digits.lstrip("0") or "0"
        if len(digits) > 19 or int(digits) > self._limits.integer:
            self._report("too-large", "this number is too large", self._place([token]))
            return 1
        return int(digits)

    def string(self, children: Children) -> s.Text:
        return s.Text(str(children[0])[1:-1], self._place(children))

    def flag(self, children: Children) -> s.Flag:
        return s.Flag(children[0] in ("yes", "true"), self._place(children))

    def word(self, children: Children) -> s.Word:
        return s.Word(str(children[0]), self._place(children))

    def call(self, children: Children) -> s.Call:
        return s.Call(self._name(children[0]), children[1].items, self._place(children))

    def unary(self, children: Children) -> s.Unary:
        sign, operand = children
        return s.Unary(str(sign), operand, self._place(children))

    sign = unary
    negation = unary

    def binary(self, children: Children) -> s.Binary:
        left, sign, right = children
        return s.Binary(left, str(sign), right, self._place(children))

    power = binary

    def conditional(self, children: Children) -> s.Conditional:
        then, _, test, _, otherwise = children
        return s.Conditional(then, test, otherwise, self._place(children))

    def group(self, children: Children) -> s.Expression:
        inner: s.Expression = children[1]
        return dataclasses.replace(inner, span=self._place(children))

    def pair(self, children: Children) -> s.Tuple:
        return s.Tuple(_expressions(children), self._place(children))

    def listing(self, children: Children) -> s.List:
        return s.List(_expressions(children), self._place(children))


class _Arguments:
    """The arguments of a link or call with the place of their parentheses."""

    __slots__ = ("items", "span")

    def __init__(self, items: tuple[s.Argument, ...], span: Span) -> None:
        self.items = items
        self.span = span
