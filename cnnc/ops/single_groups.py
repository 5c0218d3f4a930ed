"""How a convolution with groups reads one sample: each register of filters the channels of its own.

Where a group's filters fill registers, an input is a scalar for all lanes of one, as it is without
groups. Where a register has filters of several groups, each lane has an input of its own: moved
from one register of the input where a group has few enough, else put together from one scalar a
group. Nothing is multiplied by the zero of another group's, which an infinity would make a NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Layout

_FEWEST_MOVED = 8
"""Lanes from which on processors move them by numbers that are not known before."""


@dataclass(frozen=True, slots=True)
class Groups:
    """So many groups, each of so many channels and filters."""

    count: int
    channels: int
    filters: int
    lanes: int

    @property
    def whole(self) -> bool:
        """Whether every register's filters are of one group."""
        return self.filters % self.lanes == 0

    @property
    def span(self) -> int:
        """Channels that a register's filters read, if it has whole groups."""
        return self.lanes // self.filters * self.channels

    @property
    def moved(self) -> bool:
        """Whether they lie in one register of the input, in the right order."""
        if self.channels == self.filters == 1:
            return True
        fits = self.lanes % self.filters == 0 and self.lanes % self.span == 0
        return fits and self.lanes >= _FEWEST_MOVED

    @property
    def most(self) -> int:
        """Groups that a register's filters are of, at most."""
        registers = range(-(-self.count * self.filters // self.lanes))
        firsts = (register * self.lanes for register in registers)
        return max((f + self.lanes - 1) // self.filters - f // self.filters + 1 for f in firsts)

    @property
    def step(self) -> int:
        """What a pointer moves by from one position to the next."""
        return 1 if self.moved and not self.whole else self.lanes

    @property
    def declarations(self) -> tuple[str, ...]:
        """The variables of a kernel; x is where the input is read."""
        if self.whole:
            return ("cdef const float* x", "cdef Py_ssize_t at")
        if self.channels == self.filters == 1:
            return ("cdef const vec* x",)
        if self.moved:
            return ("cdef const vec* x", "cdef vmask lanes")
        later = (
            f"cdef vmask later[{self.most - 1}]" if self.most > 1 else "cdef vmask* later = NULL"
        )
        return (
            f"cdef const float* x[{self.most}]",
            later,
            f"cdef Py_ssize_t at[{self.most}]",
            "cdef Py_ssize_t group",
        )

    def setup(self, x: Layout, filters: Affine, channel: Affine) -> tuple[str, ...]:
        """Lines for a register of filters, or a tile of one group's, and a channel of a group."""
        plane = x.strides()[0] * self.lanes
        if self.whole:
            registers = self.filters // self.lanes
            group = f"({filters}) // {registers}" if registers > 1 else f"{filters}"
            return (
                f"at = {group} * {self.channels} + {channel}",
                f"at = at // {self.lanes} * {plane} + at % {self.lanes}",
            )
        if self.channels == self.filters == 1:
            return ()
        if self.moved:
            first = filters * self.span
            start = f"({first}) % {self.lanes} + " if self.span < self.lanes else ""
            return (f"lanes = vgrouped({self.filters}, {self.channels}, {start}{channel})",)
        first = filters * self.lanes
        lines = [
            f"group = ({first}) // {self.filters}",
            f"for member in range({self.most}):",
            f"    at[member] = min(group + member, {self.count - 1}) * {self.channels} + {channel}",
            f"    at[member] = at[member] // {self.lanes} * {plane} + at[member] % {self.lanes}",
        ]
        if self.most > 1:
            lines += [
                f"for member in range({self.most - 1}):",
                f"    later[member] = vfrom((group + member + 1) * {self.filters} - ({first}))",
            ]
        return tuple(lines)

    def source(self, filters: Affine) -> Affine:
        """The register of the input that a register of filters reads, if that is one."""
        if self.whole or not self.moved:
            return Affine()
        if self.span == self.lanes:
            return filters
        return Affine.of(f"(({filters * self.span}) // {self.lanes})")

    def pointers(self, place: Affine) -> tuple[str, ...]:
        """Lines that point to a position of the input, after the setup."""
        if self.whole:
            return (f"x = <const float*>input + {place * self.lanes + 'at'}",)
        if self.moved:
            return (f"x = input + {place}" if str(place) != "0" else "x = input",)
        there = place * self.lanes
        more = f" + {there}" if str(there) != "0" else ""
        return (
            f"for member in range({self.most}):",
            f"    x[member] = <const float*>input{more} + at[member]",
        )

    def value(self, offset: Affine) -> str:
        """What a register of weights is multiplied by, so far from there."""
        if self.whole or self.channels == self.filters == 1:
            return f"x[{offset}]"
        if self.moved:
            return f"vmoved(x[{offset}], lanes)"
        return f"vmingled(x, later, {self.most}, {offset})"

    @property
    def cost(self) -> float:
        """Cycles to make a register of inputs."""
        if self.whole or self.channels == self.filters == 1:
            return 0
        return 1 if self.moved else 0.7 * self.most

    @property
    def text(self) -> str:
        """For `reason`."""
        if self.whole:
            return ", a group's filters in whole registers"
        if self.moved:
            return ", inputs moved to the lanes of their groups"
        return f", inputs of {self.most} groups put together"
