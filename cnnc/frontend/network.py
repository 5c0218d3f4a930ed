"""Network: links of chains -> nodes and parameters, with what diagnostics need of their origin.

Works out one layer at a time; the order of statements and the names of values, layers and outputs
are the resolver's.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from cnnc.diagnostics import Source, Span
from cnnc.frontend import spec as s
from cnnc.frontend.arguments import Bound, blame
from cnnc.frontend.report import ExhaustedError, RefusedError, Report, on_line
from cnnc.ir.graph import Node, Parameter
from cnnc.limits import Limits
from cnnc.ops import OPS
from cnnc.ops.field import OpError
from cnnc.ops.op import Input
from cnnc.ops.shapes import Shape


@dataclass(frozen=True, slots=True)
class Tensor:
    """A node's result. `kind` is the layer's, or the input's name; `change` shows the shapes."""

    node: str
    shape: Shape
    kind: str
    span: Span
    change: str

    def origin(self, seen_from: Source) -> str:
        """Where it comes from, as a note ends: `conv on line 4: (1, 28, 28) -> (8, 26, 26)`."""
        inside = f" ({self.node})" if "." in self.node else ""
        return f"{self.kind}{inside} {on_line(self.span, seen_from)}: {self.change}"


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor as a layer reads it: under a name, or (None) as the chain's current value."""

    tensor: Tensor
    name: str | None
    span: Span


class Network:
    """The nodes so far."""

    def __init__(self, report: Report, limits: Limits) -> None:
        self._report = report
        self._limits = limits
        self._weights = 0
        self._activations = 0
        self.nodes: list[Node] = []
        self.parameters: list[Parameter] = []

    def add_input(self, statement: s.InputStatement, shape: Shape) -> Tensor:
        """The tensor that the caller passes."""
        name = statement.name.text
        self._check_size(shape, statement.span, ())
        self._count(statement.span, prod(shape), 0, ())
        self.nodes.append(
            Node(name, Input(shape, statement.dtype.text), (), (), shape, statement.span)
        )
        return Tensor(name, shape, name, statement.span, show_shape(shape))

    def add_layer(
        self, name: str, link: s.Link, op: type[Any], bound: Bound, operands: Sequence[Operand]
    ) -> Tensor:
        """The result of a layer. Raises RefusedError where it does not fit its inputs."""
        shapes = tuple(operand.tensor.shape for operand in operands)
        try:
            bound_op = op.bind(bound.values, shapes)
            return self._add(name, link, bound_op, operands)
        except OpError as error:
            self._blame(error, bound, link, operands)
            raise RefusedError from None

    def add_pieces(
        self, name: str, link: s.Link, op: type[Any], bound: Bound, operands: Sequence[Operand]
    ) -> tuple[Tensor, ...]:
        """The results of a layer that has several, each a node: `name_1`, `name_2` and so on.

        Raises RefusedError where it does not fit its inputs.
        """
        shapes = tuple(operand.tensor.shape for operand in operands)
        try:
            pieces = op.bind(bound.values, shapes).pieces(shapes)
            return tuple(
                self._add(f"{name}_{number}", link, piece, operands)
                for number, piece in enumerate(pieces, 1)
            )
        except OpError as error:
            self._blame(error, bound, link, operands)
            raise RefusedError from None

    def _add(self, name: str, link: s.Link, op: Any, operands: Sequence[Operand]) -> Tensor:
        """The result of one op. Raises OpError where it does not fit its inputs."""
        shapes = tuple(operand.tensor.shape for operand in operands)
        shape = op.output_shape(shapes)
        declared = op.parameters(shapes)
        self._check_size(shape, link.call_span, operands)
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
        weights = sum(prod(p.shape) for p in parameters)
        self._count(link.call_span, prod(shape), weights, operands)
        inputs = tuple(operand.tensor.node for operand in operands)
        names = tuple(p.name for p in parameters)
        self.nodes.append(Node(name, op, inputs, names, shape, link.span))
        self.parameters.extend(parameters)
        change = f"{', '.join(map(show_shape, shapes))} -> {show_shape(shape)}"
        return Tensor(name, shape, link.name.text, link.name.span, change)

    def _count(self, place: Span, elements: int, weights: int, operands: Sequence[Operand]) -> None:
        """Count a node. Raises ExhaustedError where the model is too large with it."""
        self._activations += 4 * elements
        self._weights += weights
        limits = self._limits
        help = None
        if len(self.nodes) >= limits.nodes:
            message = f"the model has more than {limits.nodes:,} layers"
            help, operands = "--max-nodes raises this limit", ()
        elif self._weights > limits.parameters:
            message = f"the model has {self._weights:,} parameters here"
            help = f"--max-parameters raises the limit of {limits.parameters:,}"
        elif self._activations > limits.memory:
            message = f"the activations of one sample take {self._activations:,} bytes here"
            help = f"--max-memory raises the limit of {limits.memory:,}"
        else:
            return
        notes = provenance(operands, place.source)
        self._report.error("too-large", message, place, notes=notes, help=help)
        raise ExhaustedError

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
        # a layer of a block is unused where it is so in every call
        told = {node.span for node in self.nodes if node.name in needed or node.name in read}
        for node in self.nodes:
            if node.name in needed or node.span is None:
                continue
            if isinstance(node.op, Input):
                message = f"the input {node.name} reaches no output"
                self._report.error("unused-input", message, node.span)
            elif node.name not in idle and node.span not in told:
                told.add(node.span)
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
        notes = () if error.code == "bad-value" else provenance(operands, place.source)
        for operand in operands:
            kind = OPS.get(operand.tensor.kind)
            keeps = kind is not None and any(field.name == "keep" for field in kind.FIELDS)
            if keeps and error.code == "shape-mismatch" and len(operand.tensor.shape) == 1:
                error.help = f"{operand.tensor.kind}(keep=yes) keeps the axes of space"
        blame(self._report, error, bound, place, notes)

    def _check_size(self, shape: Shape, place: Span, operands: Sequence[Operand]) -> None:
        if len(shape) > self._limits.rank:
            message = (
                f"a tensor has channels and at most {self._limits.rank - 1} axes of space, "
                f"got the shape {show_shape(shape)}"
            )
            notes = provenance(operands, place.source)
            self._report.error("too-large", message, place, notes=notes)
            raise RefusedError
        if prod(shape) > self._limits.elements:
            message = (
                f"a tensor of shape {show_shape(shape)} has {prod(shape):,} elements, "
                f"the limit is {self._limits.elements:,}"
            )
            notes = provenance(operands, place.source)
            self._report.error("too-large", message, place, notes=notes)
            raise RefusedError


def provenance(operands: Sequence[Operand], seen_from: Source) -> tuple[str, ...]:
    """Notes that say where a layer's inputs come from."""
    return tuple(
        dict.fromkeys(
            f"{operand.name or 'the input'} comes from {operand.tensor.origin(seen_from)}"
            for operand in operands
        )
    )


def show_shape(shape: Shape) -> str:
    """A shape as messages write it: (8, 13, 13)."""
    return f"({', '.join(map(str, shape))})"
