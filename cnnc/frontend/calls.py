"""Calls: the arguments of a block's call -> settings and values in the scope of its body."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cnnc.frontend import spec as s
from cnnc.frontend.report import RefusedError, place
from cnnc.frontend.scope import Scope, Value
from cnnc.frontend.values import Setting
from cnnc.ops.field import REQUIRED, Field, Kind


def pass_arguments(link: s.Link, definition: s.BlockDefinition, scope: Scope, inner: Scope) -> None:
    """Put a block's parameters in its scope: numbers, words and the caller's values."""
    doc = f"a parameter of the block at {place(definition.span, link.span.source)}"
    fields = [
        Field(p.name.text, Kind.NUMBER, doc, REQUIRED if p.default is None else None)
        for p in definition.parameters
    ]

    def convert(owner: str, target: Field, expression: s.Expression) -> object:
        del owner, target
        if isinstance(expression, s.Word) and expression.text not in scope.settings:
            value = scope.values.get(expression.text)
            if value is not None:
                value.used = True
                return Value(value.tensor, value.name, expression.span, used=True)
        return scope.evaluator.constant(expression)

    given = link.arguments or ()
    bound = scope.binder.bind(link.name.text, fields, given, link.call_span, convert)
    for parameter in definition.parameters:
        name = parameter.name.text
        value: Any = bound.values[name]
        if isinstance(value, Value):
            inner.values[name] = value
        elif name in bound.spans:
            inner.settings[name] = Setting(value, bound.spans[name], "is given")
        else:
            default = None
            if parameter.default is not None:
                with suppress(RefusedError):
                    default = inner.evaluator.constant(parameter.default)
            inner.settings[name] = Setting(default, parameter.span)
