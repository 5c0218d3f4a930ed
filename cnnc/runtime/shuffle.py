"""A seed and a count -> the order in which an epoch visits its samples.

The same on every machine and under every version of NumPy: the streams of PCG64 and SeedSequence
are promised to stay (NEP 19), what Generator.permutation makes of them is not. So each sample
draws one raw 64-bit key, and the order is the stable sort of the keys; a tie, one chance in
10**10 for 60,000 samples, falls to the lower index.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def epoch_bits(seed: int, epoch: int) -> np.random.PCG64:
    """The random bits of one epoch, which depend on nothing that happened in earlier ones."""
    return np.random.PCG64(np.random.SeedSequence([seed, epoch]))


def permutation(n: int, rng: np.random.BitGenerator) -> NDArray[np.intp]:
    """All of 0..n-1 in random order, (n,); takes n raw draws."""
    keys = np.asarray(rng.random_raw(n), dtype=np.uint64)
    return np.argsort(keys, kind="stable")


def batches(n: int, size: int, rng: np.random.BitGenerator | int) -> Iterator[NDArray[np.intp]]:
    """Shuffled indices of n samples in batches of `size`; the last one may be smaller.

    `rng` is a seed or a bit generator such as PCG64, from which n raw draws are taken.
    Raises ValueError for a size below 1.
    """
    if size < 1:
        raise ValueError(f"batch of {size}, expected at least 1")
    bits = rng if isinstance(rng, np.random.BitGenerator) else np.random.PCG64(rng)
    order = permutation(n, bits)
    return (order[start : start + size] for start in range(0, n, size))
