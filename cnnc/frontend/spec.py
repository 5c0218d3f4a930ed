"""The Spec: a file as a syntax tree, every part with its place.

Holds what was written, nothing worked out: names are not looked up, numbers not added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from cnnc.diagnostics import Source, Span


@dataclass(frozen=True, slots=True)
class Identifier:
    """A name as written."""

    text: str
    span: Span = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Number:
    """A literal such as 3 or 0.5."""

    value: int | float
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Flag:
    """yes, no, true or false."""

    value: bool
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A string in double quotes; `value` is what stands between them."""

    value: str
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Extent:
    """A literal such as 5x5."""

    sizes: tuple[int, ...]
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Word:
    """A name where a value is expected: a parameter, or a word such as `same`."""

    text: str
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A word with arguments, such as constant(0.1)."""

    name: Identifier
    arguments: tuple[Argument, ...]
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`sign` is one of + - not."""

    sign: str
    operand: Expression
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """`sign` is an arithmetic sign, a comparison, `and` or `or`."""

    left: Expression
    sign: str
    right: Expression
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Conditional:
    """`then if test else otherwise`."""

    then: Expression
    test: Expression
    otherwise: Expression
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Tuple:
    """(before, after)."""

    items: tuple[Expression, ...]
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class List:
    """[one, entry, per, axis]."""

    items: tuple[Expression, ...]
    span: Span = field(repr=False, compare=False)


Expression: TypeAlias = (
    Number | Flag | Text | Extent | Word | Call | Unary | Binary | Conditional | Tuple | List
)


@dataclass(frozen=True, slots=True)
class Argument:
    """A value given by place, or by name."""

    name: Identifier | None
    value: Expression
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Link:
    """One layer of a chain, or the value that it starts from. `arguments` is None without ()."""

    label: Identifier | None
    name: Identifier
    arguments: tuple[Argument, ...] | None
    span: Span = field(repr=False, compare=False)

    @property
    def call_span(self) -> Span:
        """The place without the label."""
        return self.name.span.to(self.span)


@dataclass(frozen=True, slots=True)
class Chain:
    """Layers joined by ->."""

    links: tuple[Link, ...]
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ChainChoice:
    """`then if test else otherwise`, between chains."""

    then: Chain
    test: Expression
    otherwise: Chain | ChainChoice
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class InputStatement:
    """`input name: dtype[dims]`."""

    name: Identifier
    dtype: Identifier
    dims: tuple[Expression, ...]
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ChainStatement:
    """A chain; with `names`, its results get them and the current value stays."""

    names: tuple[Identifier, ...]
    chain: Chain | ChainChoice
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class OutputStatement:
    """`output a, b`."""

    names: tuple[Identifier, ...]
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LetStatement:
    """`let name = value`."""

    name: Identifier
    value: Expression
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RepeatStatement:
    """`label: repeat counter in first..last { body }`; without a counter, `last` is how often."""

    label: Identifier | None
    counter: Identifier | None
    first: Expression | None
    last: Expression
    body: tuple[Statement, ...]
    span: Span = field(repr=False, compare=False)


Statement: TypeAlias = (
    InputStatement | ChainStatement | OutputStatement | LetStatement | RepeatStatement
)


@dataclass(frozen=True, slots=True)
class ParameterDefinition:
    """A parameter of a model or block; without `default` the caller must set it."""

    name: Identifier
    default: Expression | None
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ModelDefinition:
    """`model name(parameters) { body }`; `train` are the train blocks inside its braces."""

    name: Identifier
    parameters: tuple[ParameterDefinition, ...]
    body: tuple[Statement, ...]
    train: tuple[TrainBlock, ...]
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class BlockDefinition:
    """`block name(parameters) { body }`."""

    name: Identifier
    parameters: tuple[ParameterDefinition, ...]
    body: tuple[Statement, ...]
    span: Span = field(repr=False, compare=False)


Definition: TypeAlias = ModelDefinition | BlockDefinition


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """`import "path"`."""

    path: Text
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """`key value` in a train block."""

    key: Identifier
    value: Expression
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class TrainBlock:
    """`train model { entries }`, or without a name."""

    model: Identifier | None
    entries: tuple[Entry, ...]
    span: Span = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole file."""

    source: Source = field(repr=False, compare=False)
    imports: tuple[ImportStatement, ...]
    lets: tuple[LetStatement, ...]
    blocks: tuple[BlockDefinition, ...]
    models: tuple[ModelDefinition, ...]
    train: tuple[TrainBlock, ...]
