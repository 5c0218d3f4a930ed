"""flatten: channels and space as one row of features."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Loop, axes
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class Flatten(Op):
    """(channels, *space) -> (channels * prod(space)), the last axis fastest."""

    NAME: ClassVar[str] = "flatten"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.VIEW})

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (prod(single(inputs)),)

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        return x.reshape(x.shape[0], prod(x.shape[1:]))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return grad.reshape(grad.shape[0], *shape)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return row_major_copy("input" if wrt is None else "output_grad", layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(), ((3, 4, 5),)), Example(cls(), ((2, 9),)), Example(cls(), ((4,),)))


@dataclass(frozen=True, slots=True)
class RowMajorCopy(Form):
    """Copies all values in their order; needed where a halo keeps a tensor from being a view.

    Loops run over one tensor; the other is dense and seen with the first's axes.
    """

    read: str
    source: Layout
    result: Layout
    loops: tuple[Loop, ...]

    TEMPLATE: ClassVar[str] = "flatten"
    MACRO: ClassVar[str] = "copy"

    def operands(self) -> tuple[str, ...]:
        return (self.read, "result")


@dataclass(frozen=True, slots=True)
class RegroupingCopy(Form):
    """The same between two tensors with halos: coordinates of the source come by division."""

    read: str
    source: Layout
    result: Layout
    loops: tuple[Loop, ...]

    TEMPLATE: ClassVar[str] = "flatten"
    MACRO: ClassVar[str] = "regroup"

    @property
    def dense(self) -> Layout:
        """The result without its halo, which numbers the elements."""
        return Layout(self.result.channels, self.result.extents)

    @property
    def place(self) -> tuple[Affine, ...]:
        """The source's coordinates of element `element`, as variables."""
        names = ("from_channel", *(f"from_{name}" for name in axes(len(self.source.extents))))
        return tuple(Affine.of(name) for name in names)

    @property
    def lines(self) -> tuple[str, ...]:
        """What assigns them."""
        extents = (self.source.channels, *self.source.extents)
        found = []
        for index, (variable, extent) in enumerate(zip(self.place, extents, strict=True)):
            step = prod(extents[index + 1 :])
            value = f"element // {step}" if step > 1 else "element"
            found.append(f"{variable} = {value} % {extent}" if index else f"{variable} = {value}")
        return tuple(found)

    def operands(self) -> tuple[str, ...]:
        return (self.read, "result")


def row_major_copy(read: str, layouts: Layouts) -> Form:
    """The copy of operand `read` to a result of another shape."""
    source, result = layouts[read], layouts["result"]
    if source.dense:
        seen = Layout(result.channels, result.extents)
        return RowMajorCopy(read, seen, result, position_loops(result))
    if result.dense:
        seen = Layout(source.channels, source.extents)
        return RowMajorCopy(read, source, seen, position_loops(source))
    return RegroupingCopy(read, source, result, position_loops(result))
