"""Minimal filtering of one sample along the last axis: windows of three taps and more.

The rows of a window, and the parts of a row that has more taps than the filtering, are summed among
the products, as channels are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import register_tile, tile_loops
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape
from cnnc.ops.single import Single, groups_of
from cnnc.ops.single_strips import strip_of
from cnnc.ops.single_winograd1d_forms import FEWEST_TILES, MOST_TILES, SingleFiltered
from cnnc.ops.single_winograd1d_weight import LineWeight
from cnnc.ops.toom_cook import FILTERINGS, Nested
from cnnc.ops.window import Geometry, Pads


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


def correlate(
    op: SingleWinograd1d, pads: tuple[int, ...], x: Layout, y: Layout, machine: Machine
) -> SingleFiltered:
    """Sizes for y from x."""
    nested, one_axis = op.nested, len(pads) == 1
    if one_axis:
        x, y, pads = _one_row(x), _one_row(y), (0, *pads)
    parts = -(-op.kernel[1] // nested.taps)
    rows, columns = y.extents[0], -(-y.extents[1] // nested.outputs)
    values = nested.points * x.channels * parts
    strip = strip_of((rows, columns), values, (FEWEST_TILES, MOST_TILES), machine)
    width, groups = register_tile(strip.count, y.channels, machine.registers)
    filters = tile_loops("o0", y.channels, groups)
    weights = y.channels * op.channels * op.kernel[0] * parts * nested.points
    far = weights * machine.lanes * 4 > machine.level2 // 8
    return SingleFiltered(
        op.channels,
        machine.lanes,
        op.bias,
        (pads[0], pads[1]),
        x,
        y,
        strip,
        filters,
        width,
        machine.registers,
        far,
        nested,
        one_axis,
        op.kernel[0],
        parts,
    )


def _one_row(layout: Layout) -> Layout:
    return Layout(layout.channels, (1, *layout.extents), ((0, 0), *layout.halo))


def applies(geometry: Geometry) -> bool:
    """Whether a convolution is one of those; windows of 3x3 have better."""
    g = geometry
    ones = (1,) * len(g.kernel)
    usual = g.stride == ones and g.dilation == ones and g.groups == 1
    return usual and len(g.kernel) <= 2 and g.kernel[-1] >= 3 and g.kernel != (3, 3)


def single_winograd1d(
    geometry: Geometry, shape: Shape, output: Shape, lanes: int, *, bias: bool
) -> tuple[Single, ...]:
    """For conv, besides the direct sum: by each filtering, of which their cost takes one."""
    if not applies(geometry):
        return ()
    channels, filters = shape[0], output[0]
    kernel = (prod(geometry.kernel[:-1]), geometry.kernel[-1])
    return tuple(
        Single(
            SingleWinograd1d(
                channels, filters, kernel, number, geometry.pad, output[1:], bias, lanes
            ),
            False,
            LineWeight(filters, channels, kernel, number, lanes),
        )
        for number in range(len(FILTERINGS))
    )
