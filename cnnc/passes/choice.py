"""Several forms of a kernel -> the one that is generated.

Ops say which there are (`Op.kernel_forms`), what should be fastest first; a Choice takes one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cnnc.ops.layout import Form

Choice: TypeAlias = Callable[[tuple[Form, ...]], Form]
"""Takes one of the forms of a kernel; equal tuples must get equal answers."""


ALGORITHMS = ("direct", "winograd")
"""Every `Form.ALGORITHM` that there is."""


def best_guess(forms: tuple[Form, ...]) -> Form:
    """What the ops' cost models hold for the fastest."""
    return forms[0]


def prefer(algorithm: str) -> Choice:
    """Each kernel by this algorithm wherever it has it (`Form.ALGORITHM`).

    ValueError for one that there is not.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {algorithm}; there are {', '.join(ALGORITHMS)}")

    def chosen(forms: tuple[Form, ...]) -> Form:
        return next((form for form in forms if algorithm == form.ALGORITHM), forms[0])

    return chosen


__all__ = ["ALGORITHMS", "Choice", "best_guess", "prefer"]
