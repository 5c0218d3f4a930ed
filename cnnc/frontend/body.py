"""Body: a model's statements -> its network, following the current value and the named ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cnnc.diagnostics import Span
from cnnc.frontend import spec as s
from cnnc.frontend.arguments import Binder, Bound, as_call
from cnnc.frontend.limits import Limits
from cnnc.frontend.names import check_name, suggest, suggest_layer
from cnnc.frontend.network import Network, Operand, Tensor
from cnnc.frontend.report import RefusedError, Report
from cnnc.ir.graph import Node, Parameter
from cnnc.ops import OPS
from cnnc.ops.op import Field, Kind

DTYPES = ("float32", "uint8")
_DIM = Field("size", Kind.COUNT, "extent of an axis")


Outputs = list[tuple[str, Tensor | None]]
"""Outputs by name; a tensor is None where a layer before it failed."""


@dataclass(slots=True)
class _Value:
    """A named value or the current one; `tensor` is None where the layer that makes it failed."""

    tensor: Tensor | None
    name: str
    span: Span
    used: bool = False


class Body:
    """Walks the statements once, in order."""

    def __init__(self, binder: Binder, report: Report, limits: Limits) -> None:
        self._binder = binder
        self._report = report
        self._limits = limits
        self._network = Network(binder, report, limits)
        self._values: dict[str, _Value] = {}
        self._inputs: list[_Value] = []
        self._current: _Value | None = None
        self._outputs: dict[str, _Value] = {}
        self._wants_outputs = False

    def resolve(self, model: s.ModelDefinition) -> Outputs:
        """The model's outputs."""
        self._collect_labels(model)
        for statement in model.body:
            match statement:
                case s.InputStatement():
                    self._input(statement)
                case s.OutputStatement():
                    self._output(statement)
                case s.ChainStatement():
                    self._chain_statement(statement)
        if not any(isinstance(statement, s.ChainStatement) for statement in model.body):
            message = f"model {model.name} has no layers"
            self._report.error("empty-model", message, model.name.span)
        elif not self._wants_outputs and self._current is not None:
            self._name_output(self._current, self._current.name, self._current.span)
        self._check_unused()
        return [(name, value.tensor) for name, value in self._outputs.items()]

    def live(self, outputs: Outputs) -> tuple[tuple[Node, ...], tuple[Parameter, ...]]:
        """The nodes and parameters that the outputs need; reports what they do not need."""
        unused = [value for value in self._values.values() if not value.used]
        for value in unused:
            message = f"the value {value.name} is never used"
            self._report.warning("unused-name", message, value.span)
        idle = {value.tensor.node for value in unused if value.tensor}
        needed = [tensor.node for _, tensor in outputs if tensor is not None]
        return self._network.live(needed, idle)

    def _collect_labels(self, model: s.ModelDefinition) -> None:
        """Claim the names of inputs and labels, which automatic names must not meet."""
        names: list[tuple[s.Identifier, str]] = []
        for statement in model.body:
            if isinstance(statement, s.InputStatement):
                names.append((statement.name, "input"))
            elif isinstance(statement, s.ChainStatement):
                labels = (link.label for link in statement.chain.links)
                names.extend((label, "layer") for label in labels if label is not None)
        for name, what in names:
            check_name(name, what, self._report, self._limits)
            if (first := self._network.names.setdefault(name.text, name.span)) is not name.span:
                self._duplicate(name, first)

    def _duplicate(self, name: s.Identifier, first: Span) -> None:
        note = f"it is first given on line {first.line}"
        message = f"the name {name} is given twice"
        self._report.error("duplicate-name", message, name.span, notes=(note,))

    # statements

    def _input(self, statement: s.InputStatement) -> None:
        tensor: Tensor | None = None
        dtype = statement.dtype
        if dtype.text not in DTYPES:
            help = suggest(dtype.text, DTYPES, "types")
            message = f"an input's type is {' or '.join(DTYPES)}, got {dtype}"
            self._report.error("unknown-type", message, dtype.span, help=help)
        if len(statement.dims) > self._limits.rank:
            message = f"an input has at most {self._limits.rank} axes, got {len(statement.dims)}"
            self._report.error("too-large", message, statement.span)
        else:
            sizes = [self._size(statement.name, dim) for dim in statement.dims]
            try:
                if None not in sizes:
                    shape = tuple(size for size in sizes if size is not None)
                    tensor = self._network.add_input(statement, shape)
            except RefusedError:
                pass
        name = statement.name.text
        self._current = _Value(tensor, name, statement.span)
        self._inputs.append(self._current)
        if name in self._values:
            # the duplicate is reported; that one of them is not used only follows from it
            self._values[name].used = self._current.used = True
        else:
            self._values[name] = self._current

    def _size(self, name: s.Identifier, dim: s.Expression) -> int | None:
        try:
            size = self._binder.convert(name.text, _DIM, dim)
        except RefusedError:
            return None
        return size if isinstance(size, int) else None

    def _output(self, statement: s.OutputStatement) -> None:
        self._wants_outputs = True
        for name in statement.names:
            value = self._lookup(name.text, name.span)
            if value is None:
                continue
            if name.text in self._outputs:
                message = f"the output {name} is given twice"
                self._report.error("duplicate-name", message, name.span)
                continue
            self._name_output(value, name.text, name.span)

    def _name_output(self, value: _Value, name: str, span: Span) -> None:
        value.used = True
        if value.tensor is not None and value.tensor in [v.tensor for v in self._inputs]:
            message = f"the output {name} is an input, not the result of a layer"
            self._report.error("bad-output", message, span)
        self._outputs[name] = value

    def _chain_statement(self, statement: s.ChainStatement) -> None:
        result = self._chain(statement.chain)
        binding = statement.binding
        if binding is None:
            self._current = result
            return
        check_name(binding, "value", self._report, self._limits)
        if binding.text in self._values:
            self._duplicate(binding, self._values[binding.text].span)
            return
        self._values[binding.text] = _Value(result.tensor, binding.text, binding.span)

    def _lookup(self, name: str, span: Span) -> _Value | None:
        """The value of a name, None after reporting that there is none."""
        value = self._values.get(name)
        if value is None:
            help = suggest(name, self._values, "values")
            if name in self._network.names:
                help = f"{name} names a layer; name its value with name = ..."
            self._report.error("undefined-name", f"no value is called {name}", span, help=help)
        else:
            value.used = True
        return value

    def _check_unused(self) -> None:
        for value in self._inputs:
            if not value.used:
                message = f"the input {value.name} is never used"
                self._report.error("unused-input", message, value.span)

    # chains

    def _chain(self, chain: s.Chain) -> _Value:
        first = chain.links[0]
        current = self._current
        links = chain.links
        if first.arguments is None and first.name.text in self._values:
            current = self._lookup(first.name.text, first.name.span)
            links = links[1:]
            if first.label is not None:
                message = f"a label names a layer, and {first.name} is a value"
                self._report.error("misplaced-value", message, first.label.span)
        for link in links:
            current = self._link(link, current, starts=link is first)
        # a chain has a link, and a link gives a value
        return current if current is not None else _Value(None, "", chain.span)

    def _link(self, link: s.Link, current: _Value | None, *, starts: bool) -> _Value:
        """The value after a link; poisoned where the link or what it reads is in error."""
        name = link.label.text if link.label else ""
        tensor: Tensor | None = None
        try:
            tensor = self._layer(link, current, starts)
            name = tensor.node
        except RefusedError:
            pass
        return _Value(tensor, name, link.span)

    def _layer(self, link: s.Link, current: _Value | None, starts: bool) -> Tensor:
        op = OPS.get(link.name.text)
        if op is None:
            if current is not None:
                current.used = True
            raise self._no_layer(link)
        arguments = link.arguments or ()
        operands: list[Operand | None]
        if op.INPUTS == 1:
            operands = [self._read_current(link, current)]
            self._refuse_values(link, op)
        else:
            operands, arguments = self._join(link, op, starts)
        try:
            bound = self._binder.bind(link.name.text, op.FIELDS, arguments, link.call_span)
        except RefusedError:
            self._network.name_layer(link)
            raise
        return self._apply(link, op, bound, operands)

    def _refuse_values(self, link: s.Link, op: type[Any]) -> None:
        """Refuse `relu(x)`: the one input of a layer is what stands before it in the chain."""
        for argument in link.arguments or ():
            called = as_call(argument.value)
            name = called[0].text if called and argument.name is None else ""
            lone = isinstance(argument.value, s.Word) and not op.FIELDS
            if not name or name in self._binder.evaluator.settings:
                continue
            if name in self._values:
                self._values[name].used = True
            elif name not in OPS and not lone:
                continue
            self._network.name_layer(link)
            rest = ", ".join(a.span.text for a in link.arguments or () if a is not argument)
            layer = f"{link.name}({rest})" if rest else link.name.text
            message = f"{link.name} reads what stands before it in the chain, not an argument"
            help = " ".join(f"write {argument.span.text} -> {layer}".split())[:100]
            raise self._report.refuse("misplaced-value", message, argument.span, help=help)

    def _apply(
        self, link: s.Link, op: type[Any], bound: Bound, operands: list[Operand | None]
    ) -> Tensor:
        known = [operand for operand in operands if operand is not None]
        if len(known) < len(operands):
            self._network.name_layer(link)
            raise RefusedError
        return self._network.add_layer(link, op, bound, known)

    def _read_current(self, link: s.Link, current: _Value | None) -> Operand | None:
        if current is None:
            message = f"{link.name} has nothing to work on"
            help = "declare an input first: input image: float32[3, 32, 32]"
            self._report.error("no-input", message, link.call_span, help=help)
            # said once: what follows works on the value of this layer
            return None
        current.used = True
        return Operand(current.tensor, None, link.call_span) if current.tensor else None

    def _no_layer(self, link: s.Link) -> RefusedError:
        name, span = link.name.text, link.name.span
        if name in self._values:
            self._values[name].used = True
            message = f"{name} is a value, not a layer"
            help = f"a chain starts from a value: {name} -> ...; join values by add or concat"
            return self._report.refuse("misplaced-value", message, span, help=help)
        if name in self._network.names:
            help = f"{name} names a layer; name its value with name = ..."
            message = f"no value is called {name}"
            return self._report.refuse("undefined-name", message, span, help=help)
        plain = link.arguments is None
        help = suggest_layer(name, [*OPS, *self._values] if plain else OPS)
        message = f"no {'layer or value' if plain else 'layer'} is called {name}"
        return self._report.refuse("unknown-layer", message, span, help=help)

    def _join(
        self, link: s.Link, op: type[Any], starts: bool
    ) -> tuple[list[Operand | None], tuple[s.Argument, ...]]:
        """The values that a join names, None for those that failed, and its other arguments."""
        given = link.arguments or ()
        named = tuple(argument for argument in given if argument.name is not None)
        values = [self._joined(link, a) for a in given if a.name is None]
        if not starts:
            message = f"{link.name} starts a chain and takes its inputs by name"
            help = f"name the value before it: a = ..., then {link.name}(a, b)"
            raise self._report.refuse("misplaced-value", message, link.call_span, help=help)
        wanted, count = op.INPUTS or 2, len(values)
        if count > self._limits.operands:
            message = f"{link.name} joins more than {self._limits.operands:,} values"
            raise self._report.refuse("too-large", message, link.call_span)
        if count < wanted or (op.INPUTS is not None and count > wanted):
            code = "missing-argument" if count < wanted else "extra-argument"
            least = "" if op.INPUTS else "at least "
            message = f"{link.name} joins {least}{wanted} values, got {count}"
            help = f"write {link.name}(a, b)"
            raise self._report.refuse(code, message, link.call_span, help=help)
        return values, named

    def _joined(self, link: s.Link, argument: s.Argument) -> Operand | None:
        """The value that one argument of a join names; None after an error."""
        if not isinstance(argument.value, s.Word):
            message = f"{link.name} joins values, got {argument.span.text[:40]}"
            help = f"name the values first: a = ..., b = ..., then {link.name}(a, b)"
            self._report.error("bad-type", message, argument.span, help=help)
            return None
        name = argument.value.text
        value = self._lookup(name, argument.span)
        if value is None or value.tensor is None:
            return None
        return Operand(value.tensor, name, argument.span)
