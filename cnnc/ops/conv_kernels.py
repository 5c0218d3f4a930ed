"""conv's loops: register and cache tiles of its forward direction and its three gradients.

Turns an op's extents and its tensors' layouts into the plain values that templates/conv.pyx.j2
writes down. Direct convolution only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Layouts, Machine
from cnnc.ops.loops import Clipped, Loop, axes, register_tile, split, tile_loops
from cnnc.ops.op import Shape
from cnnc.ops.window import Pads

Tiles = tuple[tuple[Loop, int], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One outer spatial axis (all but the last): its kernel, stride, padding before, and extents."""

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
    """Output rows by tiles of filters x columns; inputs by chunks of channels that fit the cache."""

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


def forward(
    stride: Shape, kernel: Shape, pads: Pads, bias: bool, layouts: Layouts, machine: Machine
) -> ConvForward:
    """Loops of the forward direction."""
    x, y = layouts["input"], layouts["result"]
    tile = register_tile(y.channels, y.extents[-1], machine.registers)
    return ConvForward(
        *_shared(stride, kernel, pads, x, y),
        bias,
        tile_loops("o0", y.channels, tile[0]),
        tile_loops("column", y.extents[-1], tile[1]),
        Loop("i0", 0, x.channels, _chunk(x, kernel, machine)),
    )


def input_gradient(
    stride: Shape, kernel: Shape, pads: Pads, bias: bool, layouts: Layouts, machine: Machine
) -> ConvInputGrad:
    """Loops of the data gradient."""
    x, y = layouts["result"], layouts["output_grad"]
    widest = -(-x.extents[-1] // stride[-1])
    tile = register_tile(x.channels, widest, machine.registers)
    shared = _shared(stride, kernel, pads, x, y)
    strips = [
        strip
        for phase in range(min(stride[-1], x.extents[-1]))
        for strip in _strips(shared[3], phase, tile[1])
    ]
    return ConvInputGrad(*shared, tile_loops("i0", x.channels, tile[0]), tuple(strips))


def weight_gradient(
    stride: Shape, kernel: Shape, pads: Pads, bias: bool, layouts: Layouts, machine: Machine
) -> ConvWeightGrad:
    """Loops of the weight gradient."""
    x, y = layouts["input"], layouts["output_grad"]
    limit = machine.registers - 4
    columns = split(kernel[-1], max(1, limit // 2))[0][2]
    group = 1 if columns >= 3 else min(x.channels, 4)
    filters, _ = register_tile(y.channels, columns * group, machine.registers)
    filters = max(1, min(filters, limit // (columns * group)))
    return ConvWeightGrad(
        *_shared(stride, kernel, pads, x, y),
        tile_loops("o0", y.channels, filters),
        tile_loops("i0", x.channels, group),
        tile_loops("k0", kernel[-1], columns),
    )


def bias_gradient(
    stride: Shape, kernel: Shape, pads: Pads, bias: bool, layouts: Layouts, machine: Machine
) -> ConvBiasGrad:
    """Loops of the bias gradient."""
    y = layouts["output_grad"]
    return ConvBiasGrad(y, tile_loops("o0", y.channels, 8))


def _shared(
    stride: Shape, kernel: Shape, pads: Pads, x: Layout, y: Layout
) -> tuple[int, int, tuple[Window, ...], Window, Layout, Layout]:
    names = axes(len(kernel))
    windows = tuple(
        Window(name, k, s, before, n, m)
        for name, k, s, (before, _), n, m in zip(
            names, kernel, stride, pads, x.extents, y.extents, strict=True
        )
    )
    return x.channels, y.channels, windows[:-1], windows[-1], x, y


def _gather(w: Window) -> Clipped:
    """The taps, or steps of one stride, at which an input position meets outputs that exist."""
    low = f"max(0, {w.input.at + w.pad - (w.outputs - 1)})"
    if w.stride == 1:
        return Clipped(w.tap.variable, low, f"min({w.kernel}, {w.input.at + w.pad + 1})")
    steps = f"({w.kernel - 1 + w.stride} - {w.remainder}) // {w.stride}"
    low = f"max(0, {w.quotient} - {w.outputs - 1})"
    return Clipped(f"{w.variable}_step", low, f"min({w.quotient} + 1, {steps})")


def _chunk(x: Layout, kernel: Shape, machine: Machine) -> int:
    """Channels whose rows under one window fit the first-level cache."""
    rows = prod(kernel[:-1]) * x.padded()[-1] * machine.lanes * 4
    fitting = max(1, int(machine.level1 * 0.9) // rows)
    return x.channels if fitting >= x.channels else split(x.channels, fitting)[0][2]


def _strips(last: Window, phase: int, width: int) -> list[Strip]:
    """Tiles of the columns `phase, phase + stride, ...`; equal neighbours become one loop."""
    columns = len(range(phase, last.inputs, last.stride))
    strips: list[Strip] = []
    for start, stop, size in split(columns, width):
        for first in range(start, stop, size):
            runs = _runs(_reach(last, phase, first, size))
            tile = Loop("column", first, first + size, size)
            same = strips and (strips[-1].runs, strips[-1].width) == (runs, size)
            if same:
                tile = Loop("column", strips.pop().tile.start, first + size, size)
            strips.append(Strip(tile, size, phase, runs))
    return strips


def _reach(last: Window, phase: int, first: int, size: int) -> list[tuple[int, int, int, int]]:
    """(tap, first sum, sums, first source relative to the tile) of each tap that meets the tile."""
    reach = []
    for tap in range(last.kernel):
        shift, rest = divmod(phase + last.pad - tap, last.stride)
        low, high = max(first, -shift), min(first + size, last.outputs - shift)
        if rest == 0 and low < high:
            reach.append((tap, low - first, high - low, low + shift - first))
    return reach


def _runs(reach: list[tuple[int, int, int, int]]) -> tuple[TapRun, ...]:
    """Join taps of equal width whose places advance evenly."""
    runs: list[list[tuple[int, int, int, int]]] = []
    for entry in reach:
        run = runs[-1] if runs else None
        if run and entry[2] == run[0][2] and (len(run) < 2 or _step(run[-2:]) == _step([run[-1], entry])):
            run.append(entry)
        else:
            runs.append([entry])
    result = []
    for run in runs:
        tap, target, width, source = run[0]
        steps = _step(run[:2]) if len(run) > 1 else (0, 0, 0)
        result.append(
            TapRun(len(run), width, tap, steps[0], target, steps[1], source, steps[2])
        )
    return tuple(result)


def _step(pair: list[tuple[int, int, int, int]]) -> tuple[int, int, int]:
    (a, b, _, c), (d, e, _, f) = pair
    return d - a, e - b, f - c
