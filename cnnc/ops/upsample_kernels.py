"""The loops of upsample, both ways. A gradient gathers what the forward direction gave out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Clipped, Loop, axes, tile_loops
from cnnc.ops.shapes import Shape
from cnnc.ops.units import UNITS, trips_along, within

_TILE = 4


@dataclass(frozen=True, slots=True)
class SourceAxis:
    """One axis: output p lies at input position clamp(p * slope + shift, 0, limit) / unit.

    Whole numbers, so that places are exact.
    """

    variable: str
    inputs: int
    outputs: int
    slope: int
    shift: int
    unit: int

    @property
    def limit(self) -> int:
        """The last input's place, in units."""
        return (self.inputs - 1) * self.unit

    def source(self, p: int) -> float:
        """Where output p lies, in inputs."""
        return min(max(p * self.slope + self.shift, 0), self.limit) / self.unit

    @property
    def output(self) -> Loop:
        """Over the outputs."""
        return Loop(self.variable, 0, self.outputs)

    @property
    def input(self) -> Loop:
        """Over the inputs."""
        return Loop(self.variable, 0, self.inputs)

    @property
    def side(self) -> Loop:
        """Over the inputs before and after an output."""
        return Loop(f"{self.variable}_side", 0, 2)

    @property
    def gather(self) -> Clipped:
        """Over the outputs that an input has a part in."""
        v = self.variable
        return Clipped(f"{v}_out", f"{v}_first", f"{v}_stop")

    @property
    def first(self) -> str:
        """The first of them, less than a unit before the input, or clamped to it."""
        at = self.input.at * self.unit - self.shift
        # Division cuts towards 0: where that is wrong the bound is negative, and clipped.
        return f"max(0, ({at - self.unit + self.slope}) // {self.slope})"

    @property
    def stop(self) -> str:
        """The output after the last of them."""
        at = self.input.at * self.unit - self.shift
        return f"min({self.outputs}, ({at + self.unit - 1}) // {self.slope} + 1)"

    def place(self, p: Affine) -> str:
        """An output's place in units, clamped to the inputs."""
        place = str(p * self.slope + self.shift)
        if self.shift < 0:
            place = f"max(0, {place})"
        reach = (self.outputs - 1) * self.slope + self.shift
        return f"min({self.limit}, {place})" if reach > self.limit else place

    @property
    def distance(self) -> str:
        """From the input to an output that it has a part in, in units."""
        at = self.input.at * self.unit
        return self.place(self.gather.at) + (f" - {at}" if at.terms or at.constant else "")


def source_axes(space: Shape, factor: Shape, align_corners: bool) -> tuple[SourceAxis, ...]:
    """Between which inputs outputs lie."""
    found = []
    for name, n, f in zip(axes(len(space)), space, factor, strict=True):
        corners = align_corners and n > 1
        slope, shift, unit = (n - 1, 0, n * f - 1) if corners else (2, 1 - f, 2 * f)
        found.append(SourceAxis(name, n, n * f, slope, shift, unit))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Nearest(Form):
    """Every input stands for a box of outputs, `taps` within it."""

    macro: str
    read: str
    factor: Shape
    channel: Loop
    source: Layout
    result: Layout
    small: Layout
    shared: int | None = None
    """Which of the loops over the inputs threads share."""

    def writer(self) -> tuple[str, str]:
        return "upsample", self.macro

    @property
    def every(self) -> tuple[Loop, ...]:
        """Loops over all inputs."""
        names = axes(len(self.factor))
        return tuple(Loop(v, 0, n) for v, n in zip(names, self.small.extents, strict=True))

    @property
    def inputs(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the inputs that a call treats."""
        return within(self.every, self.shared)

    def divided(self) -> Nearest:
        return replace(self, shared=0 if self.every[0].trips > 1 else None)

    def units(self) -> int:
        return trips_along(self.every, self.shared)

    @property
    def taps(self) -> tuple[Loop, ...]:
        """Loops over an input's outputs."""
        names = axes(len(self.factor))
        return tuple(Loop(f"{v}_tap", 0, f) for v, f in zip(names, self.factor, strict=True))

    @property
    def corner(self) -> tuple[Affine, ...]:
        """Where an input's outputs begin."""
        return tuple(loop.at * f for loop, f in zip(self.inputs, self.factor, strict=True))

    @property
    def outputs(self) -> tuple[Affine, ...]:
        """An output's position."""
        return tuple(start + tap.at for start, tap in zip(self.corner, self.taps, strict=True))

    @property
    def step(self) -> Affine:
        """How far a tap lies from where an input's outputs begin, in a gradient."""
        total = Affine()
        for tap, stride in zip(self.taps, self.source.strides()[1:], strict=True):
            total = total + tap.at * stride
        return total

    @property
    def rows(self) -> tuple[Loop | Clipped, ...]:
        """All loops but those over the columns, in the outputs' order."""
        pairs = zip(self.inputs[:-1], self.taps[:-1], strict=True)
        return tuple(loop for pair in pairs for loop in pair)

    def operands(self) -> tuple[str, ...]:
        return (self.read, *(UNITS if self.shared is not None else ()), "result")


@dataclass(frozen=True, slots=True)
class Linear(Form):
    """Every output is a mean of the inputs before and after it along each axis.

    Tiles of channels share the work of finding places and weights.
    """

    macro: str
    read: str
    axes: tuple[SourceAxis, ...]
    channels: tuple[tuple[Loop, int], ...]
    source: Layout
    result: Layout
    shared: int | None = None
    """Which of the loops over the outputs threads share."""

    def writer(self) -> tuple[str, str]:
        return "upsample", self.macro

    @property
    def every(self) -> tuple[Loop, ...]:
        """Loops over all outputs."""
        return tuple(axis.output for axis in self.axes)

    @property
    def outputs(self) -> tuple[Loop | Clipped, ...]:
        """Loops over the outputs that a call makes."""
        return within(self.every, self.shared)

    def divided(self) -> Linear:
        return replace(self, shared=0 if self.every[0].trips > 1 else None)

    def units(self) -> int:
        return trips_along(self.every, self.shared)

    @property
    def inputs(self) -> tuple[Loop, ...]:
        """Loops over the inputs."""
        return tuple(axis.input for axis in self.axes)

    @property
    def sides(self) -> tuple[Loop, ...]:
        """Loops over the corners around an output."""
        return tuple(axis.side for axis in self.axes)

    @property
    def origin(self) -> tuple[int, ...]:
        """A channel's first element."""
        return tuple(0 for _ in self.axes)

    @property
    def steps(self) -> tuple[tuple[SourceAxis, int], ...]:
        """Each axis with the distance of its elements in the tensor that is read."""
        return tuple(zip(self.axes, self.source.strides()[1:], strict=True))

    @property
    def parts(self) -> str:
        """The product of the axes' parts, once they are known for both sides of each."""
        return " * ".join(f"{a.variable}_part[{a.side.at}]" for a in self.axes)

    @property
    def corner(self) -> str:
        """Where the input on one side along each axis lies."""
        return " + ".join(f"{a.variable}_at[{a.side.at}]" for a in self.axes)

    @property
    def weight(self) -> str:
        """The product of the axes' parts of one output in one input."""
        return " * ".join(f"{a.variable}_part" for a in self.axes)

    @property
    def gathered(self) -> Affine:
        """Where the output of a gradient's loops lies in its channel."""
        total = Affine()
        for axis, step in self.steps:
            total = total + axis.gather.at * step
        return total

    def operands(self) -> tuple[str, ...]:
        return (self.read, *(UNITS if self.shared is not None else ()), "result")


def nearest(wrt: str | None, factor: Shape, layouts: Layouts) -> Nearest:
    """Repetition, or its gradient: the sum over each box."""
    read, result = "output_grad" if wrt else "input", layouts["result"]
    small = result if wrt else layouts["input"]
    macro = "nearest_gradient" if wrt else "nearest"
    channel = Loop("channel", 0, small.channels)
    return Nearest(macro, read, factor, channel, layouts[read], result, small)


def linear(wrt: str | None, factor: Shape, align_corners: bool, layouts: Layouts) -> Linear:
    """Interpolation, or its gradient."""
    read, result = "output_grad" if wrt else "input", layouts["result"]
    space = (result if wrt else layouts["input"]).extents
    places = source_axes(space, factor, align_corners)
    macro = "linear_gradient" if wrt else "linear"
    tiles = tile_loops("channel", result.channels, _TILE)
    return Linear(macro, read, places, tiles, layouts[read], result)
