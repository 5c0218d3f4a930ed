"""The loops of pooling, both ways: windows are clipped to the input and need no halo."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Clipped, Loop, axes
from cnnc.ops.op import Shape
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class PoolAxis:
    """One spatial axis of a pooling window."""

    output: Loop
    tap: Loop
    size: int
    stride: int
    pad: int
    inputs: int
    outputs: int

    @property
    def clips(self) -> bool:
        """Whether some window reaches beyond the input."""
        last = (self.outputs - 1) * self.stride + self.size - self.pad
        return self.pad > 0 or last > self.inputs

    @property
    def start(self) -> Affine:
        """The input position of a window's first tap; it may lie before the input."""
        return self.output.at * self.stride - self.pad

    @property
    def low(self) -> str:
        """The first tap of a window that meets the input."""
        return f"max(0, {self.pad - self.output.at * self.stride})" if self.pad else "0"

    @property
    def high(self) -> str:
        """The tap after the last that meets the input."""
        return f"min({self.size}, {self.inputs + self.pad - self.output.at * self.stride})"

    @property
    def overlaps(self) -> bool:
        """Whether two windows may share an element."""
        return self.size > self.stride and self.outputs > 1

    @property
    def covers(self) -> bool:
        """Whether every input element lies in exactly one window."""
        exact = (self.outputs - 1) * self.stride + self.size - self.pad >= self.inputs
        return exact and (self.size == self.stride or self.outputs == 1)


@dataclass(frozen=True, slots=True)
class Pool(Form):
    """One pass over the windows of every channel."""

    template: str
    macro: str
    names: tuple[str, ...]
    axes: tuple[PoolAxis, ...]
    channel: Loop
    x: Layout
    y: Layout
    grad: Layout
    result: Layout

    @property
    def outputs(self) -> tuple[Loop, ...]:
        """Loops over output positions."""
        return tuple(axis.output for axis in self.axes)

    @property
    def taps(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the window, clipped where it may reach beyond the input."""
        return tuple(
            Clipped(axis.tap.variable, axis.low, axis.high) if axis.clips else axis.tap
            for axis in self.axes
        )

    @property
    def starts(self) -> tuple[Affine, ...]:
        """The input position of the window's first tap."""
        return tuple(axis.start for axis in self.axes)

    def step(self, layout: Layout) -> Affine:
        """How far a tap lies from the window's first, in a tensor that lies as the input does."""
        total = Affine()
        for axis, stride in zip(self.axes, layout.strides()[1:], strict=True):
            total = total + axis.tap.at * stride
        return total

    @property
    def fixed(self) -> int | None:
        """How many elements every window holds; None where it depends on its place."""
        return None if any(axis.clips for axis in self.axes) else prod(a.size for a in self.axes)

    @property
    def inside(self) -> str:
        """How many elements of the input the window holds."""
        whole = prod(axis.size for axis in self.axes if not axis.clips)
        parts = [f"({axis.high} - {axis.low})" for axis in self.axes if axis.clips]
        return " * ".join(([str(whole)] if whole > 1 or not parts else []) + parts)

    @property
    def accumulates(self) -> bool:
        """Whether a gradient has several sources."""
        return any(axis.overlaps for axis in self.axes)

    @property
    def clears(self) -> bool:
        """Whether the gradient must be zeroed before windows write to it."""
        return self.accumulates or not all(axis.covers for axis in self.axes)

    def writer(self) -> tuple[str, str]:
        return self.template, self.macro

    def operands(self) -> tuple[str, ...]:
        return (*self.names, "result")


def pool(
    template: str,
    wrt: str | None,
    reads: tuple[str, ...],
    size: Shape,
    stride: Shape,
    pads: Pads,
    layouts: Layouts,
) -> Pool:
    """The form of either direction; `reads` lists the operands besides the result."""
    if wrt is None:
        x, y, grad = layouts["input"], layouts["result"], layouts["result"]
    else:
        x, y = layouts["result"], layouts["output_grad"]
        grad = layouts["output_grad"]
        x, y = layouts.get("input", x), layouts.get("output", y)
    space = x.extents
    pool_axes = tuple(
        PoolAxis(Loop(name, 0, m), Loop(f"{name}_tap", 0, k), k, s, before, n, m)
        for name, k, s, (before, _), n, m in zip(
            axes(len(space)), size, stride, pads, space, grad.extents, strict=True
        )
    )
    macro = "forward" if wrt is None else "input_gradient"
    channel = Loop("channel", 0, x.channels)
    return Pool(template, macro, reads, pool_axes, channel, x, y, grad, layouts["result"])
