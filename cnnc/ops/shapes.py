"""The types in which all ops speak: a sample's shape, and the arrays of a reference."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Shape = tuple[int, ...]
"""(channels, *space) or (features,); the batch axis is always implied."""

Array = NDArray[Any]
