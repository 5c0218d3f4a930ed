"""Winograd's sizes: extents and layouts -> a form a direction, and when it is worth it."""

from __future__ import annotations

from cnnc.ops.layout import Layout, Machine
from cnnc.ops.loops import split
from cnnc.ops.winograd import F2, TAPS
from cnnc.ops.winograd_forms import Seen, Strip, Winograd
from cnnc.ops.window import Geometry

_LEVEL2 = 32
"""The second-level cache is taken to be this many times the first."""

_FEWEST_TILES, _MOST_TILES = 8, 16
"""Of a strip: fewer leave the register tiles too few, more do not pay."""

_CHUNK = 24
"""Channels that are made before their products are turned back."""

_IN, _OUT, _WEIGHT, _DIRECT = 60, 100, 30, 6.5
"""Cycles to transform a tile of one channel of the source, of the result, the window of a channel
pair; and an output and channel pair by the direct sum. Measured; caches included."""


def wins(form: Winograd) -> bool:
    """Whether it should take less time than the direct sum, by a count of cycles."""
    pairs, tiles = form.made * form.summed, form.strip.tiles[0] * form.strip.tiles[1]
    padded = form.made_up * form.summed * tiles * form.tiles_up / form.strip.count
    products = form.points**2 / 2 * padded / 0.85
    turned = tiles * (form.summed * _IN + form.made * _OUT) + _WEIGHT * pairs
    outputs = form.result.extents[0] * form.result.extents[1]
    return products + turned < _DIRECT * pairs * outputs


def forward(
    geometry: Geometry, x: Layout, y: Layout, machine: Machine, *, bias: bool
) -> Winograd:
    """Loops of y from x."""
    pads = tuple(before for before, _ in geometry.pad)
    strides = (x.channels * TAPS * TAPS, TAPS * TAPS)
    return _correlate(x, "input", y, pads, strides, machine, flipped=False, bias=bias)


def input_gradient(geometry: Geometry, x: Layout, y: Layout, machine: Machine) -> Winograd:
    """Loops of x's gradient from y's: the correlation with the window turned by half a circle."""
    pads = tuple(TAPS - 1 - before for before, _ in geometry.pad)
    strides = (TAPS * TAPS, x.channels * TAPS * TAPS)
    return _correlate(y, "output_grad", x, pads, strides, machine, flipped=True, bias=False)


def _correlate(
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
    f = F2
    tiles = tuple(-(-n // f.outputs) for n in result.extents)
    # The transformed source shares the cache with the products and the weights of a pass.
    room = _LEVEL2 * machine.level1 // 2 // (f.points**2 * source.channels * machine.lanes * 4)
    most = max(_FEWEST_TILES, min(_MOST_TILES, room))
    columns = split(tiles[1], most)[0][2]
    rows = split(tiles[0], max(1, most // columns))[0][2]
    strip = Strip((tiles[0], tiles[1]), rows, columns)
    made, summed = result.channels, source.channels
    register = register_shape(made, strip.count, machine.registers)
    seen = Seen(source, name, (pads[0], pads[1]), f.outputs, f.points)
    chunk = _CHUNK
    up = -(-made // register[0]) * register[0]
    chunk = min(up, max(1, chunk // register[0]) * register[0])
    return Winograd(
        f, machine.lanes, made, summed, *strides, flipped, seen, result, bias, strip, register, chunk
    )


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
