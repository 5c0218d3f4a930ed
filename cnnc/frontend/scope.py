"""Scopes: what a name means where a statement stands, and what the layers made there are called.

A model, a block's call and a pass of a repeat each have a scope of values and settings; a model, a
call and a labelled repeat each have a naming of layers. Makes no layers itself.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from dataclasses import dataclass, field

from cnnc.diagnostics import Span
from cnnc.frontend.arguments import Binder
from cnnc.frontend.evaluator import Evaluator
from cnnc.frontend.library import Library
from cnnc.frontend.network import Tensor
from cnnc.frontend.report import ExhaustedError, Report, on_line
from cnnc.frontend.values import Setting
from cnnc.limits import Limits


@dataclass(slots=True)
class Value:
    """A named value or the current one; `tensor` is None where the layer that makes it failed."""

    tensor: Tensor | None
    name: str
    span: Span
    used: bool = False


@dataclass(frozen=True, slots=True)
class _Claim:
    span: Span
    kind: str | None
    """The kind of layer that a number was put to; None for a name from the spec."""


class Naming:
    """Names of the layers of a model, a block's call or a labelled repeat.

    Every layer and call counts by its kind: a label renames no other one.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._counts: Counter[str] = Counter()
        self._claims: dict[str, _Claim] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._claims

    def number(self, kind: str, span: Span, report: Report) -> str:
        """The next automatic name of a kind, without prefix."""
        self._counts[kind] += 1
        name = f"{kind}{self._counts[kind]}"
        self.claim(name, span, report, kind)
        return name

    def skip(self, kind: str) -> None:
        """Count a layer that has a label."""
        self._counts[kind] += 1

    def claim(self, name: str, span: Span, report: Report, kind: str | None = None) -> None:
        """Take a name; an error where it is taken. Blames a name of the spec, not a number's."""
        first = self._claims.setdefault(name, _Claim(span, kind))
        if first.span is span:
            return
        if kind is None and first.kind is None:
            note = f"it is first given {on_line(first.span, span.source)}"
            report.error("duplicate-name", f"the name {name} is given twice", span, notes=(note,))
            return
        given, counted = (first.span, span) if first.kind is None else (span, first.span)
        report.error(
            "duplicate-name",
            f"{name} is also the name of the {kind or first.kind} {on_line(counted, given.source)}",
            given,
            help="choose another name, or label that layer",
        )


@dataclass(slots=True)
class Scope:
    """What the statements of a body see. `suffix` goes to labels: the passes they stand in."""

    library: Library
    binder: Binder
    naming: Naming
    values: ChainMap[str, Value]
    settings: ChainMap[str, Setting]
    current: Value | None = None
    suffix: str = ""
    depth: int = 0
    ended: dict[str, Span] = field(default_factory=dict)
    """Names that repeats bound, and that ended with them."""

    @property
    def evaluator(self) -> Evaluator:
        """What works out expressions here."""
        return self.binder.evaluator

    def place(self, name: str) -> Span | None:
        """Where a name was given to a value or a setting; None where that is not in a file."""
        if name in self.values:
            return self.values[name].span
        setting = self.settings.get(name)
        return setting.span if setting else None


def open_scope(
    report: Report,
    limits: Limits,
    library: Library,
    naming: Naming,
    depth: int,
    *,
    around: Scope | None = None,
) -> Scope:
    """A scope of its own in a file, or, with `around`, one that sees what is around it."""
    if around is None:
        values: ChainMap[str, Value] = ChainMap()
        settings: ChainMap[str, Setting] = ChainMap({}, library.settings)
    else:
        values, settings = around.values.new_child(), around.settings.new_child()
    evaluator = Evaluator(report, limits, settings, values)
    return Scope(library, Binder(evaluator, report), naming, values, settings, depth=depth)


class Budget:
    """How much may still be expanded."""

    def __init__(self, report: Report, limits: Limits) -> None:
        self._report = report
        self._limits = limits
        self._steps = 0
        self._failing = 0

    def step(self, span: Span) -> None:
        """Count a statement, a pass or a call. Raises ExhaustedError beyond the limit."""
        self._steps += 1
        if self._steps > self._limits.steps:
            message = f"the model expands to more than {self._limits.steps:,} statements and layers"
            help = "repeats and blocks multiply; --max-nodes raises this limit as well"
            self._report.error("too-large", message, span, help=help)
            raise ExhaustedError
        if self._report.failed:
            # what is wrong may take longer than what is right, and no model comes of it
            self._failing += 1
            if self._failing > self._limits.steps_after_error:
                raise ExhaustedError

    def deepen(self, depth: int, span: Span) -> int:
        """The depth inside what stands at `depth`. Raises ExhaustedError beyond the limit."""
        if depth >= self._limits.depth:
            message = f"blocks and repeats are nested more than {self._limits.depth} deep"
            self._report.error("too-deep", message, span, help="--max-depth raises this limit")
            raise ExhaustedError
        return depth + 1
