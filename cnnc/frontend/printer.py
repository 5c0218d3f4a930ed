"""Printer: Spec -> text in one style, without comments.

What it prints parses back to an equal Spec. It is the form that `emit spec` shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cnnc.frontend import spec as s

_INDENT = "    "
_WIDTH = 100
_TERNARY, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(10)
_BINDING = (
    {"or": _OR, "and": _AND, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT}
    | {"//": _PRODUCT, "%": _PRODUCT, "**": _POWER}
    | dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), _COMPARE)
)


def format_spec(spec: s.Spec) -> str:
    """The text of a spec, with a newline at its end."""
    # each kind keeps its order; a file's meaning does not depend on how the kinds are mixed
    parts = [
        "".join(f'import "{statement.path.value}"\n' for statement in spec.imports),
        "".join(f"{line}\n" for statement in spec.lets for line in _statement(statement)),
        *(_lines(_definition("block", block)) for block in spec.blocks),
        *(_lines(_definition("model", model)) for model in spec.models),
        *(_lines(_train(train)) for train in spec.train),
    ]
    return "\n".join(filter(None, parts))


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _definition(kind: str, definition: s.Definition) -> Iterator[str]:
    parameters = ", ".join(
        p.name.text if p.default is None else f"{p.name}={_show(p.default)}"
        for p in definition.parameters
    )
    name = definition.name
    yield f"{kind} {name}({parameters}) {{" if parameters else f"{kind} {name} {{"
    yield from _indented(_body(definition.body))
    for train in definition.train if isinstance(definition, s.ModelDefinition) else ():
        yield from _indented(_train(train))
    yield "}"


def _train(train: s.TrainBlock) -> Iterator[str]:
    width = max((len(entry.key.text) for entry in train.entries), default=0)
    yield f"train {train.model} {{" if train.model else "train {"
    yield from _indented(f"{e.key.text:{width}} {_show(e.value)}" for e in train.entries)
    yield "}"


def _body(statements: Iterable[s.Statement]) -> Iterator[str]:
    return (line for statement in statements for line in _statement(statement))


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"{_INDENT}{line}" for line in lines)


def _statement(statement: s.Statement) -> Iterator[str]:
    match statement:
        case s.LetStatement():
            yield f"let {statement.name} = {_show(statement.value)}"
        case s.RepeatStatement():
            label = f"{statement.label}: " if statement.label else ""
            times = _show(statement.last)
            if statement.counter and statement.first:
                times = f"{statement.counter} in {_show(statement.first)}..{times}"
            yield f"{label}repeat {times} {{"
            yield from _indented(_body(statement.body))
            yield "}"
        case s.InputStatement():
            dims = ", ".join(map(_show, statement.dims))
            yield f"input {statement.name}: {statement.dtype}[{dims}]"
        case s.OutputStatement():
            yield f"output {', '.join(name.text for name in statement.names)}"
        case s.ChainStatement():
            names = ", ".join(name.text for name in statement.names)
            yield from _choice(f"{names} = " if names else "", statement.chain)


def _choice(head: str, chain: s.Chain | s.ChainChoice) -> Iterator[str]:
    """A chain, or the alternatives one after the other."""
    while isinstance(chain, s.ChainChoice):
        *lines, last = _chain(head, [_link(link) for link in chain.then.links])
        yield from lines
        test = f"if {_show(chain.test, _OR)} else "
        if len(_INDENT) + len(last) + len(test) > _WIDTH // 2:
            yield last
            last = _INDENT + test
        else:
            last += f" {test}"
        head, chain = last, chain.otherwise
    yield from _chain(head, [_link(link) for link in chain.links])


def _chain(head: str, links: Sequence[str]) -> Iterator[str]:
    """The links in as many lines as they need."""
    line = head + links[0]
    for link in links[1:]:
        if len(_INDENT) + len(line) + len(link) + 4 > _WIDTH:
            yield line
            line = f"{_INDENT}-> {link}"
        else:
            line += f" -> {link}"
    yield line


def _link(link: s.Link) -> str:
    label = f"{link.label}: " if link.label else ""
    arguments = "" if link.arguments is None else f"({_arguments(link.arguments)})"
    return f"{label}{link.name}{arguments}"


def _arguments(arguments: Sequence[s.Argument]) -> str:
    return ", ".join(
        _show(a.value) if a.name is None else f"{a.name}={_show(a.value)}" for a in arguments
    )


def _show(expression: s.Expression, tightest: int = _TERNARY) -> str:
    """The text of an expression, in parentheses where it binds less than its place asks."""
    text, binding = _bound(expression)
    return text if binding >= tightest else f"({text})"


def _bound(expression: s.Expression) -> tuple[str, int]:
    """The text of an expression and how tightly its outermost sign binds."""
    match expression:
        case s.Conditional():
            then, test = _show(expression.then, _OR), _show(expression.test, _OR)
            return f"{then} if {test} else {_show(expression.otherwise)}", _TERNARY
        case s.Binary(left=left, sign=sign, right=right):
            binding = _BINDING[sign]
            if sign == "**":
                return f"{_show(left, _ATOM)} ** {_show(right, _SIGN)}", _POWER
            tight = binding + (binding == _COMPARE)
            return f"{_show(left, tight)} {sign} {_show(right, binding + 1)}", binding
        case s.Unary(sign="not"):
            return f"not {_show(expression.operand, _NOT)}", _NOT
        case s.Unary():
            return f"{expression.sign}{_show(expression.operand, _SIGN)}", _SIGN
        case _:
            return _atom(expression), _ATOM


def _atom(expression: s.Expression) -> str:
    match expression:
        case s.Number():
            return repr(expression.value)
        case s.Flag():
            return "yes" if expression.value else "no"
        case s.Text():
            return f'"{expression.value}"'
        case s.Extent():
            return "x".join(map(str, expression.sizes))
        case s.Word():
            return expression.text
        case s.Call():
            return f"{expression.name}({_arguments(expression.arguments)})"
        case s.Tuple():
            items = ", ".join(map(_show, expression.items))
            return f"({items},)" if len(expression.items) == 1 else f"({items})"
        case s.List():
            return f"[{', '.join(map(_show, expression.items))}]"
        case _:
            return _show(expression)
