"""The words of random bits that a compiled model feeds to its training ops, in NumPy.

The twin of what templates/lanes.pyx.j2 and the model class do, bit for bit: a reference that is
given these words drops what the model drops.
"""

from __future__ import annotations

import numpy as np

from cnnc.ops.shapes import Array

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def random_words(seed: int, step: int, samples: int) -> Array:
    """uint32 (samples): the words of a model of that seed in its `step`-th gradient, from 1.

    Every call of train_step or compute_gradients counts as a step. SplitMix64: Steele, Lea and
    Flood 2014, Fast splittable pseudorandom number generators, figure 16.
    """
    start = _mixed(np.array([seed % 2**64], np.uint64)) + np.uint64(step)
    places = np.arange(1, samples + 1, dtype=np.uint64) * _GOLDEN
    return (_mixed(_mixed(start) + places) >> np.uint64(32)).astype(np.uint32)


def _mixed(bits: Array) -> Array:
    """SplitMix64's output function; modulo 2^64, as arrays of uint64 are."""
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        bits = (bits ^ (bits >> shift)) * factor
    return np.asarray(bits ^ (bits >> _SHIFTS[2]))
