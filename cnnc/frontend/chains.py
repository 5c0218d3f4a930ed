"""Chains: layers, joins, block calls and alternatives -> the values that they make.

Follows the current value along a chain. What a layer reads is reading.py's, what stands between
chains is body.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cnnc.frontend import spec as s
from cnnc.frontend.calls import pass_arguments
from cnnc.frontend.library import Block
from cnnc.frontend.names import check_name, suggest_layer
from cnnc.frontend.network import Network, Tensor
from cnnc.frontend.reading import Reading
from cnnc.frontend.report import Frame, RefusedError, Report
from cnnc.frontend.scope import Budget, Naming, Scope, Value, open_scope
from cnnc.frontend.walk import has_result, mentioned
from cnnc.limits import Limits
from cnnc.ops import OPS

Expand = Callable[[tuple[s.Statement, ...], Scope], None]
"""Goes through the statements of a body."""


class Chains:
    """Makes the layers of chains."""

    def __init__(
        self, report: Report, limits: Limits, network: Network, budget: Budget, expand: Expand
    ) -> None:
        self._report = report
        self._limits = limits
        self.reading = Reading(report, limits)
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
            current = self.reading.value(first.name, scope)
            links = links[1:]
            if first.label is not None:
                message = f"a label names a layer, and {first.name} is a value"
                self._report.error("misplaced-value", message, first.label.span)
        for link in links:
            current = self._link(link, current, scope, starts=link is first)
        # a chain has a link, and a link gives a value
        return current if current is not None else Value(None, "", chain.span)

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
        read = self.reading.layer(link, op, current, scope, starts)
        if read is None:
            return None
        return self._network.add_layer(scope.naming.prefix + name, link, op, *read)

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
            if read := self.reading.layer(link, op, current, scope, not before):
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
            self.reading.value(link.name, scope)
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
