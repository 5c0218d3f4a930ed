"""Targets: what the planner needs to know of a processor, and how the compiler is told of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A processor family. `lanes` floats fit a SIMD register, of which there are `registers`.

    `level1` is the size, bytes, of the data cache that tiles are sized for: that of the smallest
    common machine of the family, so that a source is the same wherever it is generated.
    """

    name: str
    lanes: int
    registers: int
    flags: tuple[str, ...]
    machine: str
    level1: int = 32 * 1024


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("x86-64-v4", 16, 32, ("-march=x86-64-v4", "-mprefer-vector-width=512"), "x86_64"),
        Target("x86-64-v3", 8, 16, ("-march=x86-64-v3",), "x86_64"),
        Target("x86-64", 4, 16, ("-march=x86-64",), "x86_64"),
        Target("aarch64", 4, 32, ("-march=armv8-a",), "aarch64"),
    )
}
