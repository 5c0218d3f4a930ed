"""Training: the train block -> loss, optimizer and numbers, checked against the model's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cnnc.diagnostics import Span
from cnnc.frontend import spec as s
from cnnc.frontend.arguments import Binder, Bound, as_call
from cnnc.frontend.names import suggest
from cnnc.frontend.network import Operand, Tensor, provenance
from cnnc.frontend.report import RefusedError, Report
from cnnc.ir.graph import SCHEDULES, OutputLoss, Training
from cnnc.ops import LOSSES, OPTIMIZERS
from cnnc.ops.op import Field, Kind, OpError

T = TypeVar("T")

_COUNTS = {
    field.name: field
    for field in (
        Field("batch", Kind.COUNT, "samples a step", 32, below=2**24),
        Field("epochs", Kind.COUNT, "passes over the data", 1, below=2**24),
        Field("seed", Kind.COUNT, "of the initial weights and of shuffling", 0, minimum=0),
    )
}
_KEYS = ("data", "loss", "optimizer", "schedule", *_COUNTS)


class TrainingResolver:
    """Works out one train block; reports all that is wrong with it."""

    def __init__(self, binder: Binder, report: Report) -> None:
        self._binder = binder
        self._report = report

    def resolve(
        self, block: s.TrainBlock, outputs: Sequence[tuple[str, Tensor | None]]
    ) -> Training | None:
        """The training of a model with these outputs, None where something is wrong.

        An output is None where a layer before it already failed.
        """
        entries = self._entries(block)
        data = self._attempt(entries.get("data"), self._data)
        optimizer = self._attempt(entries.get("optimizer"), self._optimizer)
        loss = self._attempt(entries.get("loss"), lambda entry: self._loss(entry, outputs))
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
        if len(outputs) > 1:
            message = f"a model that trains has one output, this one has {len(outputs)}"
            self._report.error("bad-training", message, block.span)
        if loss is None or optimizer is None or None in counts.values():
            return None
        return Training(
            (OutputLoss(outputs[0][0], loss),),
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
                message = f"the train block has no entry {key}"
                self._report.error("unknown-key", message, entry.key.span, help=help)
            elif key in entries:
                note = f"it is first given on line {entries[key].span.line}"
                message = f"{key} is given twice"
                self._report.error("duplicate-name", message, entry.key.span, notes=(note,))
            else:
                entries[key] = entry
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
        self, entry: s.Entry, known: Mapping[str, type[Any]], what: str
    ) -> tuple[type[Any], Bound, Span]:
        """The class that an entry names, with its arguments."""
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
        bound = self._binder.bind(name.text, kind.FIELDS, arguments, value.span)
        return kind, bound, value.span

    def _optimizer(self, entry: s.Entry) -> Any:
        kind, bound, place = self._chosen(entry, OPTIMIZERS, "optimizer")
        try:
            return kind.bind(bound.values)
        except OpError as error:
            self._binder.blame(error, bound, place)
            raise RefusedError from None

    def _loss(self, entry: s.Entry, outputs: Sequence[tuple[str, Tensor | None]]) -> Any:
        kind, bound, place = self._chosen(entry, LOSSES, "loss")
        output = outputs[0][1] if len(outputs) == 1 else None
        if output is None:
            raise RefusedError
        try:
            loss = kind.bind(bound.values, (output.shape,))
            loss.output_shape((output.shape,))
        except OpError as error:
            notes = provenance((Operand(output, "the output", place),))
            self._binder.blame(error, bound, place, notes)
            raise RefusedError from None
        return loss
