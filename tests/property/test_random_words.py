"""The words that a compiled model draws are those of their NumPy twin: dropout drops the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.compiled import Compiled
from cnnc.compiler import compile_spec
from cnnc.ir.interpret import interpret
from cnnc.ops.random_words import random_words
from tests.property.comparison import Twin

TEXT = """
model dropped {
    input image: float32[3, 5, 3]
    dropout(0.4) -> conv(4, 3x3, pad=1) -> tanh -> channel_dropout(0.3)
    flatten -> dropout -> dense(3)
}
train { loss mse; optimizer sgd(lr=0.1) }
"""
SAMPLES = 37


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    path = tmp_path_factory.mktemp("dropped") / "dropped.cnn"
    path.write_text(TEXT, encoding="utf-8")
    return compile_spec(path)


def _gradients(twin: Twin, net: Any, words: np.ndarray) -> dict[str, np.ndarray]:
    weights = {name: view.astype(np.float64) for name, view in net.parameters.items()}
    values = interpret(twin.step, twin.feeds(twin.step, *twin.batch(SAMPLES), words), weights)
    return {name: values[node] for name, node in twin.step.gradients}


@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5, 2**64 + 1])
def test_a_model_draws_the_words_of_its_seed_and_step(compiled: Compiled, seed: int) -> None:
    twin = Twin(compiled.graph)
    inputs, targets = twin.batch(SAMPLES)
    net = compiled.load().Model(seed=seed, threads=2)
    for step, method in enumerate(("compute_gradients", "train_step", "train_step"), 1):
        wanted = _gradients(twin, net, random_words(seed, step, SAMPLES))
        getattr(net, method)(*inputs, *targets)
        for name, array in wanted.items():
            np.testing.assert_allclose(net.gradients[name], array, atol=1e-5 * abs(array).max())
    other = _gradients(twin, net, random_words(seed, 2, SAMPLES))
    assert any(abs(net.gradients[n] - a).max() > 0.01 * abs(a).max() for n, a in other.items())


def test_words_fill_their_bits_and_differ() -> None:
    words = random_words(3, 1, 10_000)
    assert words.dtype == np.uint32
    assert len(np.unique(words)) > 9_990
    shares = [(words >> np.uint32(bit) & np.uint32(1)).mean() for bit in range(32)]
    assert max(abs(np.array(shares) - 0.5)) < 0.025
    np.testing.assert_array_equal(random_words(3, 1, 50), words[:50])
    assert not np.array_equal(random_words(3, 2, 50), words[:50])
    assert not np.array_equal(random_words(4, 1, 50), words[:50])
