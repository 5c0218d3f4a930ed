"""Network: links of chains -> nodes and parameters, with what diagnostics need of their origin.

Works out one layer at a time; the order of statements, names of values and outputs are the
resolver's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from cnnc.diagnostics import Span
from cnnc.frontend import spec as s
from cnnc.frontend.arguments import Binder, Bound
from cnnc.frontend.limits import Limits
from cnnc.frontend.report import RefusedError, Report
from cnnc.ir.graph import Node, Parameter
from cnnc.ops.op import Input, OpError, Shape


@dataclass(frozen=True, slots=True)
class Tensor:
    """A node's result; `origin` says in words where it comes from."""

    node: str
    shape: Shape
    origin: str


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor as a layer reads it: under a name, or (None) as the chain's current value."""

    tensor: Tensor
    name: str | None
    span: Span


class Network:
    """The nodes so far."""

    def __init__(self, binder: Binder, report: Report, limits: Limits) -> None:
        self._binder = binder
        self._report = report
        self._limits = limits
        self._counts: Counter[str] = Counter()
        self._elements = 0
        self.nodes: list[Node] = []
        self.parameters: list[Parameter] = []
        self.names: dict[str, Span] = {}
        """Node names that the spec gives or the network made, with the place of each."""

    def add_input(self, statement: s.InputStatement, shape: Shape) -> Tensor:
        """The tensor that the caller passes."""
        name = statement.name.text
        self._check_size(shape, statement.span, ())
        self.nodes.append(
            Node(name, Input(shape, statement.dtype.text), (), (), shape, statement.span)
        )
        origin = f"{name} on line {statement.span.line}: {show_shape(shape)}"
        return Tensor(name, shape, origin)

    def add_layer(
        self, link: s.Link, op: type[Any], bound: Bound, operands: Sequence[Operand]
    ) -> Tensor:
        """The result of a layer. Raises RefusedError where it does not fit its inputs."""
        name = self.name_layer(link)
        shapes = tuple(operand.tensor.shape for operand in operands)
        try:
            bound_op = op.bind(bound.values, shapes)
            shape = bound_op.output_shape(shapes)
            declared = bound_op.parameters(shapes)
        except OpError as error:
            self._blame(error, bound, link, operands)
            raise RefusedError from None
        notes = provenance(operands)
        self._check_size(shape, link.call_span, notes)
        parameters = tuple(
            Parameter(
                f"{name}.{p.name}",
                p.shape,
                p.initializer,
                p.fan_in,
                p.fan_out,
                p.trained,
                link.span,
            )
            for p in declared
        )
        self._elements += sum(prod(p.shape) for p in parameters)
        if self._elements > self._limits.parameters:
            message = (
                f"the model has {self._elements:,} parameters here, "
                f"the limit is {self._limits.parameters:,}"
            )
            self._report.error("too-large", message, link.call_span, notes=notes)
            self._elements = 0
            raise RefusedError
        if len(self.nodes) >= self._limits.nodes:
            message = f"the model has more than {self._limits.nodes:,} layers"
            raise self._report.refuse("too-large", message, link.call_span)
        inputs = tuple(operand.tensor.node for operand in operands)
        names = tuple(p.name for p in parameters)
        self.nodes.append(Node(name, bound_op, inputs, names, shape, link.span))
        self.parameters.extend(parameters)
        before = ", ".join(map(show_shape, shapes))
        origin = f"{link.name} on line {link.name.span.line}: {before} -> {show_shape(shape)}"
        return Tensor(name, shape, origin)

    def name_layer(self, link: s.Link) -> str:
        """The label, or the op's name and count. Every layer counts: a label renames no other."""
        kind = link.name.text
        self._counts[kind] += 1
        if link.label is not None:
            return link.label.text
        name = f"{kind}{self._counts[kind]}"
        if name in self.names:
            self._report.error(
                "duplicate-name",
                f"{name} is also the name of the {kind} on line {link.span.line}",
                self.names[name],
                help="choose another name, or label that layer",
            )
        else:
            self.names[name] = link.span
        return name

    def live(
        self, outputs: Iterable[str], idle: Container[str]
    ) -> tuple[tuple[Node, ...], tuple[Parameter, ...]]:
        """The nodes and parameters that the outputs need.

        Reports inputs and last layers that reach no output, but not the `idle` nodes: their values
        have names, and are reported by them.
        """
        needed, read = set(outputs), set[str]()
        for node in reversed(self.nodes):
            read.update(node.inputs)
            if node.name in needed:
                needed.update(node.inputs)
        for node in self.nodes:
            if node.name in needed or node.span is None:
                continue
            if isinstance(node.op, Input):
                message = f"the input {node.name} reaches no output"
                self._report.error("unused-input", message, node.span)
            elif node.name not in read and node.name not in idle:
                message = f"the result of {node.name} is never used"
                self._report.warning("unused-layer", message, node.span)
        nodes = tuple(node for node in self.nodes if node.name in needed)
        kept = {name for node in nodes for name in node.parameters}
        return nodes, tuple(p for p in self.parameters if p.name in kept)

    def _blame(
        self, error: OpError, bound: Bound, link: s.Link, operands: Sequence[Operand]
    ) -> None:
        place = link.call_span
        if error.operand is not None and error.operand < len(operands) and len(operands) > 1:
            place = operands[error.operand].span
        notes = () if error.code == "bad-value" else provenance(operands)
        self._binder.blame(error, bound, place, notes)

    def _check_size(self, shape: Shape, place: Span, notes: Iterable[str]) -> None:
        if prod(shape) > self._limits.elements:
            message = (
                f"a tensor of shape {show_shape(shape)} has {prod(shape):,} elements, "
                f"the limit is {self._limits.elements:,}"
            )
            self._report.error("too-large", message, place, notes=notes)
            raise RefusedError


def provenance(operands: Sequence[Operand]) -> tuple[str, ...]:
    """Notes that say where a layer's inputs come from."""
    return tuple(
        dict.fromkeys(
            f"{operand.name or 'the input'} comes from {operand.tensor.origin}"
            for operand in operands
        )
    )


def show_shape(shape: Shape) -> str:
    """A shape as messages write it: (8, 13, 13)."""
    return f"({', '.join(map(str, shape))})"
