"""normalize of one sample: means and factors in lanes, as the channels are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.elementwise import elementwise
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Op, Trait
from cnnc.ops.shapes import Shape
from cnnc.ops.single import groups_of


@dataclass(frozen=True, slots=True)
class SingleNormalize(Op):
    """y = (x - mean[channel]) * factor[channel]; one number of each is that of all channels."""

    mean: tuple[float, ...]
    factor: tuple[float, ...]
    lanes: int

    NAME: ClassVar[str] = "single_normalize"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.PLACED})

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, ("input",), layouts)

    @property
    def registers(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Both, for whole registers of channels."""
        whole = groups_of(len(self.mean), self.lanes) * self.lanes
        rest = whole - len(self.mean) if len(self.mean) > 1 else 0
        return self.mean + self.mean[-1:] * rest, self.factor + self.factor[-1:] * rest
