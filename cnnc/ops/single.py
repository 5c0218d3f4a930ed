"""Inference of one sample: lanes along the channels.

A tensor (c, *space) of one sample lies as [c / lanes][*space][lane], the last group filled up with
lanes whose values nobody reads. To most kernels that is a block of samples with fewer channels. A
flat tensor is a plain row of floats either way, and so are the caller's arrays. `Op.for_single`
says how an op is computed so.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.layout import Form, Layout
from cnnc.ops.loops import Clipped, Loop, axes
from cnnc.ops.op import Input, Op
from cnnc.ops.shapes import Shape
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class Single:
    """What stands in for an op.

    plain: whether it reads its first input as a plain row, with the halo that the caller's array
    has. packed: what makes, once for many calls, the operand `packed` of the op's weight;
    packed_bias: the same of its bias. others: what computes the same by another algorithm. planes:
    whether its result is a plain row, lanes along the columns (see cnnc.ops.single_planes).
    """

    op: Op
    plain: bool = False
    packed: Op | None = None
    others: tuple[Single, ...] = ()
    planes: bool = False
    packed_bias: Op | None = None


def groups_of(channels: int, lanes: int) -> int:
    """Registers that hold so many channels."""
    return -(-channels // lanes)


def grouped(shape: Shape, lanes: int) -> Shape:
    """A tensor's shape with its channels in registers."""
    return (groups_of(shape[0], lanes), *shape[1:])


@dataclass(frozen=True, slots=True)
class PlainInput(Input):
    """The caller's array as a plain row of floats, each plane with a halo of zeros."""

    pads: Pads = ()


def plain_layout(shape: Shape, pads: Pads) -> Layout:
    """Where the floats of a plain tensor lie."""
    space = shape[1:]
    return Layout(shape[0], space, pads or tuple((0, 0) for _ in space))


@dataclass(frozen=True, slots=True)
class PlainLoad(Form):
    """The caller's array, converted and stored in order: registers along the rows."""

    dtype: str
    shape: Shape
    pads: Pads
    lanes: int

    TEMPLATE: ClassVar[str] = "single"
    MACRO: ClassVar[str] = "load"

    def operands(self) -> tuple[str, ...]:
        return ("source", "result")

    @property
    def plain(self) -> Layout:
        """Of the result."""
        return plain_layout(self.shape, self.pads)

    @property
    def registers(self) -> Loop:
        """Over all of the result."""
        return Loop("element", 0, groups_of(self.plain.size, self.lanes))

    @property
    def padded(self) -> bool:
        """Whether it has a halo."""
        return not self.plain.dense

    @property
    def rows(self) -> tuple[Loop, ...]:
        """Loops over what is stored in one piece: rows, or planes where there is no halo."""
        outer = self.shape[1:-1] if self.padded else ()
        names = axes(len(self.shape) - 1)
        space = tuple(Loop(n, 0, extent) for n, extent in zip(names, outer, strict=False))
        return (Loop("channel", 0, self.shape[0]), *space)

    @property
    def width(self) -> int:
        """Elements of such a piece."""
        return prod(self.shape) // prod(loop.trips for loop in self.rows)

    @property
    def whole(self) -> Loop:
        """Over its whole registers."""
        return Loop("element", 0, self.width // self.lanes * self.lanes, self.lanes)

    @property
    def last(self) -> int:
        """Where the register starts that ends with a piece; it overlaps the one before."""
        return self.width - self.lanes

    @property
    def starts(self) -> tuple[object, object]:
        """Where a piece begins, in the caller's sample and in the result."""
        at = [loop.at for loop in self.rows]
        at += [Loop("", 0, 1).at] * (len(self.shape) - len(at))
        return plain_layout(self.shape, ()).offset(*at), self.plain.offset(*at)


def lanes_in(variable: str, group: Loop, channels: int, lanes: int) -> Loop | Clipped:
    """Over the channels that a register holds; the last may hold fewer."""
    if not group.runs or channels % lanes == 0:
        return Loop(variable, 0, min(channels, lanes))
    return Clipped(variable, "0", f"min({lanes}, {channels - group.at * lanes})")
