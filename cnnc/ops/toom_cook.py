"""Minimal filtering along one axis: the matrices of F(outputs, taps), for long windows nested.

F(m, r) gives m outputs of a window of r taps by m + r - 1 products instead of m r: Winograd 1980,
"Arithmetic complexity of computations"; the matrices by the Toom-Cook construction, as in Barabasz
et al. 2020, "Error analysis and improving the accuracy of Winograd convolution for deep neural
networks", section 2. Knows no loops and no memory.

A long window would take many points, and with each the rounding grows. But with F(r, r), whose
tiles begin r apart, a window of q r taps is one of q *blocks*: of tiles of inputs, where every
product is one of F(r, r) (Agarwal and Cooley 1977, "New algorithms for digital convolution", in
two dimensions). So F(p, q) over blocks and F(r, r) within them give p r outputs of q r taps.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod

Matrix = tuple[tuple[float, ...], ...]
Steps = tuple[Matrix, Matrix]
"""Two matrices, applied one after the other: points come in pairs that share what is even or odd,
so this takes fewer additions than their product."""


@dataclass(frozen=True, slots=True)
class Filtering:
    """F(outputs, taps) along an axis: y = result((weights g) * values(d)), element by element."""

    outputs: int
    taps: int
    values: Steps
    weights: Matrix
    result: Steps

    @property
    def points(self) -> int:
        """Elements of a tile of inputs, and products."""
        return self.outputs + self.taps - 1


def toom_cook(outputs: int, taps: int, pairs: str = "", *, zero: bool = True) -> Filtering:
    """By the points x and -x for each of `pairs`, 0 if asked for, and infinity.

    Points are binary fractions of few digits, so that all that multiplies inputs and products is
    exact in float32; the weights take the divisions. ValueError for another number of points.
    """
    halves = tuple(Fraction(text) for text in pairs.split())
    finite = tuple(x * sign for x in halves for sign in (1, -1)) + (Fraction(0),) * zero
    if len(finite) != outputs + taps - 2:
        raise ValueError(f"F({outputs}, {taps}) takes {outputs + taps - 1} points")
    values, result = _values(halves, zero), _result(halves, zero, outputs)
    return Filtering(outputs, taps, values, _weights(finite, taps), result)


def _values(pairs: tuple[Fraction, ...], zero: bool) -> Steps:
    """Of a point p, the coefficients of the product of (x - q) over the other finite points q.

    Those of a and -a are R (x + a) and R (x - a): the sum and the difference of R x and R a.
    """
    width = 2 * len(pairs) + zero + 1
    shared = []
    for a in pairs:
        others = tuple(q for q in pairs if q != a)
        shared += [_product(others, zero + 1, width), _product(others, zero, width)]
    shared += [_product(pairs, 0, width)] * zero + [_product(pairs, zero, width)]
    apart = _identity(width)
    for at, a in enumerate(pairs):
        for row, sign in ((2 * at, 1), (2 * at + 1, -1)):
            apart[row][2 * at : 2 * at + 2] = [Fraction(1), sign * a]
    return _matrix(shared), _matrix(apart)


def _product(pairs: tuple[Fraction, ...], shift: int, width: int) -> list[Fraction]:
    """The coefficients of x^shift times the product of (x^2 - a^2), the constant first."""
    found = [Fraction(0)] * shift + [Fraction(1)]
    for a in pairs:
        longer, shorter = [Fraction(0)] * 2 + found, [*found, Fraction(0), Fraction(0)]
        found = [x - a * a * y for x, y in zip(longer, shorter, strict=True)]
    return found + [Fraction(0)] * (width - len(found))


def _weights(finite: tuple[Fraction, ...], taps: int) -> Matrix:
    """Powers of each point, divided by the product of its distances from the others."""
    rows = []
    for at, p in enumerate(finite):
        distances = prod((p - q for k, q in enumerate(finite) if k != at), start=Fraction(1))
        rows.append([p**power / distances for power in range(taps)])
    return _matrix([*rows, [Fraction(power == taps - 1) for power in range(taps)]])


def _result(pairs: tuple[Fraction, ...], zero: bool, outputs: int) -> Steps:
    """Powers of each point: even ones meet the sum over a pair, odd ones the difference."""
    width = 2 * len(pairs) + zero + 1
    shared = _identity(width)
    for at in range(len(pairs)):
        for row, sign in ((2 * at, 1), (2 * at + 1, -1)):
            shared[row][2 * at : 2 * at + 2] = [Fraction(1), Fraction(sign)]
    powers = []
    for power in range(outputs):
        line: list[Fraction] = []
        for a in pairs:
            line += [a**power, Fraction(0)] if power % 2 == 0 else [Fraction(0), a**power]
        line += [Fraction(power == 0)] * zero + [Fraction(power == outputs - 1)]
        powers.append(line)
    return _matrix(shared), _matrix(powers)


def _identity(size: int) -> list[list[Fraction]]:
    return [[Fraction(row == column) for column in range(size)] for row in range(size)]


def _matrix(rows: list[list[Fraction]]) -> Matrix:
    return tuple(tuple(float(x) for x in row) for row in rows)


@dataclass(frozen=True, slots=True)
class Nested:
    """`outer` over blocks of `inner`'s taps; point (i, j) is i of the outer, j of the inner."""

    outer: Filtering
    inner: Filtering

    @property
    def outputs(self) -> int:
        """Of a tile."""
        return self.outer.outputs * self.inner.outputs

    @property
    def taps(self) -> int:
        """Of the window."""
        return self.outer.taps * self.inner.taps

    @property
    def points(self) -> int:
        """Products of a tile."""
        return self.outer.points * self.inner.points

    @property
    def name(self) -> str:
        """As the papers write it."""
        outer, inner = (f"F({f.outputs}, {f.taps})" for f in (self.outer, self.inner))
        return outer if self.inner.points == 1 else f"{outer} x {inner}"


_SIX = "3/4 3/2"
_ONE = toom_cook(1, 1, zero=False)
_THREE = toom_cook(3, 3, "1/2 5/4", zero=False)

FILTERINGS = (
    Nested(toom_cook(4, 3, _SIX), _ONE),
    Nested(toom_cook(3, 4, _SIX), _ONE),
    Nested(toom_cook(2, 5, _SIX), _ONE),
    Nested(toom_cook(3, 2, "1"), _THREE),
    Nested(toom_cook(2, 3, "1"), _THREE),
    Nested(toom_cook(4, 3, _SIX), _THREE),
)
"""What kernels are made of. With these points the largest error of a sum over 8 channels or more is
below twice that of the direct sum in float32."""
