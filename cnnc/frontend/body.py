"""Body: the statements of a model, its blocks and repeats -> its network and outputs.

Walks the statements once, in order. What a chain makes is chains.py's.
"""

from __future__ import annotations

from contextlib import suppress

from cnnc.diagnostics import Span
from cnnc.frontend import spec as s
from cnnc.frontend.chains import Chains
from cnnc.frontend.names import check_name, suggest
from cnnc.frontend.network import Network, Tensor
from cnnc.frontend.report import Frame, RefusedError, Report, on_line
from cnnc.frontend.scope import Budget, Naming, Scope, Value, open_scope
from cnnc.frontend.values import Setting
from cnnc.frontend.walk import chains, mentioned
from cnnc.ir.graph import Node, Parameter
from cnnc.limits import Limits
from cnnc.ops.field import Field, Kind

DTYPES = ("float32", "uint8")
_DIM = Field("size", Kind.COUNT, "extent of an axis")
_BATCH = frozenset(("-1", "None", "N", "B", "batch", "batch_size"))
_TIMES = Field("count", Kind.COUNT, "how often", minimum=0)
_FIRST = Field("first", Kind.INTEGER, "what the counter starts from")
_LAST = Field("last", Kind.INTEGER, "what the counter ends with")


Outputs = list[tuple[str, Tensor | None]]
"""Outputs by name; a tensor is None where a layer before it failed."""


class Body:
    """Expands one model."""

    def __init__(self, report: Report, limits: Limits) -> None:
        self._report = report
        self._limits = limits
        self._budget = Budget(report, limits)
        self._network = Network(report, limits)
        self._inputs: list[Value] = []
        self._bound: list[Value] = []
        self._outputs: dict[str, Value] = {}
        self._wants_outputs = False
        self._unclear = False
        """Whether a name is in error that may have been meant for an output."""
        self.chains = Chains(report, limits, self._network, self._budget, self._expand)

    def resolve(self, model: s.ModelDefinition, scope: Scope) -> Outputs:
        """The model's outputs."""
        self._expand(model.body, scope)
        if not self._unclear and not any(True for _ in chains(model.body)):
            message = f"model {model.name} has no layers"
            self._report.error("empty-model", message, model.name.span)
        elif not self._wants_outputs and scope.current is not None:
            self._name_output(scope.current, scope.current.name, scope.current.span)
        for value in self._inputs:
            if not value.used:
                message = f"the input {value.name} is never used"
                self._report.error("unused-input", message, value.span)
        return [(name, value.tensor) for name, value in self._outputs.items()]

    def live(self, outputs: Outputs) -> tuple[tuple[Node, ...], tuple[Parameter, ...]]:
        """The nodes and parameters that the outputs need; reports what they do not need."""
        used = {value.span for value in self._bound if value.used}
        for value in self._bound:
            if value.span not in used:
                used.add(value.span)
                message = f"the value {value.name} is never used"
                self._report.warning("unused-name", message, value.span)
        idle = {value.tensor.node for value in self._bound if value.tensor}
        needed = [tensor.node for _, tensor in outputs if tensor is not None]
        return self._network.live(needed, idle)

    def _expand(self, statements: tuple[s.Statement, ...], scope: Scope) -> None:
        for statement in statements:
            self._budget.step(statement.span)
            match statement:
                case s.InputStatement():
                    self._input(statement, scope)
                case s.OutputStatement():
                    self._output(statement, scope)
                case s.LetStatement():
                    self._let(statement, scope)
                case s.ChainStatement():
                    self._chain(statement, scope)
                case s.RepeatStatement():
                    self._repeat(statement, scope)

    # inputs and outputs

    def _input(self, statement: s.InputStatement, scope: Scope) -> None:
        tensor: Tensor | None = None
        dtype = statement.dtype
        check_name(statement.name, "input", self._report, self._limits)
        if dtype.text not in DTYPES:
            help = suggest(dtype.text, DTYPES, "types")
            message = f"an input's type is {' or '.join(DTYPES)}, got {dtype}"
            self._report.error("unknown-type", message, dtype.span, help=help)
        if len(statement.dims) > self._limits.rank:
            axes = f"channels and at most {self._limits.rank - 1} axes of space"
            message = f"an input has {axes}, got {len(statement.dims)} sizes"
            help = "a batch axis is implied and not written"
            self._report.error("too-large", message, statement.span, help=help)
        elif self._batch_axis(statement, scope):
            pass
        else:
            sizes = [self._integer(statement.name.text, _DIM, dim, scope) for dim in statement.dims]
            with suppress(RefusedError):
                if None not in sizes:
                    shape = tuple(size for size in sizes if size is not None)
                    tensor = self._network.add_input(statement, shape)
        name = statement.name.text
        scope.current = Value(tensor, name, statement.span)
        scope.naming.claim(name, statement.name.span, self._report)
        self._inputs.append(scope.current)
        if name in scope.values:
            # the duplicate is reported; that one of them is not used only follows from it
            scope.values[name].used = scope.current.used = True
        else:
            scope.values[name] = scope.current

    def _batch_axis(self, statement: s.InputStatement, scope: Scope) -> bool:
        """Whether an input begins with the batch axis of other tools, which is an error."""
        first = statement.dims[0]
        text = first.span.text
        if text not in _BATCH or text in scope.settings:
            return False
        message = "the batch axis is implied and not written"
        self._report.error("bad-value", message, first.span, help=f"leave {text} out")
        return True

    def _integer(
        self, owner: str, field: Field, expression: s.Expression, scope: Scope
    ) -> int | None:
        try:
            value = scope.binder.convert(owner, field, expression)
        except RefusedError:
            return None
        return value if isinstance(value, int) else None

    def _output(self, statement: s.OutputStatement, scope: Scope) -> None:
        self._wants_outputs = True
        for name in statement.names:
            value = self.chains.reading.value(name, scope)
            if value is None:
                self._blind(scope, ())
                continue
            if name.text in self._outputs:
                message = f"the output {name} is given twice"
                self._report.error("duplicate-name", message, name.span)
                continue
            self._name_output(value, name.text, name.span)

    def _blind(self, scope: Scope, statements: tuple[s.Statement, ...]) -> None:
        """Blame no value for being unused that what is not gone through may have read."""
        self._unclear = True
        read = mentioned(*statements)
        for name, value in scope.values.items():
            value.used |= name in read
        if scope.current is not None:
            scope.current.used = True

    def _name_output(self, value: Value, name: str, span: Span) -> None:
        value.used = True
        inputs = [v.tensor for v in self._inputs]
        if value.tensor is not None and value.tensor in inputs and not self._unclear:
            message = f"the output {name} is an input, not the result of a layer"
            help = None
            if not self._wants_outputs and self._bound:
                last = self._bound[-1].name
                help = f"write the chain without {last} =, or end the model with {last}"
            self._report.error("bad-output", message, span, help=help)
        self._outputs[name] = value

    # names

    def _let(self, statement: s.LetStatement, scope: Scope) -> None:
        value = None
        with suppress(RefusedError):
            value = scope.evaluator.constant(statement.value)
        self._set(statement.name, value, scope)

    def _set(self, name: s.Identifier, value: object, scope: Scope) -> None:
        """Give a name to a number, word or extent."""
        check_name(name, "parameter", self._report, self._limits)
        if self._free(name, scope):
            scope.settings[name.text] = Setting(value, name.span)  # type: ignore[arg-type]

    def _free(self, name: s.Identifier, scope: Scope) -> bool:
        """Whether a name is not taken; it is an error where it is."""
        if name.text not in scope.values and name.text not in scope.settings:
            return True
        first = scope.place(name.text)
        notes = (f"it is first given {on_line(first, name.span.source)}",) if first else ()
        self._unclear = True
        message = f"the name {name} is given twice"
        self._report.error("duplicate-name", message, name.span, notes=notes)
        return False

    def _chain(self, statement: s.ChainStatement, scope: Scope) -> None:
        results = self.chains.run(statement, scope)
        if not statement.names:
            (scope.current,) = results
            return
        for name, result in zip(statement.names, results, strict=True):
            check_name(name, "value", self._report, self._limits)
            if name.text in scope.library.blocks:
                message = f"a value cannot be called {name}: it is the name of a block"
                self._report.error("bad-name", message, name.span, help="choose another name")
            if self._free(name, scope):
                value = Value(result.tensor, name.text, name.span)
                scope.values[name.text] = value
                self._bound.append(value)

    # repeats

    def _repeat(self, statement: s.RepeatStatement, scope: Scope) -> None:
        depth = self._budget.deepen(scope.depth, statement.span)
        naming, label = scope.naming, ""
        if statement.label is not None:
            label = self.chains.label(statement.label, scope)
            naming = Naming(f"{scope.naming.prefix}{label}.")
        passes = self._passes(statement, scope)
        if passes is None:
            # what follows must not blame the value before the repeat
            self._blind(scope, statement.body)
            scope.current = Value(None, "", statement.span)
            return
        before = scope.current
        around = f"{scope.suffix}_" if scope.suffix and not label else ""
        for index, number in enumerate(passes):
            self._budget.step(statement.span)
            if not statement.body:
                continue
            inner = open_scope(
                self._report, self._limits, scope.library, naming, depth, around=scope
            )
            inner.current = scope.current
            inner.suffix = f"{around}{number}"
            if statement.counter is not None:
                self._set(statement.counter, number, inner)
            what = f"pass {index + 1} of the repeat" if index else ""
            with self._report.inside(Frame(what, statement.span)):
                self._expand(statement.body, inner)
            scope.current = inner.current
            scope.ended.update(dict.fromkeys(inner.values.maps[0], statement.span))
        if label and scope.current is not None and scope.current is not before:
            scope.current = Value(scope.current.tensor, label, statement.span, scope.current.used)

    def _passes(self, statement: s.RepeatStatement, scope: Scope) -> range | None:
        """What the counter goes through; None after an error."""
        if statement.first is None:
            times = self._integer("repeat", _TIMES, statement.last, scope)
            return None if times is None else range(1, times + 1)
        first = self._integer("repeat", _FIRST, statement.first, scope)
        last = self._integer("repeat", _LAST, statement.last, scope)
        if first is None or last is None:
            return None
        if last < first - 1:
            message = f"{first}..{last} runs backwards"
            notes = scope.evaluator.notes(statement.last)
            help = "a counter goes up by one: 1..3 is 1, 2, 3; and 1..0 is empty"
            self._report.error("bad-value", message, statement.last.span, notes=notes, help=help)
            return None
        return range(first, last + 1)
