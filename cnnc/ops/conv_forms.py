"""conv's loops as templates/conv.pyx.j2 reads them: one form a direction, direct convolution.

Plain values and the coordinates that follow from them; conv_kernels chooses the tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, TypeAlias

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout
from cnnc.ops.loops import Clipped, Loop, axes

Tiles: TypeAlias = tuple[tuple[Loop, int], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One spatial axis: its kernel, stride, padding before, and extents."""

    variable: str
    kernel: int
    stride: int
    pad: int
    inputs: int
    outputs: int

    @property
    def tap(self) -> Loop:
        """Over the kernel's elements along this axis."""
        return Loop(f"{self.variable}_tap", 0, self.kernel)

    @property
    def output(self) -> Loop:
        """Over output positions."""
        return Loop(self.variable, 0, self.outputs)

    @property
    def input(self) -> Loop:
        """Over input positions."""
        return Loop(self.variable, 0, self.inputs)

    @property
    def read(self) -> Affine:
        """The input position that an output position meets at a tap."""
        return self.output.at * self.stride + self.tap.at - self.pad

    @property
    def quotient(self) -> str:
        """The last output position whose window starts at or before an input position."""
        start = self.input.at + self.pad
        return str(start) if self.stride == 1 else f"({start}) // {self.stride}"

    @property
    def remainder(self) -> str:
        """The first tap that meets an input position, with a stride above 1."""
        return f"({self.input.at + self.pad}) % {self.stride}"


@dataclass(frozen=True, slots=True)
class ConvForm(Form):
    """What the four directions share. Weights are (out, in, *kernel), row-major."""

    in_channels: int
    out_channels: int
    outer: tuple[Window, ...]
    last: Window
    x: Layout
    y: Layout

    TEMPLATE: ClassVar[str] = "conv"

    @property
    def window(self) -> int:
        """Elements of one filter's channel."""
        return prod(w.kernel for w in self.outer) * self.last.kernel

    @property
    def taps(self) -> tuple[Loop, ...]:
        """Loops over the taps of the outer axes."""
        return tuple(w.tap for w in self.outer)

    @property
    def output_rows(self) -> tuple[Loop, ...]:
        """Loops over the output's outer axes."""
        return tuple(w.output for w in self.outer)

    @property
    def input_rows(self) -> tuple[Loop, ...]:
        """Loops over the input's outer axes."""
        return tuple(w.input for w in self.outer)

    def weight_at(
        self, o: Affine | int, i: Affine | int, taps: Sequence[Loop | Clipped | Affine] = ()
    ) -> Affine:
        """Where the first column of a weight's kernel row lies; `taps` of the outer axes."""
        kernels = [w.kernel for w in self.outer] + [self.last.kernel]
        place = (Affine.of(o) * self.in_channels + i) * self.window
        for index, tap in enumerate(taps):
            at = tap if isinstance(tap, Affine) else tap.at
            place = place + at * prod(kernels[index + 1 :])
        return place

    @property
    def reads(self) -> tuple[Affine, ...]:
        """The input's outer position under the loops over output rows and taps."""
        return tuple(w.read for w in self.outer)


@dataclass(frozen=True, slots=True)
class ConvForward(ConvForm):
    """Output rows by tiles of filters x columns; inputs by chunks that fit the cache."""

    bias: bool
    filters: Tiles
    columns: Tiles
    chunk: Loop

    MACRO: ClassVar[str] = "forward"

    @property
    def channels(self) -> Loop | Clipped:
        """Over the input channels of a chunk; the last may have fewer."""
        if not self.chunk.runs:
            return Loop("i", 0, self.in_channels)
        end = str(self.chunk.at + self.chunk.step)
        even = self.in_channels % self.chunk.step == 0
        return Clipped("i", str(self.chunk.at), end if even else f"min({end}, {self.in_channels})")

    def operands(self) -> tuple[str, ...]:
        return ("input", "weight", "bias", "result") if self.bias else ("input", "weight", "result")

    def reason(self) -> str:
        tile = f"{self.filters[0][1]}x{self.columns[0][1]}"
        chunk = f", {self.chunk.step} channels at a time" if self.chunk.runs else ""
        return f"direct, tile {tile} (filters x columns){chunk}"


@dataclass(frozen=True, slots=True)
class TapRun:
    """`count` taps in a row of kernel columns, each adding to `width` sums of a tile.

    Tap k is kernel column `tap + k * tap_step`; its first sum is `target + k * target_step`, its
    first gradient `source + k * source_step`, relative to the tile's first column.
    """

    count: int
    width: int
    tap: int
    tap_step: int
    target: int
    target_step: int
    source: int
    source_step: int

    def tap_at(self, k: Affine) -> Affine:
        """The kernel column of the k-th tap."""
        return k * self.tap_step + self.tap

    def sum_at(self, k: Affine, c: Affine) -> Affine:
        """The sum that the k-th tap's c-th product goes to."""
        return c + k * self.target_step + self.target

    def source_at(self, k: Affine, c: Affine) -> Affine:
        """The output gradient that it comes from."""
        return c + k * self.source_step + self.source


@dataclass(frozen=True, slots=True)
class Strip:
    """Equal tiles of input-gradient columns of one phase: the loop over them, and their taps."""

    tile: Loop
    width: int
    phase: int
    runs: tuple[TapRun, ...]


@dataclass(frozen=True, slots=True)
class ConvInputGrad(ConvForm):
    """Rows of the input's gradient gather from the output rows that read them, exactly clipped."""

    channels: Tiles
    strips: tuple[Strip, ...]

    MACRO: ClassVar[str] = "input_gradient"

    @property
    def widths(self) -> tuple[int, ...]:
        """The tiles' widths."""
        return tuple(strip.width for strip in self.strips)

    @property
    def gathers(self) -> tuple[Clipped, ...]:
        """Loops over the outputs that read an input row, along each outer axis."""
        return tuple(_gather(window) for window in self.outer)

    @property
    def gather_variables(self) -> tuple[str, ...]:
        """Variables that `gather_lines` assign."""
        strided = [w.variable for w in self.outer if w.stride > 1]
        return tuple(f"{name}_{what}" for name in strided for what in ("tap", "out"))

    @property
    def gather_lines(self) -> tuple[str, ...]:
        """With a stride above 1, the tap and the output position of each step."""
        lines: list[str] = []
        for w in self.outer:
            if w.stride > 1:
                step = f"{w.variable}_step"
                lines.append(f"{w.variable}_tap = {w.remainder} + {step} * {w.stride}")
                lines.append(f"{w.variable}_out = {w.quotient} - {step}")
        return tuple(lines)

    @property
    def gather_rows(self) -> tuple[Affine, ...]:
        """The output positions that a step reads."""
        return tuple(
            Affine.of(f"{w.variable}_out") if w.stride > 1 else w.input.at + w.pad - w.tap.variable
            for w in self.outer
        )

    @property
    def gather_taps(self) -> tuple[Affine, ...]:
        """The taps that it meets."""
        return tuple(Affine.of(w.tap.variable) for w in self.outer)

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "weight", "result")

    def reason(self) -> str:
        widths = max(strip.width for strip in self.strips)
        return f"direct, tile {self.channels[0][1]}x{widths} (channels x columns)"


@dataclass(frozen=True, slots=True)
class ConvWeightGrad(ConvForm):
    """Tiles of filters x channels x kernel columns, each a sum over all positions and lanes."""

    filters: Tiles
    channels: Tiles
    columns: Tiles

    MACRO: ClassVar[str] = "weight_gradient"

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "input", "result")

    def reason(self) -> str:
        tile = f"{self.filters[0][1]}x{self.channels[0][1]}x{self.columns[0][1]}"
        return f"direct, tile {tile} (filters x channels x kernel columns)"


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


def _gather(w: Window) -> Clipped:
    """The taps, or steps of one stride, at which an input position meets outputs that exist."""
    low = f"max(0, {w.input.at + w.pad - (w.outputs - 1)})"
    if w.stride == 1:
        return Clipped(w.tap.variable, low, f"min({w.kernel}, {w.input.at + w.pad + 1})")
    steps = f"({w.kernel - 1 + w.stride} - {w.remainder}) // {w.stride}"
    low = f"max(0, {w.quotient} - {w.outputs - 1})"
    return Clipped(f"{w.variable}_step", low, f"min({w.quotient} + 1, {steps})")
