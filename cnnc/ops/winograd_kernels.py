"""Winograd's sizes: extents and layouts -> a form a direction, and when it is worth it."""

from __future__ import annotations

from math import prod

from cnnc.ops.layout import Counted, Form, Layout, Machine
from cnnc.ops.loops import Loop, split
from cnnc.ops.toom_cook import Filtering
from cnnc.ops.window import Geometry
from cnnc.ops.winograd import F2, TAPS, transposed, whole
from cnnc.ops.winograd_forms import IN, WEIGHT, Windows, Winograd, Winograd4
from cnnc.ops.winograd_strips import Seen, Strip
from cnnc.ops.winograd_weight_forms import Half, WinogradWeightGrad

_FEWEST_TILES, _MOST_TILES = 4, 16
"""Of a strip: fewer leave the register tiles too few, more do not pay."""

_NEAR = {2: 2, 4: 4}
"""The fewest of a strip that is to stay in the first-level cache, by the outputs of a tile."""

_FEWEST_SUMMED, _MOST_SUMMED = 16, 32
"""The same of a weight gradient, whose sums over lanes are the fewer the more tiles it has."""

_FEWEST_MADE, _CHUNK = 4, 24
"""Channels that are made before their products are turned back."""

_DIRECT, _SUM = 6.5, 4
"""Cycles of an output and channel pair by the direct sum; of a sum over lanes."""


def ranked(direct: Form, *others: Winograd) -> Counted:
    """What should take the least time first, by a count of cycles."""
    outputs = prod(others[0].result.extents)
    sums = _DIRECT * others[0].made * others[0].summed * outputs
    counted: list[tuple[float, Form]] = [(sums, direct)]
    counted += [(form.cycles(), form) for form in others]
    return tuple(sorted(counted, key=lambda pair: pair[0]))


def ranked_weight(direct: Form, form: WinogradWeightGrad) -> Counted:
    """The same of a weight gradient."""
    y, x, (rows, columns) = form.y, form.x, form.strip.tiles
    pairs, tiles = y.channels.stop * x.channels.stop, rows * columns
    padded = y.panels.trips * y.width * x.panels.trips * x.width
    strips = form.strip.around[0].trips * form.strip.around[1].trips
    products = form.points**2 * padded * (tiles / 2 / 0.8 + strips * _SUM)
    turned = tiles * (x.channels.stop + y.channels.stop) * IN[2] + WEIGHT[2] * pairs
    outputs = y.seen.layout.extents[0] * y.seen.layout.extents[1]
    counted: list[tuple[float, Form]] = [(_DIRECT * pairs * outputs, direct)]
    counted.append((products + turned, form))
    return tuple(sorted(counted, key=lambda pair: pair[0]))


def forward(
    f: Filtering, geometry: Geometry, x: Layout, y: Layout, machine: Machine, *, bias: bool
) -> Winograd:
    """Loops of y from x."""
    pads = tuple(before for before, _ in geometry.pad)
    strides = (x.channels * TAPS * TAPS, TAPS * TAPS)
    return _correlate(f, x, "input", y, pads, strides, machine, flipped=False, bias=bias)


def input_gradient(
    f: Filtering, geometry: Geometry, x: Layout, y: Layout, machine: Machine
) -> Winograd:
    """Loops of x's gradient from y's: the correlation with the window turned by half a circle."""
    pads = tuple(TAPS - 1 - before for before, _ in geometry.pad)
    strides = (TAPS * TAPS, x.channels * TAPS * TAPS)
    return _correlate(f, y, "output_grad", x, pads, strides, machine, flipped=True, bias=False)


def weight_gradient(
    geometry: Geometry, x: Layout, y: Layout, machine: Machine
) -> WinogradWeightGrad:
    """Loops of the weight gradient from x and y's gradient."""
    f = F2
    tiles = (-(-y.extents[0] // f.outputs), -(-y.extents[1] // f.outputs))
    room = machine.level2 // (f.points * (x.channels + y.channels) * machine.lanes * 4)
    strip = _strip(tiles, max(_FEWEST_SUMMED, min(_MOST_SUMMED, room)))
    # Sixteen sums are added up over the lanes at once.
    height, width = (4, 4) if machine.registers >= 32 else (3, 4)
    height, width = min(height, y.channels), min(width, x.channels)
    pads = (geometry.pad[0][0], geometry.pad[1][0])
    of_y = Seen(y, "output_grad", (0, 0), f.outputs, f.outputs)
    of_x = Seen(x, "input", pads, f.outputs, f.points)
    start = max(of_x.width, of_y.width)
    every = _group(y.channels, height, y.channels + height)
    second = Half(of_y, transposed(whole(f.result)), "o", height, strip.count, start, every)
    start += f.points * second.apart
    channel = f.points * strip.count * machine.lanes * 4
    group = _group(x.channels, width, machine.level1 // channel)
    first = Half(of_x, whole(f.values), "i", width, strip.count, start, group)
    start += f.points * first.apart
    return WinogradWeightGrad(f, machine.lanes, second, first, strip, start)


def _group(channels: int, width: int, fitting: int) -> Loop:
    """Over so many channels at a time, in whole register tiles of `width`."""
    whole = -(-channels // width) * width
    return Loop("group", 0, whole, min(whole, max(1, fitting // width) * width))


def _strip(tiles: tuple[int, int], most: int) -> Strip:
    """Whole rows of tiles, or a part of one."""
    columns = split(tiles[1], most)[0][2]
    rows = split(tiles[0], max(1, most // columns))[0][2]
    return Strip(tiles, rows, columns)


def _correlate(
    f: Filtering,
    source: Layout,
    name: str,
    result: Layout,
    pads: tuple[int, ...],
    strides: tuple[int, int],
    machine: Machine,
    *,
    flipped: bool,
    bias: bool,
) -> Winograd:
    tiles = (-(-result.extents[0] // f.outputs), -(-result.extents[1] // f.outputs))
    made, summed = result.channels, source.channels
    strip = _strip(tiles, _most(f, made, summed, machine))
    shape = register_shape(made, strip.count, machine.registers)
    seen = Seen(source, name, (pads[0], pads[1]), f.outputs, f.points)
    up = -(-made // shape[0]) * shape[0]
    chunk = min(up, max(1, _chunk(f, strip, machine) // shape[0]) * shape[0])
    make = Winograd if f.outputs == F2.outputs else Winograd4
    return make(
        Windows(f, made, summed, *strides, flipped, shape[0], machine.lanes),
        seen,
        result,
        bias,
        strip,
        shape,
        chunk,
    )


def _most(f: Filtering, made: int, summed: int, machine: Machine) -> int:
    """Tiles of a strip.

    As many as the first-level cache holds the transformed source of, at least a few, where all
    weights, which each strip reads again, come from the second-level cache. Else as many as that
    one holds beside the products and the weights of a pass.
    """
    points = f.points**2
    tile = points * summed * machine.lanes * 4
    if points * made * summed * 4 <= machine.level2 // 2:
        few = _NEAR[f.outputs]
        return max(few, min(_MOST_TILES, machine.level1 // tile // few * few))
    return max(_FEWEST_TILES, min(_MOST_TILES, machine.level2 // 2 // tile))


def _chunk(f: Filtering, strip: Strip, machine: Machine) -> int:
    """Channels that are made before their products, which stay cached, are turned back."""
    fitting = machine.level1 // 3 // (f.points**2 * strip.count * machine.lanes * 4)
    return min(_CHUNK, fitting) if fitting >= _FEWEST_MADE else _CHUNK


def register_shape(channels: int, tiles: int, registers: int) -> tuple[int, int]:
    """Channels x tiles of a register tile: the least waste and the fewest loads."""
    limit = registers - registers // 8 if registers >= 32 else registers - 4

    def cost(shape: tuple[int, int]) -> float:
        c, t = shape
        passes = -(-channels // c) * -(-tiles // t)
        return passes * (max(c * t, 8) + 0.5 * (c + t))

    shapes = [
        (c, t)
        for c in range(1, min(channels, limit) + 1)
        for t in range(1, min(tiles, limit // c) + 1)
        if c * t + min(c, t) + registers // 16 < registers
    ]
    return min(shapes, key=lambda shape: (cost(shape), shape))
