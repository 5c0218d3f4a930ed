"""Layers that count their channels themselves, and the habit of other libraries to say the number.

`batchnorm(16)` would otherwise mean eps = 16, in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.ops.field import OpError


def refuse_count(layer: str, arguments: Mapping[str, Any], name: str, below: float) -> None:
    """Raise OpError where an argument is so large that it must be a number of channels."""
    value = float(arguments[name])
    if value >= below:
        raise OpError(
            "bad-value",
            f"{layer}'s {name} must be below {below:g}, got {value:g}",
            argument=name,
            help=f"{layer} counts the channels itself: leave their number out",
        )
