"""Chains: layers, joins, block calls and alternatives -> the values that they make.

Follows the current value along a chain. What stands between chains is body.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cnnc.frontend import spec as s
from cnnc.frontend.arguments import Bound, as_call
from cnnc.frontend.calls import pass_arguments
from cnnc.frontend.library import Block
from cnnc.frontend.names import check_name, suggest, suggest_layer
from cnnc.frontend.network import Network, Operand, Tensor
from cnnc.frontend.report import Frame, RefusedError, Report, on_line
from cnnc.frontend.scope import Budget, Naming, Scope, Value, open_scope
from cnnc.frontend.walk import has_result, mentioned
from cnnc.limits import Limits
from cnnc.ops import OPS

Expand = Callable[[tuple[s.Statement, ...], Scope], None]
"""Goes through the statements of a body."""

Operands = list[Operand | None]
"""What a layer reads; None for a value that failed."""


class Chains:
    """Makes the layers of chains."""

    def __init__(
        self, report: Report, limits: Limits, network: Network, budget: Budget, expand: Expand
    ) -> None:
        self._report = report
        self._limits = limits
        self._network = network
        self._budget = budget
        self._expand = expand
        self._failed: set[int] = set()
        """Links with a mistake of their own: one report of it is enough."""
        self.recursive: frozenset[int] = frozenset()
        """Blocks that cannot be expanded, by identity."""
        self.visited: set[int] = set()
        """Links that were looked at, by identity."""
        self.called: dict[int, Block] = {}
        """Blocks that were called, by identity."""

    def run(self, statement: s.ChainStatement, scope: Scope) -> tuple[Value, ...]:
        """The results of a statement: one for each name that it gives, or one."""
        chain = self._chosen(statement.chain, scope)
        wanted = len(statement.names)
        if chain is None:
            poison = Value(None, "", statement.span)
            return (poison,) * max(wanted, 1)
        *_, last = chain.links
        kind = OPS.get(last.name.text)
        if kind is not None and hasattr(kind, "pieces"):
            return self._pieces(chain, kind, max(wanted, 1) if wanted else 0, scope)
        value = self._chain(chain, chain.links, scope)
        if wanted > 1:
            message = f"{last.name} gives one value, and there are {wanted} names for it"
            self._report.error("misplaced-value", message, statement.names[1].span)
        return (value,) * max(wanted, 1)

    def _chosen(self, chain: s.Chain | s.ChainChoice, scope: Scope) -> s.Chain | None:
        """The alternative whose test holds; None where that cannot be told."""
        while isinstance(chain, s.ChainChoice):
            test: bool | None = None
            with suppress(RefusedError):
                test = scope.evaluator.flag(chain.test)
            left = chain.otherwise if test else chain.then
            for name in mentioned(left) if test is not None else mentioned(chain):
                if name in scope.values:
                    scope.values[name].used = True
            if test is None:
                if scope.current is not None:
                    scope.current.used = True
                return None
            chain = chain.then if test else chain.otherwise
        return chain

    def _chain(self, chain: s.Chain, links: tuple[s.Link, ...], scope: Scope) -> Value:
        """The value after some of a chain's links, from its start on."""
        first = chain.links[0]
        current = scope.current
        if links and first.arguments is None and first.name.text in scope.values:
            self.visited.add(id(first))
            current = self.lookup(first.name, scope)
            links = links[1:]
            if first.label is not None:
                message = f"a label names a layer, and {first.name} is a value"
                self._report.error("misplaced-value", message, first.label.span)
        for link in links:
            current = self._link(link, current, scope, starts=link is first)
        # a chain has a link, and a link gives a value
        return current if current is not None else Value(None, "", chain.span)

    def lookup(self, name: s.Identifier | s.Word, scope: Scope) -> Value | None:
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

    # links

    def _link(self, link: s.Link, current: Value | None, scope: Scope, *, starts: bool) -> Value:
        """The value after a link; poisoned where the link or what it reads is in error."""
        self._budget.step(link.span)
        self.visited.add(id(link))
        kind = link.name.text
        block = scope.library.blocks.get(kind)
        if block is None and kind not in OPS:
            if current is not None:
                current.used = True
            if id(link) not in self._failed:
                self._failed.add(id(link))
                self._report_no_layer(link, scope)
            return Value(None, link.label.text if link.label else "", link.span)
        name = self._name(link, scope)
        tensor: Tensor | None = None
        if id(link) not in self._failed:
            try:
                if block is not None:
                    tensor = self._call(link, block, name, current, scope)
                else:
                    tensor = self._layer(link, name, current, scope, starts)
            except RefusedError:
                self._failed.add(id(link))
        if current is not None and (tensor is None or tensor is current.tensor):
            # that it is not used would only follow from the error; and what a block without layers
            # gives is its input
            current.used = True
        return Value(tensor, name, link.span)

    def _name(self, link: s.Link, scope: Scope) -> str:
        """The label, or the kind and its number; without prefix."""
        kind = link.name.text
        if link.label is None:
            return scope.naming.number(kind, link.span, self._report)
        scope.naming.skip(kind)
        return self.label(link.label, scope)

    def label(self, label: s.Identifier, scope: Scope) -> str:
        """The name, without prefix, that a label gives: in a repeat, with the pass's number."""
        check_name(label, "layer", self._report, self._limits)
        name = f"{label.text}{scope.suffix}"
        if "-" in name:
            message = f"a layer cannot be called {name}: the counter of its repeat is negative"
            self._report.error("bad-name", message, label.span)
        scope.naming.claim(name, label.span, self._report)
        return name

    def _layer(
        self, link: s.Link, name: str, current: Value | None, scope: Scope, starts: bool
    ) -> Tensor | None:
        op = OPS[link.name.text]
        if hasattr(op, "pieces"):
            message = f"the results of {link.name} need names of their own"
            rest = [a.span.text for a in link.arguments or ()]
            before = ""
            if rest and isinstance((link.arguments or ())[0].value, s.Word):
                before = "" if rest[0] in scope.settings else f"{rest.pop(0)} -> "
            help = f"write a, b = {before}{link.name}({', '.join(rest)})"[:80]
            raise self._report.refuse("misplaced-value", message, link.call_span, help=help)
        read = self._read(link, op, current, scope, starts)
        if read is None:
            return None
        return self._network.add_layer(scope.naming.prefix + name, link, op, *read)

    def _read(
        self, link: s.Link, op: type[Any], current: Value | None, scope: Scope, starts: bool
    ) -> tuple[Bound, list[Operand]] | None:
        """The arguments and inputs of a layer; None where an input failed."""
        arguments = link.arguments or ()
        operands: Operands
        if op.INPUTS == 1:
            operands = [self._read_current(link, current)]
            self._refuse_values(link, op, scope)
        else:
            operands, arguments = self._join(link, op, scope, starts)
        bound = scope.binder.bind(link.name.text, op.FIELDS, arguments, link.call_span)
        known = [operand for operand in operands if operand is not None]
        return (bound, known) if len(known) == len(operands) else None

    def _pieces(
        self, chain: s.Chain, op: type[Any], wanted: int, scope: Scope
    ) -> tuple[Value, ...]:
        """The results of a chain whose last layer has several."""
        *before, link = chain.links
        if not wanted:
            return (self._chain(chain, chain.links, scope),)
        current = self._chain(chain, tuple(before), scope) if before else scope.current
        self._budget.step(link.span)
        self.visited.add(id(link))
        name = self._name(link, scope)
        tensors: tuple[Tensor, ...] | None = None
        with suppress(RefusedError):
            if read := self._read(link, op, current, scope, not before):
                full = scope.naming.prefix + name
                tensors = self._network.add_pieces(full, link, op, *read)
        if tensors is None:
            return (Value(None, name, link.span),) * wanted
        for number in range(1, len(tensors) + 1):
            scope.naming.claim(f"{name}_{number}", link.span, self._report, link.name.text)
        if len(tensors) != wanted:
            message = f"{link.name} gives {len(tensors)} values, and there are {wanted} names"
            self._report.error("misplaced-value", message, link.call_span)
            return (Value(None, name, link.span),) * wanted
        return tuple(
            Value(tensor, f"{name}_{number}", link.span) for number, tensor in enumerate(tensors, 1)
        )

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

    def _read_current(self, link: s.Link, current: Value | None) -> Operand | None:
        if current is None:
            message = f"{link.name} has nothing to work on"
            help = "declare an input first: input image: float32[3, 32, 32]"
            self._report.error("no-input", message, link.call_span, help=help)
            # said once: what follows works on the value of this layer
            return None
        current.used = True
        return Operand(current.tensor, None, link.call_span) if current.tensor else None

    def _report_no_layer(self, link: s.Link, scope: Scope) -> None:
        name, span = link.name.text, link.name.span
        plain = link.arguments is None
        code, help = "undefined-name", None
        message = f"no value is called {name}"
        if name in scope.values:
            scope.values[name].used = True
            code, message = "misplaced-value", f"{name} is a value, not a layer"
            help = f"a chain starts from a value: {name} -> ...; join values by add or concat"
        elif name in scope.ended:
            self.lookup(link.name, scope)
            return
        elif name in scope.naming:
            help = f"{name} names a layer; name its value with name = ..."
        else:
            code, message = (
                "unknown-layer",
                f"no {'layer or value' if plain else 'layer'} is called {name}",
            )
            known = [*OPS, *scope.library.blocks, *(scope.values if plain else ())]
            help = suggest_layer(name, known)
            if scope.library.failed and not help.startswith("did you"):
                # what it is may stand in the file that could not be imported
                return
            if name in (model.name.text for model in scope.library.spec.models):
                help = f"{name} is a model, and models do not contain each other: make it a block"
        self._report.error(code, message, span, help=help)

    # joins

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
        value = self.lookup(argument.value, scope)
        if value is None or value.tensor is None:
            return None
        return Operand(value.tensor, argument.value.text, argument.span)

    # blocks

    def _call(
        self, link: s.Link, block: Block, name: str, current: Value | None, scope: Scope
    ) -> Tensor | None:
        """The result of a block on the current value."""
        if id(block) in self.recursive:
            raise RefusedError
        self.called[id(block)] = block
        depth = self._budget.deepen(scope.depth, link.call_span)
        naming = Naming(f"{scope.naming.prefix}{name}.")
        inner = open_scope(self._report, self._limits, block.library, naming, depth)
        pass_arguments(link, block.definition, scope, inner)
        inner.current = current
        with self._report.inside(Frame(f"block {link.name}, called", link.call_span)):
            self._expand(block.definition.body, inner)
        if not has_result(block.definition.body):
            # reported where the block stands
            return None
        return inner.current.tensor if inner.current else None
