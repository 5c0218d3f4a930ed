"""Training: the train block -> loss, optimizer and numbers, checked against the model's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cnnc.diagnostics import Span
from cnnc.frontend import spec as s
from cnnc.frontend.arguments import Binder, Bound, as_call, blame
from cnnc.frontend.evaluator import Evaluator
from cnnc.frontend.names import suggest
from cnnc.frontend.network import Operand, Tensor, provenance
from cnnc.frontend.report import RefusedError, Report
from cnnc.frontend.scope import Scope
from cnnc.ir.graph import SCHEDULES, OutputLoss, Training
from cnnc.limits import Limits
from cnnc.ops import LOSSES, OPTIMIZERS
from cnnc.ops.field import Field, Kind, OpError

T = TypeVar("T")

_COUNTS = {
    field.name: field
    for field in (
        Field("batch", Kind.COUNT, "samples a step", 32, below=2**24),
        Field("epochs", Kind.COUNT, "passes over the data", 1, below=2**24),
        Field("seed", Kind.COUNT, "of weights, shuffling and dropout", 0, minimum=0),
    )
}
_KEYS = ("data", "loss", "optimizer", "schedule", *_COUNTS)
_OF_OPTIMIZERS = {
    "lr": "lr",
    "learning_rate": "lr",
    "momentum": "lr=..., momentum",
    "weight_decay": "lr=..., weight_decay",
}
_WEIGHT = Field("weight", Kind.NUMBER, "the loss's share in the sum", 1.0, minimum=0)
JUDGING = ("output", "weight")
"""Arguments that every loss has besides its own: what it judges, and its share in the sum."""

Outputs = Sequence[tuple[str, Tensor | None]]
"""Outputs by name; None where a layer before it already failed."""


def resolve_training(
    spec: s.Spec,
    definition: s.ModelDefinition,
    scope: Scope,
    outputs: Outputs,
    report: Report,
    limits: Limits,
) -> Training | None:
    """How a model of a spec is trained; None where no train block says so."""
    blocks = [(block, scope.binder) for block in definition.train]
    hidden = {
        parameter.name.text: f"{parameter.name} is a parameter of the model: "
        "put the train block inside the model's braces to read it"
        for parameter in definition.parameters
    }
    settings = scope.library.settings
    outer = Binder(Evaluator(report, limits, settings, hidden=hidden), report)
    names = [model.name.text for model in spec.models]
    for block in spec.train:
        if block.model is None and len(names) > 1:
            message = "the file has several models, and this train block is for none of them"
            help = "write train NAME { ... }, or put it inside the model's braces"
            report.error("bad-training", message, block.span, help=help)
        elif block.model is not None and block.model.text not in names:
            message = f"no model is called {block.model}"
            meant = suggest(block.model.text, names, "models")
            report.error("undefined-name", message, block.model.span, help=meant)
        elif block.model is None or block.model.text == definition.name.text:
            blocks.append((block, outer))
    for extra, _ in blocks[1:]:
        note = f"the first one is on line {blocks[0][0].span.line}"
        message = f"model {definition.name} has one train block"
        report.error("duplicate-name", message, extra.span, notes=(note,))
    if not blocks:
        return None
    block, binder = blocks[0]
    return TrainingResolver(binder, report).resolve(block, outputs)


class TrainingResolver:
    """Works out one train block; reports all that is wrong with it."""

    def __init__(self, binder: Binder, report: Report) -> None:
        self._binder = binder
        self._report = report

    def resolve(self, block: s.TrainBlock, outputs: Outputs) -> Training | None:
        """The training of a model with these outputs, None where something is wrong."""
        entries = self._entries(block)
        data = self._attempt(entries.get("data"), self._data)
        optimizer = self._attempt(entries.get("optimizer"), self._optimizer)
        losses = self._losses([e for e in block.entries if e.key.text == "loss"], outputs)
        schedule = self._attempt(entries.get("schedule"), self._schedule)
        counts: dict[str, Any] = {name: field.default for name, field in _COUNTS.items()}
        for name, field in _COUNTS.items():
            if name in entries:
                counts[name] = self._attempt(entries[name], self._count(field))
        for key, known in (("loss", LOSSES), ("optimizer", OPTIMIZERS)):
            if key not in entries:
                message = f"the train block does not say which {key}"
                help = f"add a line {key}, one of {', '.join(known)}"
                self._report.error("bad-training", message, block.span, help=help)
        if losses is None or optimizer is None or None in counts.values():
            return None
        return Training(
            losses,
            optimizer,
            counts["batch"],
            counts["epochs"],
            data,
            counts["seed"],
            schedule or SCHEDULES[0],
        )

    def _entries(self, block: s.TrainBlock) -> dict[str, s.Entry]:
        entries: dict[str, s.Entry] = {}
        for entry in block.entries:
            key = entry.key.text
            if key not in _KEYS:
                help = suggest(key, _KEYS, "entries")
                if key in _OF_OPTIMIZERS:
                    argument = _OF_OPTIMIZERS[key]
                    help = f"it is the optimizer's: optimizer sgd({argument}=...)"
                message = f"the train block has no entry {key}"
                self._report.error("unknown-key", message, entry.key.span, help=help)
            elif key in entries and key != "loss":
                note = f"it is first given on line {entries[key].span.line}"
                message = f"{key} is given twice"
                self._report.error("duplicate-name", message, entry.key.span, notes=(note,))
            else:
                entries.setdefault(key, entry)
        return entries

    @staticmethod
    def _attempt(entry: s.Entry | None, read: Callable[[s.Entry], T]) -> T | None:
        if entry is None:
            return None
        try:
            return read(entry)
        except RefusedError:
            return None

    def _count(self, field: Field) -> Callable[[s.Entry], object]:
        return lambda entry: self._binder.convert("train", field, entry.value)

    def _data(self, entry: s.Entry) -> str:
        match entry.value:
            case s.Word():
                return entry.value.text
            case s.Text() if entry.value.value and entry.value.value.isprintable():
                return entry.value.value
            case _:
                message = f"data is a data set's name or a path, got {entry.value.span.text[:40]}"
                raise self._report.refuse(
                    "bad-type", message, entry.value.span, help='write data mnist or data "path"'
                )

    def _schedule(self, entry: s.Entry) -> str:
        value = entry.value
        if isinstance(value, s.Word) and value.text in SCHEDULES:
            return value.text
        help = suggest(value.span.text[:40], SCHEDULES, "every schedule")
        message = f"no schedule is called {value.span.text[:40]}"
        raise self._report.refuse("unknown-schedule", message, value.span, help=help)

    def _chosen(
        self, entry: s.Entry, known: Mapping[str, type[Any]], what: str, but: Sequence[str] = ()
    ) -> tuple[type[Any], Bound, Span]:
        """The class that an entry names, with its arguments `but` those of these names."""
        value = entry.value
        called = as_call(value)
        if called is None:
            message = f"{entry.key} needs a name, got {value.span.text[:40]}"
            options = f"write one of {', '.join(known)}"
            raise self._report.refuse("bad-type", message, value.span, help=options)
        name, arguments = called
        kind = known.get(name.text)
        if kind is None:
            help = suggest(name.text, known, f"every {what}")
            message = f"no {what} is called {name}"
            raise self._report.refuse(f"unknown-{what}", message, name.span, help=help)
        arguments = tuple(a for a in arguments if a.name is None or a.name.text not in but)
        bound = self._binder.bind(name.text, kind.FIELDS, arguments, value.span)
        return kind, bound, value.span

    def _optimizer(self, entry: s.Entry) -> Any:
        kind, bound, place = self._chosen(entry, OPTIMIZERS, "optimizer")
        try:
            return kind.bind(bound.values)
        except OpError as error:
            blame(self._report, error, bound, place)
            raise RefusedError from None

    def _losses(
        self, entries: Sequence[s.Entry], outputs: Outputs
    ) -> tuple[OutputLoss, ...] | None:
        """What judges the outputs, None after an error."""
        found: dict[str, s.Entry] = {}
        losses = []
        for entry in entries:
            loss = self._attempt(entry, lambda entry: self._loss(entry, outputs))
            if loss is None:
                continue
            losses.append(loss)
            first = found.setdefault(loss.output, entry)
            if first is not entry:
                note = f"the first one is on line {first.span.line}"
                message = f"the output {loss.output} has a loss already"
                self._report.error("duplicate-name", message, entry.span, notes=(note,))
        return tuple(losses) if losses and len(losses) == len(entries) else None

    def _loss(self, entry: s.Entry, outputs: Outputs) -> OutputLoss:
        self._refuse_unnamed_output(entry, outputs)
        kind, bound, place = self._chosen(entry, LOSSES, "loss", JUDGING)
        given: dict[str, s.Expression] = {}
        for argument in entry.value.arguments if isinstance(entry.value, s.Call) else ():
            name = argument.name.text if argument.name else ""
            if name in JUDGING and given.setdefault(name, argument.value) is not argument.value:
                message = f"{kind.NAME} gets {name} twice"
                self._report.error("repeated-argument", message, argument.span)
        weight = self._weight(kind.NAME, given.get("weight"))
        name, output = self._judged(kind.NAME, given.get("output"), entry, outputs)
        try:
            loss = kind.bind(bound.values, (output.shape,))
            loss.output_shape((output.shape,))
        except OpError as error:
            notes = provenance((Operand(output, "the output", place),), place.source)
            blame(self._report, error, bound, place, notes)
            raise RefusedError from None
        return OutputLoss(name, loss, weight)

    def _refuse_unnamed_output(self, entry: s.Entry, outputs: Outputs) -> None:
        """Refuse `mse(scores)`: what a loss judges has a name."""
        known = dict(outputs)
        for argument in entry.value.arguments if isinstance(entry.value, s.Call) else ():
            word = argument.value
            if isinstance(word, s.Word) and argument.name is None and word.text in known:
                message = f"the output that a loss judges is given by name, got {word.text}"
                help = f"write output={word.text}"
                raise self._report.refuse("misplaced-value", message, word.span, help=help)

    def _weight(self, owner: str, expression: s.Expression | None) -> float:
        if expression is None:
            return 1.0
        weight = self._binder.convert(owner, _WEIGHT, expression)
        if not isinstance(weight, float) or weight <= 0:
            message = f"{owner}'s weight must be more than 0"
            raise self._report.refuse("bad-value", message, expression.span)
        return weight

    def _judged(
        self, owner: str, expression: s.Expression | None, entry: s.Entry, outputs: Outputs
    ) -> tuple[str, Tensor]:
        """The output that a loss judges. Raises RefusedError where that failed, too."""
        known = dict(outputs)
        names = ", ".join(known)
        if expression is None and len(known) > 1:
            message = f"the model has several outputs, and {owner} names none of them"
            help = f"write {owner}(output=NAME, ...), one of {names}"
            raise self._report.refuse("bad-training", message, entry.value.span, help=help)
        name = next(iter(known), "")
        if expression is not None:
            if not isinstance(expression, s.Word):
                message = f"{owner}'s output must be the name of an output"
                help = f"outputs: {names}"
                raise self._report.refuse("bad-type", message, expression.span, help=help)
            name = expression.text
            if known and name not in known:
                message = f"the model has no output {name}"
                meant = suggest(name, known, "outputs")
                raise self._report.refuse("undefined-name", message, expression.span, help=meant)
        tensor = known.get(name)
        if tensor is None:
            raise RefusedError
        return name, tensor
