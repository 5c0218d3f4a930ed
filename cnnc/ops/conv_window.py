"""One spatial axis of a convolution, as its kernels' loops see it, from either side.

Forward, an output position meets one input position at each tap. Backward, an input position
gathers from the outputs whose windows hold it, exactly clipped, for any stride and dilation.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ops.affine import Affine
from cnnc.ops.conv_strips import LastAxis
from cnnc.ops.loops import Clipped, Loop


@dataclass(frozen=True, slots=True)
class Window:
    """One spatial axis: its kernel, stride, dilation, padding before, and extents."""

    variable: str
    kernel: int
    stride: int
    dilation: int
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
    def last_axis(self) -> LastAxis:
        """The same, without a name."""
        return LastAxis(
            self.kernel, self.stride, self.dilation, self.pad, self.inputs, self.outputs
        )

    def read(self, position: Affine) -> Affine:
        """The input position that an output position meets at a tap."""
        return position * self.stride + self.tap.at * self.dilation - self.pad

    @property
    def one_to_one(self) -> bool:
        """Whether each input position meets one output position, by the only tap."""
        same = self.inputs == self.outputs and self.pad == 0
        return self.kernel == 1 and self.stride == 1 and same

    @property
    def gather(self) -> Loop | Clipped:
        """The taps, or steps of one stride, at which an input position meets existing outputs."""
        if self.one_to_one:
            return self.tap
        start, d, s = self.input.at + self.pad, self.dilation, self.stride
        if s > 1 and d == 1:
            steps = f"({self.kernel - 1 + s} - {self._remainder}) // {s}"
            low = f"max(0, {self._quotient} - {self.outputs - 1})"
            high = f"min({self._quotient} + 1, {steps})"
            return Clipped(f"{self.variable}_step", low, high)
        # C divides towards zero: what is negative here gives no more than 0, as it should.
        first = start - (self.outputs - 1) * s
        low = f"{first}" if d == 1 else f"({first + (d - 1)}) // {d}"
        high = f"{start + 1}" if d == 1 else f"({start + d}) // {d}"
        return Clipped(self.tap.variable, f"max(0, {low})", f"min({self.kernel}, {high})")

    @property
    def gather_lines(self) -> tuple[str, ...]:
        """With a stride above 1, the tap and the output position of each step."""
        name, s, d = self.variable, self.stride, self.dilation
        if s == 1:
            return ()
        if d == 1:
            return (
                f"{name}_tap = {self._remainder} + {name}_step * {s}",
                f"{name}_out = {self._quotient} - {name}_step",
            )
        start = self.input.at + self.pad - Affine.of(f"{name}_tap") * d
        return (
            f"{name}_out = {start}",
            f"if {name}_out % {s}:",
            "    continue",
            f"{name}_out = {name}_out // {s}",
        )

    @property
    def gather_variables(self) -> tuple[str, ...]:
        """Variables that `gather_lines` assign."""
        if self.stride == 1:
            return ()
        names = ("tap", "out") if self.dilation == 1 else ("out",)
        return tuple(f"{self.variable}_{name}" for name in names)

    @property
    def gather_row(self) -> Affine:
        """The output position that a step reads."""
        if self.stride > 1:
            return Affine.of(f"{self.variable}_out")
        return self.input.at + self.pad - self.gather_tap * self.dilation

    @property
    def gather_tap(self) -> Affine:
        """The tap that a step meets."""
        return self.tap.at if self.one_to_one else Affine.of(self.tap.variable)

    @property
    def _quotient(self) -> str:
        """The last output position whose window starts at or before an input position."""
        return f"({self.input.at + self.pad}) // {self.stride}"

    @property
    def _remainder(self) -> str:
        """The first tap that meets an input position."""
        return f"({self.input.at + self.pad}) % {self.stride}"


@dataclass(frozen=True, slots=True)
class Gathering:
    """The outer axes of a kernel whose input positions gather from the outputs that read them."""

    axes: tuple[Window, ...]

    @property
    def loops(self) -> tuple[Loop | Clipped, ...]:
        """Over the outputs that read an input row, along each axis."""
        return tuple(w.gather for w in self.axes)

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables that `lines` assign."""
        return tuple(name for w in self.axes for name in w.gather_variables)

    @property
    def lines(self) -> tuple[str, ...]:
        """What a step begins with."""
        return tuple(line for w in self.axes for line in w.gather_lines)

    @property
    def rows(self) -> tuple[Affine, ...]:
        """The output positions that a step reads."""
        return tuple(w.gather_row for w in self.axes)

    @property
    def taps(self) -> tuple[Affine, ...]:
        """The taps that it meets."""
        return tuple(w.gather_tap for w in self.axes)
