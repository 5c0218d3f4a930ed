"""Usage: what stands in a file and was not expanded, or is never read.

Looks at text alone: at layers that do not exist in alternatives that were not chosen and in blocks
that nothing calls, and at parameters and lets that nothing mentions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cnnc.frontend import spec as s
from cnnc.frontend.library import Block, Library
from cnnc.frontend.names import suggest_layer
from cnnc.frontend.report import Report
from cnnc.frontend.walk import chains, mentioned, parts
from cnnc.ops import OPS


def check_unvisited(
    definition: s.Definition, library: Library, visited: set[int], report: Report
) -> None:
    """Report layers that do not exist among the links that were not looked at."""
    if library.failed:
        return
    bound: frozenset[str] | None = None
    for chain in chains(definition.body):
        for link in chain.links:
            name = link.name.text
            if id(link) in visited or name in OPS or name in library.blocks:
                continue
            if link is chain.links[0] and link.arguments is None:
                bound = _bound(definition) if bound is None else bound
                if name in bound:
                    continue
            help = suggest_layer(name, [*OPS, *library.blocks])
            report.error("unknown-layer", f"no layer is called {name}", link.name.span, help=help)


def _bound(definition: s.Definition) -> frozenset[str]:
    """Names that may stand for a value somewhere in a definition."""
    names = {parameter.name.text for parameter in definition.parameters}
    for part, _ in parts(definition):
        if isinstance(part, s.InputStatement):
            names.add(part.name.text)
        elif isinstance(part, s.ChainStatement):
            names.update(name.text for name in part.names)
    return frozenset(names)


def warn_of_unused(
    definition: s.ModelDefinition, library: Library, called: Iterable[Block], report: Report
) -> None:
    """Warn of parameters and lets that nothing mentions, in what was expanded."""
    spec = library.spec
    everything = mentioned(*spec.lets, *spec.blocks, *spec.models, *spec.train)
    for let in spec.lets:
        if let.name.text not in everything:
            message = f"{let.name} is never used"
            report.warning("unused-name", message, let.name.span)
    parts: list[s.Definition] = [definition, *(block.definition for block in called)]
    for part in parts:
        read = mentioned(part)
        for parameter in part.parameters:
            if parameter.name.text not in read:
                message = f"the parameter {parameter.name} is never used"
                report.warning("unused-name", message, parameter.span)
        for name in _settings(part.body):
            if name.text not in read:
                report.warning("unused-name", f"{name} is never used", name.span)


def _settings(statements: Iterable[s.Statement]) -> Iterator[s.Identifier]:
    """The lets and counters of a body."""
    for statement in statements:
        if isinstance(statement, s.LetStatement):
            yield statement.name
        elif isinstance(statement, s.RepeatStatement):
            if statement.counter is not None and not _labels(statement.body):
                yield statement.counter
            yield from _settings(statement.body)


def _labels(statements: Iterable[s.Statement]) -> bool:
    """Whether a body has labels, to which a counter gives its numbers."""
    return any(link.label for chain in chains(statements) for link in chain.links)


def circles(blocks: Iterable[Block], report: Report) -> frozenset[int]:
    """The blocks, by identity, that call themselves, directly or not; each circle is reported."""
    found: set[int] = set()
    done: set[int] = set()
    for root in blocks:
        path: list[Block] = []
        stack: list[Iterator[s.Link]] = []
        _enter(root, path, stack, done)
        while stack:
            link = next(stack[-1], None)
            if link is None:
                stack.pop()
                done.add(id(path.pop()))
                continue
            block = path[-1].library.blocks.get(link.name.text)
            if block is not None and block in path:
                circle = path[path.index(block) :]
                names = " -> ".join(str(b.definition.name) for b in (*circle, block))
                message = f"a block cannot contain itself: {names}"
                report.error("recursive-block", message, link.call_span)
                found.update(map(id, circle))
            elif block is not None:
                _enter(block, path, stack, done)
    return frozenset(found)


def _enter(block: Block, path: list[Block], stack: list[Iterator[s.Link]], done: set[int]) -> None:
    if id(block) not in done:
        path.append(block)
        body = block.definition.body
        stack.append(link for chain in chains(body) for link in chain.links)
