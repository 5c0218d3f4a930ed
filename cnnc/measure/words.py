"""Measured quantities in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    units = (("us", 1e6 * seconds), ("ms", 1e3 * seconds), ("s", seconds))
    unit, value = next((pair for pair in units if pair[1] < 1000), units[-1])
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
