"""Winograd's minimal filtering for 3x3 windows: the matrices, and where they apply.

F(m x m, 3 x 3) gives m x m outputs from (m + 2) x (m + 2) inputs by as many products a channel pair
instead of 9 m m: Winograd 1980, Lavin and Gray 2016, "Fast algorithms for convolutional neural
networks", sections 4.1 to 4.3. Knows no loops and no memory.

Each output reads only what the direct sum reads, but adds it in another order: where that holds an
infinity or NaN the output is one of both, though not always the same one.
"""

from __future__ import annotations

from cnnc.ops.toom_cook import Matrix, Steps, toom_cook
from cnnc.ops.window import Geometry

TAPS = 3
"""Elements of the window along each axis."""


F2 = toom_cook(2, TAPS, "1")
"""F(2, 3) as in Lavin and Gray 2016, section 4.1, but for the order of the points and signs."""

F4 = toom_cook(4, TAPS, "3/4 3/2")
"""F(4, 3) over the points 0, 3/4, -3/4, 3/2, -3/2 and infinity.

All that is applied to activations is exact in float32. The usual points 1, -1, 2, -2 (Lavin and
Gray, section 4.3) have twice the error: which points do best is Barabasz et al. 2020, "Error
analysis and improving the accuracy of Winograd convolution for deep neural networks".
"""


def whole(steps: Steps) -> Matrix:
    """The product of two matrices that are applied one after the other."""
    first, second = steps
    columns = transposed(first)
    return tuple(
        tuple(sum(x * y for x, y in zip(row, column, strict=True)) for column in columns)
        for row in second
    )


def transposed(matrix: Matrix) -> Matrix:
    """Rows and columns exchanged."""
    return tuple(zip(*matrix, strict=True))


def applies(geometry: Geometry) -> bool:
    """Whether a convolution is one of those: 3x3, every position, all channels together."""
    g = geometry
    return (
        g.kernel == (TAPS, TAPS) and g.stride == (1, 1) and g.dilation == (1, 1) and g.groups == 1
    )
