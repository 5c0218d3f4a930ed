"""The loops of pooling, both ways: windows are clipped to the input and need no halo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Clipped, Loop, axes
from cnnc.ops.shapes import Shape
from cnnc.ops.units import UNITS, shared_axis, trips_along, within
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class PoolAxis:
    """One spatial axis of a pooling window; `after` is the padding that counts after the input."""

    output: Loop
    tap: Loop
    size: int
    stride: int
    pad: int
    after: int
    inputs: int
    outputs: int

    @property
    def end(self) -> int:
        """The input position after the last window's last element."""
        return (self.outputs - 1) * self.stride + self.size - self.pad

    @property
    def clips(self) -> bool:
        """Whether some window reaches beyond the input."""
        return self.pad > 0 or self.end > self.inputs

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

    def count(self, padding: bool) -> str | int:
        """How many elements of the input, or of the padded input, a window holds."""
        if not padding:
            return f"{self.high} - {self.low}" if self.clips else self.size
        if self.end <= self.inputs + self.after:
            return self.size
        padded = self.inputs + self.pad + self.after
        return f"min({self.size}, {padded - self.output.at * self.stride})"

    @property
    def overlaps(self) -> bool:
        """Whether two windows may share an element."""
        return self.size > self.stride and self.outputs > 1

    @property
    def covers(self) -> bool:
        """Whether every input element lies in exactly one window."""
        return self.end >= self.inputs and (self.size == self.stride or self.outputs == 1)


@dataclass(frozen=True, slots=True)
class UnevenAxis:
    """An axis cut into windows from floor(i n / m) to ceil((i + 1) n / m), m no divisor of n.

    A tap is an input position, so that windows start at 0.
    """

    output: Loop
    tap: Loop
    inputs: int
    outputs: int

    clips = True
    overlaps = True
    covers = False

    @property
    def start(self) -> Affine:
        """Where taps are counted from."""
        return Affine()

    @property
    def low(self) -> str:
        """The first input position of a window."""
        return f"{self.output.at * self.inputs} // {self.outputs}"

    @property
    def high(self) -> str:
        """The input position after a window."""
        return (
            f"({self.output.at * self.inputs + self.inputs + self.outputs - 1}) // {self.outputs}"
        )

    def count(self, padding: bool) -> str:
        """How many elements a window holds; there is no padding."""
        return f"{self.high} - {self.low}"


Axes: TypeAlias = tuple[PoolAxis | UnevenAxis, ...]


@dataclass(frozen=True, slots=True)
class Pool(Form):
    """One pass over the windows of every channel."""

    template: str
    macro: str
    names: tuple[str, ...]
    axes: Axes
    x: Layout
    y: Layout
    grad: Layout
    result: Layout
    counts_padding: bool
    shared: int | None = None
    """Which of the loops over channels and output positions threads share."""

    @property
    def every(self) -> tuple[Loop, ...]:
        """Loops over all channels and output positions."""
        return (Loop("channel", 0, self.x.channels), *(axis.output for axis in self.axes))

    @property
    def channel(self) -> Loop | Clipped:
        """Over the channels that a call makes."""
        return within(self.every, self.shared)[0]

    @property
    def outputs(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the output positions that a call makes."""
        return within(self.every, self.shared)[1:]

    def divided(self) -> Pool:
        return replace(self, shared=shared_axis(self.every))

    def units(self) -> int:
        return trips_along(self.every, self.shared)

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
        for tap, stride in zip(self.taps, layout.strides()[1:], strict=True):
            total = total + tap.at * stride
        return total

    @property
    def counts(self) -> tuple[str | int, ...]:
        """Along each axis, how many elements a window's sum is divided by."""
        return tuple(axis.count(self.counts_padding) for axis in self.axes)

    @property
    def fixed(self) -> int | None:
        """How many elements every window counts; None where it depends on its place."""
        numbers = [count for count in self.counts if isinstance(count, int)]
        return prod(numbers) if len(numbers) == len(self.axes) else None

    @property
    def inside(self) -> tuple[str, ...]:
        """How many elements the window counts, as factors."""
        whole = prod(count for count in self.counts if isinstance(count, int))
        parts = [count for count in self.counts if isinstance(count, str)]
        return (*([str(whole)] if whole > 1 else []), *parts)

    @property
    def accumulates(self) -> bool:
        """Whether a gradient has several sources."""
        return any(axis.overlaps for axis in self.axes)

    @property
    def clears(self) -> bool:
        """Whether the gradient must be zeroed before windows write to it."""
        return self.accumulates or not all(axis.covers for axis in self.axes)

    def in_place(self) -> tuple[str, ...]:
        # Where windows meet nowhere and leave no gap, an element is read and written for one only.
        return ("input",) if self.macro == "input_gradient" and not self.clears else ()

    def stores_once(self) -> bool:
        return self.macro == "forward" or not self.clears

    def writer(self) -> tuple[str, str]:
        return self.template, self.macro

    def operands(self) -> tuple[str, ...]:
        return (*self.names, *(UNITS if self.shared is not None else ()), "result")


def window_axes(
    wrt: str | None, size: Shape, stride: Shape, pads: Pads, layouts: Layouts
) -> tuple[PoolAxis, ...]:
    """The axes of windows of one size."""
    x, y = (
        layouts["input" if wrt is None else "result"],
        layouts["output_grad" if wrt else "result"],
    )
    return tuple(
        PoolAxis(Loop(name, 0, m), Loop(f"{name}_tap", 0, k), k, s, before, after, n, m)
        for name, k, s, (before, after), n, m in zip(
            axes(len(size)), size, stride, pads, x.extents, y.extents, strict=True
        )
    )


def pool(
    template: str,
    wrt: str | None,
    reads: tuple[str, ...],
    pool_axes: Axes,
    layouts: Layouts,
    counts_padding: bool = False,
) -> Pool:
    """The form of either direction; `reads` lists the operands besides the result."""
    if wrt is None:
        x, y, grad = layouts["input"], layouts["result"], layouts["result"]
    else:
        grad = layouts["output_grad"]
        x, y = layouts.get("input", layouts["result"]), layouts.get("output", grad)
    macro = "forward" if wrt is None else "input_gradient"
    result = layouts["result"]
    return Pool(template, macro, reads, pool_axes, x, y, grad, result, counts_padding)
