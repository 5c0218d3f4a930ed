"""A dense layer of one sample: registers along the inputs, one sum an output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape
from cnnc.ops.single import groups_of
from cnnc.ops.units import UNITS, tiles_within


@dataclass(frozen=True, slots=True)
class SingleDense(Op):
    """dense of one sample; its weight needs no packing."""

    inputs: int
    units: int
    bias: bool
    lanes: int

    NAME: ClassVar[str] = "single_dense"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(self.units, self.lanes),)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return SingleProduct(self.inputs, self.units, self.bias, self.lanes)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        """In registers: lanes of them in one."""
        return self.units * groups_of(self.inputs, self.lanes)


@dataclass(frozen=True, slots=True)
class SingleProduct(Form):
    """As many outputs at a time as a register holds; their sums are turned and added at the end."""

    inputs: int
    outputs: int
    bias: bool
    lanes: int
    ranged: bool = False
    """Whether a call makes some registers of outputs only."""

    TEMPLATE: ClassVar[str] = "single_dense"
    MACRO: ClassVar[str] = "forward"

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        return ("input", "weight", *bias, *(UNITS if self.ranged else ()), "result")

    def divided(self) -> SingleProduct:
        return replace(self, ranged=True)

    def units(self) -> int:
        return groups_of(self.outputs, self.lanes) if self.ranged else 1

    @property
    def tiles(self) -> tuple[tuple[Loop | Clipped, int], ...]:
        """(loop over registers of outputs, outputs in each)."""
        whole, rest = divmod(self.outputs, self.lanes)
        found = [(Loop("group", 0, whole), self.lanes)] if whole else []
        found += [(Loop("group", whole, whole + 1), rest)] if rest else []
        return tiles_within(found, "0") if self.ranged else tuple(found)

    @property
    def columns(self) -> Loop:
        """Over the whole registers of a row."""
        return Loop("i", 0, self.inputs // self.lanes)

    @property
    def rest(self) -> int:
        """Inputs that fill no register."""
        return self.inputs % self.lanes

    def reason(self) -> str:
        return "one sample, registers along the inputs"
