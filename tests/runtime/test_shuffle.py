from __future__ import annotations

import hashlib

import numpy as np
import pytest

from cnnc.runtime import batches
from cnnc.runtime.shuffle import epoch_bits, permutation


def test_the_order_is_the_same_on_every_machine():
    assert permutation(10, np.random.PCG64(0)).tolist() == [3, 2, 1, 8, 6, 0, 7, 4, 5, 9]
    order = permutation(60000, epoch_bits(1, 3)).astype("<i8")
    assert hashlib.sha256(order.tobytes()).hexdigest()[:16] == "838d7c55e46dfe34"


def test_every_index_once_and_a_smaller_last_batch():
    parts = list(batches(10, 4, 5))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert [part.tolist() for part in batches(10, 4, np.random.PCG64(5))] == [
        part.tolist() for part in parts
    ]


def test_seeds_and_epochs_differ():
    orders = {
        tuple(permutation(50, epoch_bits(seed, epoch))) for seed in (0, 1) for epoch in (1, 2)
    }
    assert len(orders) == 4


def test_limits():
    assert list(batches(0, 4, 0)) == []
    assert [part.tolist() for part in batches(1, 100, 0)] == [[0]]
    with pytest.raises(ValueError, match="batch of 0"):
        batches(10, 0, 0)
