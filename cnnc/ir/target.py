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

    def runs_on(self, processor: Target) -> bool:
        """Whether a processor that is good for the target `processor` runs code for this one."""
        names = list(TARGETS)
        same = self.machine == processor.machine
        return same and names.index(self.name) >= names.index(processor.name)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("x86-64-v4", 16, 32, ("-march=x86-64-v4", "-mprefer-vector-width=512"), "x86_64"),
        Target("x86-64-v3", 8, 16, ("-march=x86-64-v3",), "x86_64"),
        Target("x86-64-v2", 4, 16, ("-march=x86-64-v2",), "x86_64"),
        Target("x86-64", 4, 16, ("-march=x86-64",), "x86_64"),
        Target("aarch64", 4, 32, ("-march=armv8-a",), "aarch64"),
    )
}
"""By name; of one machine the most capable first, and each runs what those behind it run."""


def parse_targets(text: str) -> tuple[Target, ...]:
    """`NAME` or `NAME,NAME…` -> the targets, the most capable first.

    Raises ValueError, in words for the user, for a name that is none, one that comes twice, and
    targets of two architectures, which no file can hold together.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in TARGETS:
            raise ValueError(f"{name!r} is no target; the targets are {', '.join(TARGETS)}")
        if names.count(name) > 1:
            raise ValueError(f"target {name} is named twice")
    found = tuple(target for target in TARGETS.values() if target.name in names)
    machines = {target.machine: target.name for target in found}
    if len(machines) > 1:
        pair = " and ".join(machines.values())
        raise ValueError(f"one module is for one architecture, and {pair} are of two")
    return found
