"""Convolution of one sample: registers of filters, inputs as scalars that the FMA broadcasts.

What batch lanes do with scalar weights and registers of samples, the other way round: weights are
packed to [filters / lanes][channel][tap][lane], and every input value is a scalar.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape
from cnnc.ops.single import Single, groups_of
from cnnc.ops.single_columns import SingleColumns
from cnnc.ops.single_conv_forms import depthwise, forward, transposed
from cnnc.ops.single_groups import Groups
from cnnc.ops.single_packing import PackedWeight
from cnnc.ops.single_winograd import single_winograd as winograd
from cnnc.ops.single_winograd1d import single_winograd1d as winograd1d
from cnnc.ops.window import Geometry, Pads


@dataclass(frozen=True, slots=True)
class SingleConv(Op):
    """conv, depthwise conv or conv_transpose of one sample.

    `space` is the input's, `outputs` the output's. `plain` is the halo of an input that is a plain
    row, None for one in lanes. A transposed one has the geometry of the convolution that it turns
    round.
    """

    kind: str
    geometry: Geometry
    channels: int
    filters: int
    space: Shape
    outputs: Shape
    bias: bool
    lanes: int
    plain: Pads | None = None

    NAME: ClassVar[str] = "single_conv"
    INPUTS: ClassVar[int | None] = 2

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input", "packed")

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(self.filters, self.lanes), *self.outputs)

    def halo(self, wrt: str | None) -> Pads:
        return self.geometry.pad if self.plain is None and self.kind != "transposed" else ()

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        x, y = layouts["input"], layouts["result"]
        make = {"conv": forward, "depthwise": depthwise, "transposed": transposed}[self.kind]
        return make(self, x, y, machine)

    @property
    def groups(self) -> Groups | None:
        """Those of a convolution that has some, and is not depthwise."""
        count = self.geometry.groups
        if count == 1 or self.kind == "depthwise":
            return None
        return Groups(count, self.channels // count, self.filters // count, self.lanes)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        """In registers: lanes of them in one."""
        groups, window = groups_of(self.filters, self.lanes), prod(self.geometry.kernel)
        channels = self.channels // self.geometry.groups
        if self.kind == "transposed":
            return groups * channels * prod(self.space) * window
        return groups * channels * window * prod(self.outputs)


def single_conv(
    geometry: Geometry,
    shape: Shape,
    output: Shape,
    lanes: int,
    plain: Pads | None,
    *,
    bias: bool,
) -> Single:
    """For conv."""
    channels, filters = shape[0], output[0]
    window = prod(geometry.kernel)
    if geometry.groups == 1:
        op = SingleConv(
            "conv", geometry, channels, filters, shape[1:], output[1:], bias, lanes, plain
        )
        packed = PackedWeight(filters, channels, window, channels * window, window, lanes)
        if plain is None:
            others = winograd(geometry, shape, output, lanes, bias=bias)
            others += winograd1d(geometry, shape, output, lanes, bias=bias)
            return Single(op, False, packed, others)
        columns = SingleColumns(
            geometry, channels, filters, shape[1:], output[1:], bias, lanes, plain
        )
        others = (Single(columns, plain=True, planes=True),) if geometry.stride[-1] == 1 else ()
        return Single(op, True, packed, others)
    kind = "depthwise" if geometry.groups == filters == channels else "conv"
    op = SingleConv(kind, geometry, channels, filters, shape[1:], output[1:], bias, lanes)
    each = channels // geometry.groups
    return Single(op, False, PackedWeight(filters, each, window, each * window, window, lanes))


def single_transposed(
    geometry: Geometry, shape: Shape, output: Shape, lanes: int, *, bias: bool
) -> Single:
    """For conv_transpose."""
    channels, filters, window = shape[0], output[0], prod(geometry.kernel)
    op = SingleConv("transposed", geometry, channels, filters, shape[1:], output[1:], bias, lanes)
    each, made = channels // geometry.groups, filters // geometry.groups
    packed = PackedWeight(filters, each, window, window, made * window, lanes, group=made)
    return Single(op, False, packed)
