"""Symbolic index arithmetic: sums of variables with integer coefficients, folded as they are made.

It exists so that generated text never says `* 1 + 0`. It is no algebra system: products of two
variables are refused.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Affine:
    """sum of coefficient * variable, plus a constant. Immutable; prints as a Cython expression."""

    terms: tuple[tuple[str, int], ...] = ()
    constant: int = 0

    @staticmethod
    def of(value: Affine | int | str) -> Affine:
        """An integer, a variable's name or an Affine, as Affine."""
        if isinstance(value, Affine):
            return value
        if isinstance(value, int):
            return Affine((), value)
        return Affine(((value, 1),), 0)

    def __add__(self, other: Affine | int | str) -> Affine:
        right = Affine.of(other)
        sums = dict(self.terms)
        for name, coefficient in right.terms:
            sums[name] = sums.get(name, 0) + coefficient
        return Affine(tuple((n, c) for n, c in sums.items() if c), self.constant + right.constant)

    __radd__ = __add__

    def __mul__(self, factor: int) -> Affine:
        if factor == 0:
            return Affine()
        return Affine(tuple((n, c * factor) for n, c in self.terms), self.constant * factor)

    __rmul__ = __mul__

    def __sub__(self, other: Affine | int | str) -> Affine:
        return self + Affine.of(other) * -1

    def __rsub__(self, other: Affine | int | str) -> Affine:
        return Affine.of(other) + self * -1

    def __str__(self) -> str:
        by_coefficient: dict[int, list[str]] = {}
        for name, coefficient in self.terms:
            by_coefficient.setdefault(coefficient, []).append(name)
        parts = [
            (_product(names, coefficient), coefficient < 0)
            for coefficient, names in sorted(by_coefficient.items(), key=lambda pair: -pair[0])
        ]
        constant = (str(abs(self.constant)), self.constant < 0)
        if self.constant > 0 and parts and parts[0][1]:
            parts.insert(0, constant)  # 3 - x reads better than -x + 3
        elif self.constant or not parts:
            parts.append(constant)
        text = ("-" if parts[0][1] else "") + parts[0][0]
        return text + "".join((" - " if minus else " + ") + part for part, minus in parts[1:])


def _product(names: list[str], coefficient: int) -> str:
    """The variables' sum times the coefficient's magnitude."""
    total, factor = " + ".join(names), abs(coefficient)
    if len(names) > 1 and coefficient != 1:
        total = f"({total})"
    return total if factor == 1 else f"{total} * {factor}"
