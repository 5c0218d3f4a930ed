"""Reading: what a layer takes from the values around it, and from its arguments.

The current value of the chain, or the values that a join names.
"""

from __future__ import annotations

from typing import Any

from cnnc.frontend import spec as s
from cnnc.frontend.arguments import Bound, as_call
from cnnc.frontend.names import suggest
from cnnc.frontend.network import Operand
from cnnc.frontend.report import RefusedError, Report, on_line
from cnnc.frontend.scope import Scope, Value
from cnnc.frontend.walk import mentioned
from cnnc.limits import Limits
from cnnc.ops import OPS

Operands = list[Operand | None]
"""What a layer reads; None for a value that failed."""


class Reading:
    """Finds the inputs of layers, and binds their arguments."""

    def __init__(self, report: Report, limits: Limits) -> None:
        self._report = report
        self._limits = limits

    def value(self, name: s.Identifier | s.Word, scope: Scope) -> Value | None:
        """The value of a name, None after reporting that there is none."""
        value = scope.values.get(name.text)
        if value is not None:
            value.used = True
            return value
        help = suggest(name.text, scope.values, "values")
        if name.text in scope.naming:
            help = f"{name.text} names a layer; name its value with name = ..."
        elif name.text in scope.ended:
            repeat = on_line(scope.ended[name.text], name.span.source)
            help = f"{name.text} is bound inside the repeat {repeat}, and ends with each pass"
        elif name.text in scope.settings:
            help = f"{name.text} is a number"
        elif name.text in OPS:
            help = f"{name.text} is a layer; name its result: a = {name.text}, then use a"
        message = f"no value is called {name.text}"
        self._report.error("undefined-name", message, name.span, help=help)
        return None

    def layer(
        self, link: s.Link, op: type[Any], current: Value | None, scope: Scope, starts: bool
    ) -> tuple[Bound, list[Operand]] | None:
        """The arguments and inputs of a layer; None where an input failed."""
        arguments = link.arguments or ()
        operands: Operands
        if op.INPUTS == 1:
            operands = [self._current(link, current)]
            self._refuse_values(link, op, scope)
        else:
            operands, arguments = self._join(link, op, scope, starts)
        bound = scope.binder.bind(link.name.text, op.FIELDS, arguments, link.call_span)
        known = [operand for operand in operands if operand is not None]
        return (bound, known) if len(known) == len(operands) else None

    def _current(self, link: s.Link, current: Value | None) -> Operand | None:
        if current is None:
            message = f"{link.name} has nothing to work on"
            help = "declare an input first: input image: float32[3, 32, 32]"
            self._report.error("no-input", message, link.call_span, help=help)
            # said once: what follows works on the value of this layer
            return None
        current.used = True
        return Operand(current.tensor, None, link.call_span) if current.tensor else None

    def _refuse_values(self, link: s.Link, op: type[Any], scope: Scope) -> None:
        """Refuse `relu(x)`: the one input of a layer is what stands before it in the chain."""
        for argument in link.arguments or ():
            called = as_call(argument.value)
            name = called[0].text if called and argument.name is None else ""
            lone = isinstance(argument.value, s.Word) and not op.FIELDS
            if not name or name in scope.settings:
                continue
            if name in scope.values:
                scope.values[name].used = True
            elif name not in OPS and not lone:
                continue
            rest = ", ".join(a.span.text for a in link.arguments or () if a is not argument)
            layer = f"{link.name}({rest})" if rest else link.name.text
            order = (argument.span.text, layer)
            if name in OPS and argument is not (link.arguments or ())[0]:
                order = order[::-1]
            message = f"{link.name} reads what stands before it in the chain, not an argument"
            help = " ".join(f"write {' -> '.join(order)}".split())[:100]
            raise self._report.refuse("misplaced-value", message, argument.span, help=help)

    def _join(
        self, link: s.Link, op: type[Any], scope: Scope, starts: bool
    ) -> tuple[Operands, tuple[s.Argument, ...]]:
        """The values that a join names, None for those that failed, and its other arguments."""
        given = link.arguments or ()
        named = tuple(argument for argument in given if argument.name is not None)
        values = [self._joined(link, a, scope) for a in given if a.name is None]
        if any(a.name is None and not isinstance(a.value, s.Word) for a in given):
            raise RefusedError
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

    def _joined(self, link: s.Link, argument: s.Argument, scope: Scope) -> Operand | None:
        """The value that one argument of a join names; None after an error."""
        if not isinstance(argument.value, s.Word):
            message = f"{link.name} joins values, got {argument.span.text[:40]}"
            help = f"name the values first: a = ..., b = ..., then {link.name}(a, b)"
            number = scope.evaluator.literal(argument.value)
            if isinstance(argument.value, s.List):
                items = ", ".join(item.span.text for item in argument.value.items)
                help = f"write {link.name}({items})"[:80]
            elif number is not None and link.name.text == "mul":
                help = f"to multiply by a number write scale({argument.span.text[:40]})"
            for name in mentioned(argument.value):
                if name in scope.values:
                    scope.values[name].used = True
            self._report.error("bad-type", message, argument.span, help=help)
            return None
        value = self.value(argument.value, scope)
        if value is None or value.tensor is None:
            return None
        return Operand(value.tensor, argument.value.text, argument.span)
