"""What a kernel adds up of its result as it stores it, in place of a pass of its own.

Whoever makes what a batch norm reads, or the gradient g by its output, has it in registers. Of the
gradient the sums of g and of g (x - mean) in each channel are needed (`BatchSums`): each tile adds
its share to two registers a channel in scratch memory. Of the input, mean and centred squares
(`BatchStatistics`): each tile has its own, from its own mean, and they are combined lane by lane
with those of the tiles before (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise
algorithm for computing sample variances"), so that no digit is lost where a mean is large, or
where what comes first is unlike the rest. The registers are added up over the lanes at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Layout
from cnnc.ops.loops import Loop

_SHARED = ("samples", "beyond", "tally")
"""How many lanes count, whether the result is stored past the caches, and where the sums go."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Layouts of the memory that keeps the result, and of x; statistics where there is no x.

    `at` is where the registers begin in the scratch memory. Statistics have three a channel: the
    first tile's mean, how far the mean of all tiles so far is from it, which has more digits than
    that mean itself, and the centred squares.
    """

    kept: Layout
    at: int
    x: Layout | None = None

    @property
    def operands(self) -> tuple[str, ...]:
        """What the kernel takes besides: x and its statistics, for the sums."""
        return _SHARED if self.x is None else ("tally_input", "statistics", *_SHARED)

    @property
    def each(self) -> int:
        """Registers of a channel."""
        return 3 if self.x is None else 2

    @property
    def end(self) -> int:
        """Where the registers end."""
        return self.at + self.each * self.kept.channels

    @property
    def channel(self) -> Loop:
        """Over the channels."""
        return Loop("channel", 0, self.kept.channels)

    @property
    def registers(self) -> Loop:
        """Over the registers of all channels."""
        return Loop("place", 0, self.each * self.kept.channels)

    @property
    def positions(self) -> int:
        """Values of a channel, in each lane."""
        return prod(self.kept.extents)

    def before(self, position: Sequence[Affine]) -> Affine:
        """How many of them are made before this position, row by row."""
        found: Affine = Layout(1, self.kept.extents).offset(0, *position)
        return found

    @property
    def reason(self) -> str:
        """For the kernel's own."""
        what = "statistics" if self.x is None else "gradient"
        return f", adds up a batch norm's {what}"
