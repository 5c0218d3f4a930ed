"""How large a spec and its network may be, so that a hostile one ends in a diagnostic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds, all inclusive. The first group bounds the text, the second what it describes."""

    characters: int = 1 << 18
    files: int = 100
    """Files that a spec imports, directly or not."""
    brackets: int = 32
    expression_depth: int = 64
    syntax_errors: int = 10
    diagnostics: int = 100

    nodes: int = 10_000
    parameters: int = 1 << 31
    memory: int = 1 << 34
    """Bytes of all activations of a sample, as float32."""
    depth: int = 32
    """Blocks and repeats inside each other."""
    elements: int = 1 << 31
    """Elements of one tensor, a sample."""
    rank: int = 4
    """Axes of a tensor: channels and up to three of space, as many as the kernels know."""
    operands: int = 1000
    """Tensors that one layer joins."""
    integer: int = (1 << 63) - 1
    name: int = 64
    steps_after_error: int = 2000
    """Statements, after expansion, that are still looked at when an error is known."""

    @property
    def steps(self) -> int:
        """Statements after expansion: passes of repeats and calls of blocks count as well."""
        return 10 * self.nodes


DEFAULT_LIMITS = Limits()
"""What applies where no flag says otherwise."""

SETTABLE = {"nodes": 1_000_000, "parameters": 1 << 40, "memory": 1 << 50, "depth": 64}
"""Limits that a caller may change, each with the most that it may be."""
