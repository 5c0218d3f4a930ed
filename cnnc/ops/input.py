"""How the caller's arrays are brought into lanes, a block at a time, and results back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout, Machine
from cnnc.ops.loops import Clipped, Loop


@dataclass(frozen=True, slots=True)
class Exchange(Form):
    """What loading and storing share: loops over the rows of a tensor, and along one by squares.

    A square is as many elements as there are lanes; one that does not fit into what is left of a
    row begins earlier. Rows shorter than that go an element at a time.
    """

    tensor: Layout
    lanes: int

    @property
    def loops(self) -> tuple[Loop, ...]:
        """Over every element."""
        return position_loops(self.tensor)

    @property
    def rows(self) -> tuple[Loop, ...]:
        """Over the rows, where there are several axes."""
        return self.loops[:-1]

    @property
    def squares(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the first elements of a row's squares; none where a row is too short."""
        whole = self.loops[-1]
        if whole.stop < self.lanes:
            return ()
        name, even = f"{whole.variable}0", whole.stop // self.lanes * self.lanes
        if self.part:
            return (Clipped(name, *self.part, self.lanes),)
        last = Loop(name, whole.stop - self.lanes, whole.stop, self.lanes)
        loops = (Loop(name, 0, even, self.lanes), last)
        return loops if even < whole.stop else loops[:1]

    @property
    def part(self) -> tuple[str, str] | None:
        """The operands between which elements are brought in, where it is not all of them."""
        return None

    @property
    def features(self) -> int:
        """Elements of a sample."""
        return Layout(self.tensor.channels, self.tensor.extents).size

    def in_sample(self, at: tuple[Affine, ...]) -> Affine:
        """Where an element lies within one sample of the caller's array."""
        dense = Layout(self.tensor.channels, self.tensor.extents)
        offset: Affine = dense.offset(*at)
        return offset


@dataclass(frozen=True, slots=True)
class InputLoad(Exchange):
    """Transposes (samples, *shape) of `dtype` into [*shape][lane] float32.

    Lanes beyond the last sample repeat it.
    """

    dtype: str
    partly: bool = False
    """Whether it brings in the elements from `begin` to `end` only: squares of one row."""

    TEMPLATE: ClassVar[str] = "input"
    MACRO: ClassVar[str] = "load"

    def operands(self) -> tuple[str, ...]:
        return ("source", "samples", *(self.part or ()), "result")

    @property
    def part(self) -> tuple[str, str] | None:
        return ("begin", "end") if self.partly else None

    def partial(self) -> InputLoad | None:
        """The same for a part of the elements, if they are a row of whole squares."""
        whole = self.features % self.lanes == 0 and self.tensor.dense
        return replace(self.flat(), partly=True) if whole else None

    @property
    def of_bytes(self) -> bool:
        """Whether the caller's numbers are bytes, else they are floats."""
        return self.dtype == "uint8"

    def flat(self) -> InputLoad:
        return replace(self, tensor=self.tensor.flat()) if self.tensor.dense else self


@dataclass(frozen=True, slots=True)
class OutputStore(Exchange):
    """Transposes [*shape][lane] into (samples, *shape) float32; empty lanes are dropped."""

    TEMPLATE: ClassVar[str] = "output"
    MACRO: ClassVar[str] = "store"

    hands_back: ClassVar[bool] = True

    def operands(self) -> tuple[str, ...]:
        return ("input", "samples", "result")


def input_load(dtype: str, result: Layout, machine: Machine) -> InputLoad:
    """The form that fills a tensor of the given layout."""
    return InputLoad(result, machine.lanes, dtype)


def output_store(source: Layout, machine: Machine) -> OutputStore:
    """The form that reads a tensor of the given layout."""
    return OutputStore(source.flat() if source.dense else source, machine.lanes)
