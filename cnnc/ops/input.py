"""How the caller's arrays are brought into lanes, a block at a time, and results back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.layout import Form, Layout
from cnnc.ops.loops import Loop


@dataclass(frozen=True, slots=True)
class InputLoad(Form):
    """Transposes (samples, *shape) of `dtype` into [*shape][lane] float32; empty lanes are zero."""

    dtype: str
    result: Layout
    loops: tuple[Loop, ...]

    TEMPLATE: ClassVar[str] = "input"
    MACRO: ClassVar[str] = "load"

    def operands(self) -> tuple[str, ...]:
        return ("source", "samples", "result")

    def flat(self) -> InputLoad:
        return _load(self.dtype, self.result.flat()) if self.result.dense else self

    @property
    def features(self) -> int:
        """Elements of a sample."""
        return Layout(self.result.channels, self.result.extents).size

    @property
    def sample_offset(self) -> Affine:
        """Where an element lies within one sample of the caller's array."""
        return _in_sample(self.result, self.loops)


@dataclass(frozen=True, slots=True)
class OutputStore(Form):
    """Transposes [*shape][lane] into (samples, *shape) float32; empty lanes are dropped."""

    source: Layout
    loops: tuple[Loop, ...]

    TEMPLATE: ClassVar[str] = "output"
    MACRO: ClassVar[str] = "store"

    hands_back: ClassVar[bool] = True

    def operands(self) -> tuple[str, ...]:
        return ("input", "samples", "result")

    @property
    def features(self) -> int:
        """Elements of a sample."""
        return Layout(self.source.channels, self.source.extents).size

    @property
    def sample_offset(self) -> Affine:
        """Where an element lies within one sample of the caller's array."""
        return _in_sample(self.source, self.loops)


def input_load(dtype: str, result: Layout) -> InputLoad:
    """The form that fills a tensor of the given layout."""
    return _load(dtype, result)


def output_store(source: Layout) -> OutputStore:
    """The form that reads a tensor of the given layout."""
    if source.dense:
        source = source.flat()
    return OutputStore(source, position_loops(source))


def _load(dtype: str, result: Layout) -> InputLoad:
    return InputLoad(dtype, result, position_loops(result))


def _in_sample(layout: Layout, loops: tuple[Loop, ...]) -> Affine:
    dense = Layout(layout.channels, layout.extents)
    offset: Affine = dense.offset(*(loop.at for loop in loops))
    return offset
