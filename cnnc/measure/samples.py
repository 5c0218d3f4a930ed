"""A compiled model -> random arrays of the kind that it takes. Knows nothing of any data set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def random_samples(net: Any, count: int, *, training: bool) -> tuple[NDArray[Any], ...]:
    """The arguments of `net`, or of its train_step, for so many samples; always the same."""
    rng = np.random.default_rng(0)
    arrays: list[NDArray[Any]] = []
    for name, shape in net.input_shapes.items():
        full = (count, *shape)
        if net.input_dtypes[name] == "uint8":
            arrays.append(rng.integers(0, 256, full).astype(np.uint8))
        else:
            arrays.append(rng.standard_normal(full, np.float32))
    for target in net.targets.values() if training else ():
        full = (count, *target["shape"])
        if target["classes"] is not None:
            arrays.append(rng.integers(0, target["classes"], full))
        else:
            # Between 0 and 1: what every loss of numbers takes.
            arrays.append(rng.random(full, np.float32))
    return tuple(arrays)
