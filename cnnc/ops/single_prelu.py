"""prelu of one sample: slopes in lanes, as the channels are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.elementwise import elementwise
from cnnc.ops.initializers import Zeros
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Op, ParameterSpec, Trait
from cnnc.ops.shapes import Shape


@dataclass(frozen=True, slots=True)
class SinglePrelu(Op):
    """y = x where x > 0, else weight[channel] * x."""

    channels: int
    shared: bool
    lanes: int

    NAME: ClassVar[str] = "single_prelu"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.PLACED})

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        return (ParameterSpec("weight", (self.channels,), Zeros(), 1, 1),)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, ("input", "weight"), layouts)
