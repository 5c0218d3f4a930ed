"""Winograd's minimal filtering of one sample: registers of channels in, of filters out.

The window's transform is made once for many calls, as [filters / lanes][point][channel][lane].
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from cnnc.ops import winograd
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import Op, Operands, Trait
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import Single, groups_of
from cnnc.ops.single_winograd_forms import WindowTransform, correlate
from cnnc.ops.toom_cook import Filtering
from cnnc.ops.window import Geometry, Pads
from cnnc.ops.winograd import F2, F4, TAPS


@dataclass(frozen=True, slots=True)
class WinogradWeight(Op):
    """A convolution's weight -> its transform, zero beyond the filters."""

    filters: int
    channels: int
    lanes: int

    NAME: ClassVar[str] = "winograd_weight"
    TRANSFORMS: ClassVar[Filtering] = F2
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BATCH})

    def input_names(self, count: int) -> tuple[str, ...]:
        return ()

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        groups = groups_of(self.filters, self.lanes)
        return (groups * self.TRANSFORMS.points**2 * self.channels * self.lanes,)

    def forward(self, operands: Operands) -> Array:
        weight = operands["weight"]
        turn = np.array(self.TRANSFORMS.weights, weight.dtype)
        points = turn @ weight.reshape(self.filters, self.channels, TAPS, TAPS) @ turn.T
        groups = groups_of(self.filters, self.lanes)
        count = self.TRANSFORMS.points**2
        whole = np.zeros((groups * self.lanes, self.channels, count), weight.dtype)
        whole[: self.filters] = points.reshape(self.filters, self.channels, -1)
        turned = whole.reshape(groups, self.lanes, self.channels, -1).transpose(0, 3, 2, 1)
        return turned.reshape(-1)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return WindowTransform(self.filters, self.channels, self.lanes, self.TRANSFORMS)


class WinogradWeight4(WinogradWeight):
    """The same for larger tiles."""

    NAME: ClassVar[str] = "winograd4_weight"
    TRANSFORMS: ClassVar[Filtering] = F4


@dataclass(frozen=True, slots=True)
class SingleWinograd(Op):
    """conv with a 3x3 window at every position; `space` is the input's, `outputs` the output's."""

    channels: int
    filters: int
    pad: Pads
    outputs: Shape
    bias: bool
    lanes: int

    NAME: ClassVar[str] = "single_winograd"
    TRANSFORMS: ClassVar[Filtering] = F2
    INPUTS: ClassVar[int | None] = 2

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input", "packed")

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (groups_of(self.filters, self.lanes), *self.outputs)

    def halo(self, wrt: str | None) -> Pads:
        # Whole tiles: they end beyond the window of the last output where its number is odd.
        each = zip(self.pad, self.outputs, strict=True)
        return tuple((before, after + -n % self.TRANSFORMS.outputs) for (before, after), n in each)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        x, y = layouts["input"], layouts["result"]
        pads = (self.pad[0][0], self.pad[1][0])
        return correlate(self.TRANSFORMS, self.channels, pads, x, y, machine, bias=self.bias)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        """In registers, of the direct sum: what it is measured against."""
        groups = groups_of(self.filters, self.lanes)
        return groups * self.channels * TAPS**2 * prod(self.outputs)


class SingleWinograd4(SingleWinograd):
    """The same by tiles of 4 x 4 outputs: fewer products, some more rounding."""

    NAME: ClassVar[str] = "single_winograd4"
    TRANSFORMS: ClassVar[Filtering] = F4


def single_winograd(
    geometry: Geometry, shape: Shape, output: Shape, lanes: int, *, bias: bool
) -> tuple[Single, ...]:
    """For conv, besides the direct sum."""
    if not winograd.applies(geometry):
        return ()
    channels, filters = shape[0], output[0]
    asked = (channels, filters, geometry.pad, output[1:], bias, lanes)
    return (
        Single(SingleWinograd(*asked), False, WinogradWeight(filters, channels, lanes)),
        Single(SingleWinograd4(*asked), False, WinogradWeight4(filters, channels, lanes)),
    )
