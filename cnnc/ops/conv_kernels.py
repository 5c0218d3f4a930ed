"""Convolution's register and cache tiles: extents and layouts -> a form a direction.

Direct sums only. What the forms mean is in conv_forms and conv_weight_forms, what becomes of them
in templates/conv.pyx.j2. conv and conv_transpose both come here, with x and y exchanged.
"""

from __future__ import annotations

from math import prod

from cnnc.ops.conv_forms import ConvForward, ConvInputGrad
from cnnc.ops.conv_strips import strips
from cnnc.ops.conv_weight_forms import (
    ConvBiasGrad,
    ConvWeightGrad,
    DepthwiseWeightGrad,
    Summing,
)
from cnnc.ops.conv_window import Window
from cnnc.ops.layout import Counted, Form, Layout, Machine
from cnnc.ops.loops import Loop, axes, register_tile, split, tile_loops, weight_tile
from cnnc.ops.pointwise_weight import PointwiseWeightGrad
from cnnc.ops.window import Geometry, reach

_PLANE = 2048
"""Bytes of a plane up to which one column of all planes spreads over the nearest cache."""

_TURNED = 4
"""Registers of channels whose turned inputs fill the nearest cache, at some columns, at most."""

_TURNING = 4.0
"""What turning a register of the input costs, in multiply-adds of registers."""

_SUMMING = 6.0
"""What adding up the lanes of a sum costs, in the same."""

_WAITING = 0.1
"""What the direct sum waits for each operand from the second-level cache, in the same."""

PEELED = 308
"""Multiply-adds of one kernel row and one tile that the C compiler still peels completely."""

_Shared = tuple[int, int, int, tuple[Window, ...], Window, Layout, Layout, str, str]


def forward(
    geometry: Geometry, x: Layout, y: Layout, machine: Machine, *, bias: bool, reads: str = "input"
) -> ConvForward:
    """Loops of y from x; `reads` is the pointer to x."""
    g = geometry
    shared = _shared(g, x, y, reads, "result")
    channels, filters = shared[:2]
    tile = register_tile(filters, y.extents[-1], machine.registers)
    columns = (tile[1] - 1) * g.stride[-1] + reach(g.kernel, g.dilation)[-1]
    near = _near(g, x, machine)
    packed = columns if not near and _packs(channels, filters, tile[0]) else 0
    chunk = channels if near else _chunk(channels, prod(g.kernel[:-1]) * columns, machine)
    first = _weights_first(g, channels, filters, y, tile[1], chunk, machine)
    longest = max(1, PEELED // (tile[0] * tile[1]))
    return ConvForward(
        *shared,
        bias,
        Loop("i0", 0, channels, chunk),
        first,
        packed,
        tile_loops("o0", filters, tile[0]),
        tile_loops("column", y.extents[-1], tile[1]),
        tile_loops("k0", g.kernel[-1], longest),
    )


def input_gradient(
    geometry: Geometry,
    x: Layout,
    y: Layout,
    machine: Machine,
    *,
    bias: bool = False,
    reads: str = "output_grad",
) -> ConvInputGrad:
    """Loops of x's gradient from y's; `reads` is the pointer to y."""
    g = geometry
    shared = _shared(g, x, y, "result", reads)
    channels, filters, last = shared[0], shared[1], shared[4]
    tile = register_tile(channels, -(-x.extents[-1] // g.stride[-1]), machine.registers)
    tiles = strips(last.last_axis, tile[1], max(1, PEELED // (tile[0] * tile[1])))
    columns = max(strip.columns for strip in tiles)
    rows = prod(-(-k // s) for k, s in zip(g.kernel[:-1], g.stride[:-1], strict=True))
    near = _near(g, y, machine)
    packed = columns if columns and not near and _packs(filters, channels, tile[0]) else 0
    chunk = filters if near else _chunk(filters, rows * max(1, columns), machine)
    first = _weights_first(g, filters, channels, x, tile[1], chunk, machine)
    return ConvInputGrad(
        *shared,
        bias,
        Loop("o0", 0, filters, chunk),
        first,
        packed,
        tile_loops("i0", channels, tile[0]),
        tiles,
    )


def weight_gradient(
    geometry: Geometry,
    x: Layout,
    y: Layout,
    machine: Machine,
    *,
    x_name: str = "input",
    y_name: str = "output_grad",
) -> Summing:
    """Loops of the weight gradient from x and y's gradient."""
    g = geometry
    shared = _shared(g, x, y, x_name, y_name)
    channels, filters = shared[:2]
    if g.groups > 1 and channels == 1 and len(g.kernel) > 1:
        columns = split(g.kernel[-1], machine.registers // 4)[0][2]
        rows = split(g.kernel[-2], max(1, (machine.registers - 4) // columns))[0][2]
        return DepthwiseWeightGrad(
            *shared,
            _patch(shared, 1, 2 * machine.level1, machine),
            tile_loops("r0", g.kernel[-2], rows),
            tile_loops("k0", g.kernel[-1], columns),
        )
    height_of_kernel = g.kernel[-2] if len(g.kernel) > 1 else 1
    height, depth, rows, columns = weight_tile(
        filters,
        channels,
        height_of_kernel,
        g.kernel[-1],
        positions=prod(y.extents),
        fitting=machine.level1 // (machine.lanes * 4),
        registers=machine.registers,
    )
    return ConvWeightGrad(
        *shared,
        _patch(shared, height, machine.level1, machine),
        tile_loops("o0", filters, height),
        tile_loops("i0", channels, depth),
        tile_loops("r0", height_of_kernel, rows),
        tile_loops("k0", g.kernel[-1], columns),
        machine.lanes,
        _packs(filters, channels * prod(g.kernel), depth * rows * columns),
    )


def pointwise_weight_gradient(
    geometry: Geometry, x: Layout, y: Layout, machine: Machine
) -> PointwiseWeightGrad | None:
    """The same as a matrix product; None where a window is more than one position.

    Nor is there one where the channels do not fill registers.
    """
    g = geometry
    if prod(g.kernel) > 1 or x.channels // g.groups % machine.lanes:
        return None
    if x.dense and y.dense and x.extents == y.extents:
        x, y = (Layout(layout.channels, (prod(layout.extents),)) for layout in (x, y))
        g = Geometry((1,), (1,), ((0, 0),), (1,), g.groups)
    shared = _shared(g, x, y, "input", "output_grad")
    registers, columns = shared[0] // machine.lanes, y.extents[-1]
    height, width = register_tile(shared[1], min(registers, _TURNED), machine.registers)
    room = max(1, machine.level1 // (width * machine.lanes**2 * 4))
    even = max(n for n in range(1, room + 1) if columns % n == 0)
    return PointwiseWeightGrad(
        *shared,
        machine.lanes,
        tile_loops("o0", shared[1], height),
        tile_loops("v0", registers, width),
        tile_loops("column", columns, even if 2 * even > room else room),
    )


def ranked_pointwise(direct: Summing, product: PointwiseWeightGrad) -> Counted:
    """The forms of one kernel by the cycles that they are estimated at, the fewest first."""
    positions = prod(product.y.extents)
    patch = direct.patch_size if isinstance(direct, ConvWeightGrad) else positions
    summed = product.out_channels * (1 + _WAITING + _SUMMING / patch)
    reads = product.groups * product.in_channels * positions / 2
    counted: list[tuple[float, Form]] = [(reads * summed, direct)]
    counted.append((reads * (product.out_channels + _TURNING), product))
    return tuple(sorted(counted, key=lambda pair: pair[0]))


def bias_gradient(y: Layout) -> ConvBiasGrad:
    """Loops of the bias gradient."""
    return ConvBiasGrad(y, tile_loops("o0", y.channels, 8))


def _shared(geometry: Geometry, x: Layout, y: Layout, x_name: str, y_name: str) -> _Shared:
    """The fields that all forms begin with."""
    g = geometry
    windows = tuple(
        Window(name, k, s, d, before, n, m)
        for name, k, s, d, (before, _), n, m in zip(
            axes(len(g.kernel)),
            g.kernel,
            g.stride,
            g.dilation,
            g.pad,
            x.extents,
            y.extents,
            strict=True,
        )
    )
    ins, outs = x.channels // g.groups, y.channels // g.groups
    return ins, outs, g.groups, windows[:-1], windows[-1], x, y, x_name, y_name


def _near(geometry: Geometry, layout: Layout, machine: Machine) -> bool:
    """Whether tiles of single positions read small planes, all of which stay cached."""
    register = machine.lanes * 4
    small = prod(geometry.kernel) == 1 and layout.strides()[0] * register <= _PLANE
    return small and layout.size * register <= machine.level2 // 4


def _packs(summed: int, reused: int, tile: int) -> bool:
    """Whether to copy what a tile reads together first.

    Planes a power of two apart share cache lines: what many tiles read again is lost between them.
    """
    return summed > 8 and reused >= 4 * tile


def _chunk(channels: int, elements: int, machine: Machine) -> int:
    """Channels of which one tile's windows fit the first-level cache."""
    fitting = max(1, int(machine.level1 * 0.8) // (elements * machine.lanes * 4))
    return channels if fitting >= channels else split(channels, fitting)[0][2]


def _weights_first(
    geometry: Geometry,
    summed: int,
    made: int,
    result: Layout,
    width: int,
    chunk: int,
    machine: Machine,
) -> bool:
    """Whether reading the result again for each chunk costs less than all weights for each tile."""
    weights = 4 * summed * made * prod(geometry.kernel)
    if weights <= machine.level2 // 4 or chunk >= summed:
        return False
    again = 2 * (-(-summed // chunk) - 1) * result.size * machine.lanes * 4
    tiles = prod(result.extents[:-1]) * -(-result.extents[-1] // width)
    return again // geometry.groups < 2 * (tiles - 1) * weights


def _patch(shared: _Shared, filters: int, fitting: int, machine: Machine) -> Loop:
    """Rows (columns, on one axis) of y that stay cached while a tile's weights are gone through."""
    outer, last, x, y = shared[3:7]
    register = machine.lanes * 4
    room = fitting // (filters * register)
    touched = sum(layout.channels * prod(layout.extents) for layout in (x, y))
    if touched * register <= machine.level2 // 2:
        room = y.size
    if not outer:
        return _even(last.variable, last.outputs, room)
    whole = prod(w.outputs for w in outer) * last.outputs
    step = outer[-1].outputs if whole <= room else max(1, room // last.outputs)
    return _even(outer[-1].variable, outer[-1].outputs, step)


def _even(variable: str, extent: int, most: int) -> Loop:
    step = extent if extent <= most else split(extent, most)[0][2]
    return Loop(f"{variable}0", 0, extent, step)
