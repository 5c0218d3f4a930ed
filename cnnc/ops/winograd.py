"""Winograd's minimal filtering for 3x3 windows: the matrices, and where they apply.

F(m x m, 3 x 3) gives m x m outputs from (m + 2) x (m + 2) inputs by as many products a channel pair
instead of 9 m m: Winograd 1980, Lavin and Gray 2016, "Fast algorithms for convolutional neural
networks", sections 4.1 to 4.3. Knows no loops and no memory.

Each output reads only what the direct sum reads, but adds it in another order: where that holds an
infinity or NaN the output is one of both, though not always the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ops.window import Geometry

Matrix = tuple[tuple[float, ...], ...]

TAPS = 3
"""Elements of the window along each axis."""


@dataclass(frozen=True, slots=True)
class Transforms:
    """F(outputs, 3) along one axis: y = result ((weights g) * (values d)), * element by element.

    In two dimensions each applies to the rows, then to the columns.
    """

    outputs: int
    values: Matrix
    weights: Matrix
    result: Matrix

    @property
    def points(self) -> int:
        """Elements along an axis of a tile of inputs, and products."""
        return self.outputs + TAPS - 1


F2 = Transforms(
    2,
    values=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    weights=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    result=((1, 1, 1, 0), (0, 1, -1, -1)),
)
"""F(2, 3), Lavin and Gray 2016, section 4.1."""

F4 = Transforms(
    4,
    values=(
        (81 / 64, 0, -45 / 16, 0, 1, 0),
        (0, -27 / 16, -9 / 4, 3 / 4, 1, 0),
        (0, 27 / 16, -9 / 4, -3 / 4, 1, 0),
        (0, -27 / 32, -9 / 16, 3 / 2, 1, 0),
        (0, 27 / 32, -9 / 16, -3 / 2, 1, 0),
        (0, 81 / 64, 0, -45 / 16, 0, 1),
    ),
    weights=(
        (64 / 81, 0, 0),
        (-128 / 243, -32 / 81, -8 / 27),
        (-128 / 243, 32 / 81, -8 / 27),
        (32 / 243, 16 / 81, 8 / 27),
        (32 / 243, -16 / 81, 8 / 27),
        (0, 0, 1),
    ),
    result=(
        (1, 1, 1, 1, 1, 0),
        (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2, 0),
        (0, 9 / 16, 9 / 16, 9 / 4, 9 / 4, 0),
        (0, 27 / 64, -27 / 64, 27 / 8, -27 / 8, 1),
    ),
)
"""F(4, 3) by the Toom-Cook construction over the points 0, 3/4, -3/4, 3/2, -3/2 and infinity.

All that is applied to activations is exact in float32. The usual points 1, -1, 2, -2 (Lavin and
Gray, section 4.3) have twice the error: which points do best is Barabasz et al. 2020, "Error
analysis and improving the accuracy of Winograd convolution for deep neural networks".
"""


def transposed(matrix: Matrix) -> Matrix:
    """Rows and columns exchanged."""
    return tuple(zip(*matrix, strict=True))


def applies(geometry: Geometry) -> bool:
    """Whether a convolution is one of those: 3x3, every position, all channels together."""
    g = geometry
    return (
        g.kernel == (TAPS, TAPS) and g.stride == (1, 1) and g.dilation == (1, 1) and g.groups == 1
    )
