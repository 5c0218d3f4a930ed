"""Channels scaled and shifted, one sample: batchnorm's affine form with channels in lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.elementwise import elementwise
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Op, Trait
from cnnc.ops.shapes import Shape


@dataclass(frozen=True, slots=True)
class SingleAffine(Op):
    """y = scale x + shift; the second input, (2, channels), holds both."""

    channels: int
    lanes: int

    NAME: ClassVar[str] = "single_affine"
    INPUTS: ClassVar[int | None] = 2
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.PLACED})

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input", "affine")

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, ("input", "affine"), layouts)
