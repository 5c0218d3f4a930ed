"""What a kernel adds up of its result as it stores it, in place of a pass of its own.

A batch norm's gradient needs, of the gradient g by its output, the sums of g and of g (x - mean) in
each channel (`BatchSums`). Whoever makes g has it in registers. Each tile adds its share to two
registers a channel in scratch memory, and at the end these are added up over the lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ops.layout import Layout
from cnnc.ops.loops import Loop

OPERANDS = ("tally_input", "statistics", "samples", "beyond", "tally")
"""What such a kernel takes besides: x, its statistics, how many lanes count, whether the result is
stored past the caches, and where the sums go."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Layouts of x and of the memory that keeps the result; `at` is where the registers begin."""

    x: Layout
    kept: Layout
    at: int

    @property
    def channel(self) -> Loop:
        """Over the channels."""
        return Loop("channel", 0, self.x.channels)

    @property
    def registers(self) -> Loop:
        """Over the registers of all channels."""
        return Loop("place", 0, 2 * self.x.channels)
