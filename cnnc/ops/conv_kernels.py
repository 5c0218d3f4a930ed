"""conv's register and cache tiles: an op's extents and its tensors' layouts -> a form a direction.

Direct convolution only. What the forms mean is in conv_forms, what becomes of them in
templates/conv.pyx.j2.
"""

from __future__ import annotations

from math import prod

from cnnc.ops.conv_forms import (
    ConvBiasGrad,
    ConvForward,
    ConvInputGrad,
    ConvWeightGrad,
    Strip,
    TapRun,
    Window,
)
from cnnc.ops.layout import Layout, Layouts, Machine
from cnnc.ops.loops import Loop, axes, register_tile, split, tile_loops
from cnnc.ops.op import Shape
from cnnc.ops.window import Pads


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
        if (
            run
            and entry[2] == run[0][2]
            and (len(run) < 2 or _step(run[-2:]) == _step([run[-1], entry]))
        ):
            run.append(entry)
        else:
            runs.append([entry])
    result = []
    for run in runs:
        tap, target, width, source = run[0]
        steps = _step(run[:2]) if len(run) > 1 else (0, 0, 0)
        result.append(TapRun(len(run), width, tap, steps[0], target, steps[1], source, steps[2]))
    return tuple(result)


def _step(pair: list[tuple[int, int, int, int]]) -> tuple[int, int, int]:
    (a, b, _, c), (d, e, _, f) = pair
    return d - a, e - b, f - c
