"""Builder: the parse tree -> Spec, bottom up and without recursion.

Each method gets every token of a rule, punctuation included, so that a part's place runs from its
first character to its last. Reports what stands where it cannot, as the grammar is the same for
the bodies of models, blocks and repeats.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

from lark import Token
from lark.visitors import Transformer_NonRecursive

from cnnc.diagnostics import Diagnostic, Source, Span
from cnnc.frontend import spec as s
from cnnc.limits import Limits

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
_STATEMENTS: tuple[type[s.Statement], ...] = (
    s.InputStatement,
    s.ChainStatement,
    s.OutputStatement,
    s.LetStatement,
    s.RepeatStatement,
)
_Part = (
    s.InputStatement
    | s.ChainStatement
    | s.OutputStatement
    | s.LetStatement
    | s.RepeatStatement
    | s.ModelDefinition
    | s.BlockDefinition
    | s.ImportStatement
    | s.TrainBlock
)
_WORDS = {
    s.InputStatement: "input",
    s.OutputStatement: "output",
    s.ModelDefinition: "model",
    s.BlockDefinition: "block",
    s.ImportStatement: "import",
    s.TrainBlock: "train",
}
_BESIDE = (s.ModelDefinition, s.BlockDefinition, s.ImportStatement)
"""What stands at the top of a file and nowhere else."""
_ENDS = (s.InputStatement, s.OutputStatement)
"""What a model alone has."""


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
        return s.Spec(
            self._source,
            _all(children, s.ImportStatement),
            _all(children, s.LetStatement),
            _all(children, s.BlockDefinition),
            _all(children, s.ModelDefinition),
            _all(children, s.TrainBlock),
        )

    def model(self, children: Children) -> s.ModelDefinition:
        name, parameters, body = self._definition(children)
        self._refuse(body.items, "model", "beside a model, not inside one", _BESIDE)
        statements, train = _all(body.items, *_STATEMENTS), _all(body.items, s.TrainBlock)
        for block in train:
            if block.model is not None:
                message = "a train block inside a model is that model's, and names none"
                self._report("misplaced-block", message, block.model.span)
        return s.ModelDefinition(name, parameters, statements, train, self._place(children[:2]))

    def block(self, children: Children) -> s.BlockDefinition:
        name, parameters, body = self._definition(children)
        self._refuse(
            body.items, "block", "beside a block, not inside one", (*_BESIDE, s.TrainBlock)
        )
        self._refuse(body.items, "block", "in a model, not in a block", _ENDS)
        statements = _all(body.items, *_STATEMENTS)
        return s.BlockDefinition(name, parameters, statements, self._place(children[:2]))

    def _definition(
        self, children: Children
    ) -> tuple[s.Identifier, tuple[s.ParameterDefinition, ...], _Body]:
        (name,) = self._names(children)
        parameters = next(iter(_all(children, tuple)), ())
        return name, parameters, children[-1]

    def _refuse(
        self, parts: Iterable[_Part], kind: str, where: str, unwanted: tuple[type[Any], ...]
    ) -> None:
        """Report the parts of a body that cannot stand in it."""
        for part in _all(parts, *unwanted):
            word = _WORDS[type(part)]
            span = Span(self._source, part.span.start, part.span.start + len(word))
            help = None
            if not isinstance(part, _ENDS):
                help = f"close the {kind}'s {{ before {word}"
            elif kind == "block":
                help = "a block works on the current value, and its own last one is its result"
            self._report("misplaced-block", f"{word} stands {where}", span, help)

    def import_(self, children: Children) -> s.ImportStatement:
        path = s.Text(str(children[-1])[1:-1], self._place(children[-1:]))
        return s.ImportStatement(path, self._place(children))

    def parameters(self, children: Children) -> tuple[s.ParameterDefinition, ...]:
        return _all(children, s.ParameterDefinition)

    def parameter(self, children: Children) -> s.ParameterDefinition:
        (name,) = self._names(children)
        default = next(iter(_expressions(children)), None)
        return s.ParameterDefinition(name, default, self._place(children))

    def body(self, children: Children) -> _Body:
        return _Body(_all(children, *_STATEMENTS, *_BESIDE, s.TrainBlock), self._place(children))

    def train(self, children: Children) -> s.TrainBlock:
        model = next(iter(self._names(children)), None)
        return s.TrainBlock(model, _all(children, s.Entry), self._place(children[:1]))

    def entry(self, children: Children) -> s.Entry:
        return s.Entry(self._name(children[0]), children[1], self._place(children))

    # statements

    def input(self, children: Children) -> s.InputStatement:
        name, dtype = self._names(children)
        return s.InputStatement(name, dtype, _expressions(children), self._place(children))

    def output(self, children: Children) -> s.OutputStatement:
        return s.OutputStatement(self._names(children), self._place(children))

    def let(self, children: Children) -> s.LetStatement:
        (name,) = self._names(children)
        return s.LetStatement(name, children[-1], self._place(children))

    def repeat(self, children: Children) -> s.RepeatStatement:
        labelled = isinstance(children[0], Token) and children[0].type == "NAME"
        label = self._name(children[0]) if labelled else None
        counter = next(iter(self._names(children[2:] if labelled else children)), None)
        *_, last, body = children
        first = _expressions(children)[0] if counter else None
        where = "in a model, not in a repeat"
        self._refuse(body.items, "repeat", "at the top of a file, not in a repeat", _BESIDE)
        self._refuse(body.items, "repeat", where, (*_ENDS, s.TrainBlock))
        statements = _all(body.items, *_STATEMENTS)
        return s.RepeatStatement(
            label, counter, first, last, statements, self._place(children[:-1])
        )

    def bare(self, children: Children) -> s.ChainStatement:
        return s.ChainStatement((), children[-1], self._place(children))

    def binding(self, children: Children) -> s.ChainStatement:
        return s.ChainStatement(self._names(children), children[-1], self._place(children))

    def conditional_chain(self, children: Children) -> s.ChainChoice:
        then, _, test, _, otherwise = children
        return s.ChainChoice(then, test, otherwise, self._place(children))

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


class _Body:
    """What stands between a pair of braces, right or wrong, with their place."""

    __slots__ = ("items", "span")

    def __init__(self, items: tuple[_Part, ...], span: Span) -> None:
        self.items = items
        self.span = span


class _Arguments:
    """The arguments of a link or call with the place of their parentheses."""

    __slots__ = ("items", "span")

    def __init__(self, items: tuple[s.Argument, ...], span: Span) -> None:
        self.items = items
        self.span = span
