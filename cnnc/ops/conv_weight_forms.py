"""Convolution's loops as templates/conv.pyx.j2 reads them: gradients by the weight and the bias.

Plain values and the coordinates that follow from them; conv_kernels chooses the tiles. `x` and `y`
are as in conv_forms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.conv_forms import ConvForm, Tiles, visits
from cnnc.ops.layout import Form, Layout
from cnnc.ops.loops import Clipped, Loop, axes, chunked


@dataclass(frozen=True, slots=True)
class Summing(ConvForm):
    """A weight gradient: sums over positions and lanes, by `patches` of rows that stay cached."""

    patch: Loop
    """Over the last outer axis, or over the columns where there is none."""

    def least_positions(self) -> int:
        return 64  # with fewer, lanes are added up for a tenth of the time and more

    @property
    def before(self) -> tuple[Loop, ...]:
        """Loops around the patches: the other outer axes, where patches cut anything."""
        if not self.patch.runs:
            return ()
        return tuple(w.output for w in self.outer[:-1])

    @property
    def rows(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the output rows of a patch."""
        if not self.patch.runs or not self.outer:
            return self.output_rows
        row = self.outer[-1].output
        return (chunked(row.variable, row.stop, self.patch),)

    @property
    def positions(self) -> Loop | Clipped:
        """Over the columns of a patch."""
        whole = self.last.output
        return whole if self.outer else chunked(whole.variable, whole.stop, self.patch)

    @property
    def more(self) -> str:
        """Whether a sum is added to what `result` holds."""
        later = [f"{loop.at} > 0" for loop in (*self.before, self.patch) if loop.runs]
        return " or ".join(["accumulate", *later])

    def taps_at(self, row: Affine) -> tuple[Affine, ...]:
        """Taps of the outer axes, this one along the last of them."""
        return (*(tap.at for tap in self.taps[:-1]), row) if self.outer else ()

    def reads_at(self, row: Affine) -> tuple[Affine, ...]:
        """The outer position in x of that tap."""
        if not self.outer:
            return ()
        *before, w = self.outer
        at = w.output.at * w.stride + row * w.dilation - w.pad
        return (*(other.read(other.output.at) for other in before), at)

    @property
    def row_step(self) -> int:
        """Elements from one kernel row's input to the next."""
        return self.x.strides()[-2] * self.outer[-1].dilation if self.outer else 0

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "input", "result")


@dataclass(frozen=True, slots=True)
class ConvWeightGrad(Summing):
    """Tiles of filters x channels x kernel rows x kernel columns."""

    filters: Tiles
    channels: Tiles
    kernel_rows: Tiles
    columns: Tiles
    lanes: int
    packs: bool
    """Whether a tile's part of y is copied together first: [filter][row of the patch][column]."""
    bias: bool = False
    """Whether y is added up, too, as the bias's gradient: a patch of it before it is multiplied."""

    @property
    def patch_size(self) -> int:
        """Positions of a patch."""
        inner = self.last.outputs if self.outer else 1
        around = prod(w.outputs for w in self.outer[:-1]) if not self.patch.runs else 1
        return around * inner * min(self.patch.step, self.patch.stop)

    def packed_at(self, filter_: Affine, column: Affine) -> Affine:
        """Where an element of a tile's packed part of y lies."""
        place = Affine.of(0)
        if not self.outer:
            return filter_ * self.patch_size + column - self.patch.at
        rows = self.rows if self.patch.runs else self.output_rows
        windows = self.outer[-1:] if self.patch.runs else self.outer
        for loop, window in zip(rows, windows, strict=True):
            place = place * window.outputs + loop.at
        if self.patch.runs:
            place = place - self.patch.at
        return filter_ * self.patch_size + place * self.last.outputs + column

    @property
    def filter_stride(self) -> int:
        """Elements from one filter of a tile to the next."""
        return self.patch_size if self.packs else self.y.strides()[0]

    def scratch(self) -> int:
        return self.filters[0][1] * self.patch_size if self.packs else 0

    @property
    def held(self) -> int:
        """The most registers that a tile's shorter side takes."""
        beside = self.channels[0][1] * self.kernel_rows[0][1] * self.columns[0][1]
        return min(self.filters[0][1], beside)

    @property
    def most(self) -> int:
        """Sums of the largest tile, up to whole registers of lanes."""
        beside = self.channels[0][1] * self.kernel_rows[0][1] * self.columns[0][1]
        return -(-self.filters[0][1] * beside // self.lanes) * self.lanes

    def fetching(self) -> Form:
        return self  # its strips are long: what is fetched would take the place of what it reads

    def with_bias(self) -> ConvWeightGrad:
        # A transposed convolution's y is its input.
        return replace(self, bias=True) if self.y_name == "output_grad" else self

    def makes_bias(self) -> bool:
        return self.bias

    def operands(self) -> tuple[str, ...]:
        scratch, bias = ("scratch",) * self.packs, ("bias_result",) * self.bias
        return ("output_grad", "input", *scratch, *bias, "result")

    MACRO: ClassVar[str] = "weight_gradient"

    def reason(self) -> str:
        parts = (self.filters, self.channels, self.kernel_rows, self.columns)
        tile = "x".join(str(part[0][1]) for part in parts)
        rows = f", {self.patch.step} rows at a time" if self.patch.runs else ""
        bias = ", adds up the bias's gradient" if self.bias else ""
        return f"direct, tile {tile} (filters x channels x kernel rows x columns){rows}{bias}"


@dataclass(frozen=True, slots=True)
class DepthwiseWeightGrad(Summing):
    """One channel a group: tiles of the kernel itself, rows x columns, in one pass over a plane."""

    kernel_rows: Tiles
    columns: Tiles

    MACRO: ClassVar[str] = "depthwise_weight_gradient"

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "input", *self.asking, "result")

    def requests(self) -> int:
        taps = visits(*self.taps[:-1], self.kernel_rows, self.columns)
        return self.groups * self.out_channels * taps * prod(self.y.extents)

    def reason(self) -> str:
        tile = f"{self.kernel_rows[0][1]}x{self.columns[0][1]}"
        return f"direct, a channel at a time, tile {tile} (kernel rows x columns)"


@dataclass(frozen=True, slots=True)
class ConvBiasGrad(Form):
    """The sum of each filter's gradient over positions and lanes."""

    y: Layout
    channels: Tiles

    TEMPLATE: ClassVar[str] = "conv"
    MACRO: ClassVar[str] = "bias_gradient"

    @property
    def space(self) -> tuple[Loop, ...]:
        """Loops over positions."""
        names = axes(len(self.y.extents))
        return tuple(Loop(n, 0, extent) for n, extent in zip(names, self.y.extents, strict=True))

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "result")
