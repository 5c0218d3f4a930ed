"""Pooling in the kernel that makes what is pooled: it stores what becomes of a window, no more.

Only windows that neither meet nor leave gaps, of few elements, so that a tile of registers holds
all of one. What no window covers is not even computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Layout
from cnnc.ops.shapes import Shape

_LONGEST, _MOST = 2, 4
"""Elements of a window along an axis, which tiles of any algorithm can be cut into, and in all."""


@dataclass(frozen=True, slots=True)
class PoolWindows:
    """Windows of one size, side by side.

    `mean` is what becomes of one, else it is the largest value. The first `before` of the fused ops
    are applied to each value of a window, the others to what becomes of it.
    """

    size: Shape
    mean: bool
    before: int

    @property
    def elements(self) -> int:
        """Of a window."""
        return prod(self.size)

    def covered(self, pooled: Layout) -> Layout:
        """What the windows read, where nothing stores it: without a halo."""
        extents = tuple(n * k for n, k in zip(pooled.extents, self.size, strict=True))
        return Layout(pooled.channels, extents, tuple((0, 0) for _ in extents))

    def places(self, channel: Affine, *window: Affine) -> list[tuple[Affine, ...]]:
        """The coordinates of what a window reads, in row-major order."""
        each = [[at * k + tap for tap in range(k)] for at, k in zip(window, self.size, strict=True)]
        return [(channel, *position) for position in product(*each)]

    def joined(self, values: Sequence[str]) -> str:
        """The sum of some values of a window, or the largest."""
        if self.mean:
            return " + ".join(values)
        # By halves, so that little waits. Of equal values the first is left, of NaNs the last.
        while len(values) > 1:
            pairs = zip(values[::2], values[1::2], strict=True)
            values = [f"vmaximum({first}, {second})" for first, second in pairs]
        return values[0]

    def finished(self, value: str) -> str:
        """What becomes of a window, from all its values joined."""
        return f"({value}) * <float>{1 / self.elements}" if self.mean else value

    @property
    def reason(self) -> str:
        """For the kernel's own."""
        what = "mean" if self.mean else "largest value"
        return f", stores the {what} of each {'x'.join(map(str, self.size))} window"


def fits(size: Shape) -> bool:
    """Whether windows of a size can be pooled by the kernel that makes what they read."""
    return max(size) == _LONGEST and prod(size) <= _MOST
