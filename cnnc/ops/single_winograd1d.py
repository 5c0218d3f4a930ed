"""Minimal filtering of one sample along the last axis: windows of three taps and more.

The rows of a window, and the parts of one that is longer than a filtering's taps, are summed among
the products, as channels are. The window's transform is made once for many calls, as
[filters / lanes][point][row][part][channel][lane].
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Array, Op, Operands, Shape, Trait
from cnnc.ops.single import Single, groups_of
from cnnc.ops.single_winograd1d_forms import LineTransform, correlate
from cnnc.ops.toom_cook import FILTERINGS, Nested
from cnnc.ops.window import Geometry, Pads


@dataclass(frozen=True, slots=True)
class LineWeight(Op):
    """A convolution's weight -> its transform along rows, zero beyond filters and taps.

    `kernel` is (rows, taps) of the window; `filtering` a number in FILTERINGS.
    """

    filters: int
    channels: int
    kernel: tuple[int, int]
    filtering: int
    lanes: int

    NAME: ClassVar[str] = "winograd1d_weight"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BATCH})

    @property
    def nested(self) -> Nested:
        """What it is for."""
        return FILTERINGS[self.filtering]

    @property
    def parts(self) -> int:
        """Of a row of the window."""
        return -(-self.kernel[1] // self.nested.taps)

    def input_names(self, count: int) -> tuple[str, ...]:
        return ()

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        summed = self.kernel[0] * self.parts * self.channels
        return (groups_of(self.filters, self.lanes) * self.nested.points * summed * self.lanes,)

    def forward(self, operands: Operands) -> Array:
        weight = operands["weight"]
        outer, inner = (
            np.array(f.weights, weight.dtype) for f in (self.nested.outer, self.nested.inner)
        )
        rows, taps = self.kernel
        groups, parts = groups_of(self.filters, self.lanes), self.parts
        whole = np.zeros(
            (groups * self.lanes, self.channels, rows, parts * self.nested.taps), weight.dtype
        )
        whole[: self.filters, ..., :taps] = weight.reshape(self.filters, self.channels, rows, taps)
        blocks = whole.reshape(*whole.shape[:3], parts, outer.shape[1], inner.shape[1])
        points = (outer @ blocks @ inner.T).reshape(
            groups, self.lanes, self.channels, rows, parts, -1
        )
        packed: Array = points.transpose(0, 5, 3, 4, 2, 1).reshape(-1)
        return packed

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return LineTransform(
            self.filters, self.channels, self.kernel, self.parts, self.lanes, self.nested
        )


@dataclass(frozen=True, slots=True)
class SingleWinograd1d(Op):
    """conv with a window at every position; `outputs` is the output's space, of one or two axes.

    `kernel` is (rows, taps) of the window; `filtering` a number in FILTERINGS.
    """

    channels: int
    filters: int
    kernel: tuple[int, int]
    filtering: int
    pad: Pads
    outputs: Shape
    bias: bool
    lanes: int

    NAME: ClassVar[str] = "single_winograd1d"
    INPUTS: ClassVar[int | None] = 2

    @property
    def nested(self) -> Nested:
        """The filtering."""
        return FILTERINGS[self.filtering]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input", "packed")

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(self.filters, self.lanes), *self.outputs)

    def halo(self, wrt: str | None) -> Pads:
        # Whole tiles and whole parts: both may end beyond the window of the last output.
        before, after = self.pad[-1]
        after += -self.outputs[-1] % self.nested.outputs + -self.kernel[1] % self.nested.taps
        return (*self.pad[:-1], (before, after))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        x, y = layouts["input"], layouts["result"]
        pads = (*(before for before, _ in self.pad),)
        return correlate(self, pads, x, y, machine)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        """In registers, of the direct sum: what it is measured against."""
        groups = groups_of(self.filters, self.lanes)
        return groups * self.channels * prod(self.kernel) * prod(self.outputs)


def applies(geometry: Geometry) -> bool:
    """Whether a convolution is one of those; windows of 3x3 have better."""
    g = geometry
    ones = (1,) * len(g.kernel)
    usual = g.stride == ones and g.dilation == ones and g.groups == 1
    return usual and len(g.kernel) <= 2 and g.kernel[-1] >= 3 and g.kernel != (3, 3)


def single_winograd1d(
    geometry: Geometry, shape: Shape, output: Shape, lanes: int, *, bias: bool
) -> tuple[Single, ...]:
    """For conv, besides the direct sum: by each filtering that has not many taps too many."""
    if not applies(geometry):
        return ()
    channels, filters, taps = shape[0], output[0], geometry.kernel[-1]
    kernel = (prod(geometry.kernel[:-1]), taps)
    return tuple(
        Single(
            SingleWinograd1d(
                channels, filters, kernel, number, geometry.pad, output[1:], bias, lanes
            ),
            False,
            LineWeight(filters, channels, kernel, number, lanes),
        )
        for number, nested in enumerate(FILTERINGS)
        if -taps % nested.taps < nested.taps // 2
    )
