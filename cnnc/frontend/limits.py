"""How large a spec and its network may be, so that a hostile one ends in a diagnostic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds, all inclusive. The first group bounds the text, the second what it describes."""

    characters: int = 1 << 18
    brackets: int = 32
    expression_depth: int = 64
    syntax_errors: int = 10
    diagnostics: int = 100

    nodes: int = 10_000
    parameters: int = 1 << 31
    elements: int = 1 << 31
    """Elements of one tensor, a sample."""
    rank: int = 8
    operands: int = 1000
    """Tensors that one layer joins."""
    integer: int = (1 << 63) - 1
    name: int = 64


DEFAULT_LIMITS = Limits()
